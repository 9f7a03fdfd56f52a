//! The Lua scripts that make several writes one step, and the pipelines that run them.

use std::time::Instant;

use gristmill_schemas::Timestamp;
use redis::{Cmd, FromRedisValue, Pipeline, RedisError, Value};

use crate::store::{Store, StoreError, translate};

/// A script and its digest, by which the server knows it.
pub(crate) struct Script {
    source: &'static str,
    sha1: std::sync::LazyLock<String>,
}

pub(crate) static SETTLE: Script = Script::new(include_str!("lua/settle.lua"), || sha1(include_str!("lua/settle.lua")));
pub(crate) static RECLAIM: Script = Script::new(include_str!("lua/reclaim.lua"), || {
    sha1(include_str!("lua/reclaim.lua"))
});
pub(crate) static PROGRESS: Script = Script::new(include_str!("lua/progress.lua"), || {
    sha1(include_str!("lua/progress.lua"))
});
pub(crate) static RUNNING: Script = Script::new(include_str!("lua/running.lua"), || {
    sha1(include_str!("lua/running.lua"))
});
pub(crate) static FORGET: Script = Script::new(include_str!("lua/forget.lua"), || sha1(include_str!("lua/forget.lua")));
pub(crate) static COMPLETE: Script = Script::new(include_str!("lua/complete.lua"), || {
    sha1(include_str!("lua/complete.lua"))
});
pub(crate) static UNBEGUN: Script = Script::new(include_str!("lua/unbegun.lua"), || {
    sha1(include_str!("lua/unbegun.lua"))
});
pub(crate) static DELIVER: Script = Script::new(include_str!("lua/deliver.lua"), || {
    sha1(include_str!("lua/deliver.lua"))
});
pub(crate) static ATTEMPTED: Script = Script::new(include_str!("lua/attempted.lua"), || {
    sha1(include_str!("lua/attempted.lua"))
});
pub(crate) static REDELIVER: Script = Script::new(include_str!("lua/redeliver.lua"), || {
    sha1(include_str!("lua/redeliver.lua"))
});
pub(crate) static BURY: Script = Script::new(include_str!("lua/bury.lua"), || sha1(include_str!("lua/bury.lua")));

/// Every script, to be loaded together.
const ALL: [&Script; 11] = [
    &SETTLE, &RECLAIM, &PROGRESS, &RUNNING, &FORGET, &COMPLETE, &BURY, &UNBEGUN, &DELIVER, &ATTEMPTED, &REDELIVER,
];

fn sha1(source: &str) -> String {
    redis::Script::new(source).get_hash().to_owned()
}

impl Script {
    const fn new(source: &'static str, sha1: fn() -> String) -> Self {
        Self {
            source,
            sha1: std::sync::LazyLock::new(sha1),
        }
    }

    /// A call by digest; keys and arguments are to follow.
    pub(crate) fn call(&self, keys: usize) -> Cmd {
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(self.sha1.as_str()).arg(keys);
        cmd
    }
}

impl Store {
    /// Runs commands in one pipeline, each with its own answer. If the server does not know a script (it forgets them
    /// when it restarts), all are loaded and the whole pipeline runs again: every script passes over what it has done.
    pub(crate) async fn run(&self, commands: Vec<Cmd>) -> Result<Vec<Result<Value, RedisError>>, StoreError> {
        // an empty pipeline is an error to the client, and would look as if the store were away
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = Pipeline::with_capacity(commands.len());
        for command in commands {
            pipeline.add_command(command);
        }
        pipeline.ignore_errors();
        let answers: Vec<Result<Value, RedisError>> = self.query(&pipeline).await?;
        if !answers.iter().any(forgotten) {
            return Ok(answers);
        }
        let mut load = Pipeline::new();
        for script in ALL {
            load.cmd("SCRIPT").arg("LOAD").arg(script.source);
        }
        let _: Vec<Value> = self.query(&load).await?;
        self.query(&pipeline).await
    }
}

impl Store {
    /// The same, and the store's time comes along: commits need it, and one line more of a pipeline costs nothing.
    pub(crate) async fn run_and_note_time(
        &self,
        commands: impl Iterator<Item = Cmd>,
    ) -> Result<impl Iterator<Item = Result<Value, RedisError>>, StoreError> {
        let asked = Instant::now();
        let commands = std::iter::once(redis::cmd("TIME")).chain(commands);
        let mut answers = self.run(commands.collect()).await?.into_iter();
        self.clock().note(asked, read_time(answers.next())?);
        Ok(answers)
    }
}

/// Seconds and microseconds.
fn read_time(answer: Option<Result<Value, RedisError>>) -> Result<Timestamp, StoreError> {
    let answer = answer.unwrap_or(Ok(Value::Nil));
    let time = answer.and_then(|value| <(u64, u64)>::from_redis_value(value).map_err(RedisError::from));
    let (seconds, micros) = time.map_err(|error| translate(&error))?;
    Ok(Timestamp::from_micros(seconds * 1_000_000 + micros))
}

fn forgotten(answer: &Result<Value, RedisError>) -> bool {
    answer.as_ref().is_err_and(|error| error.code() == Some("NOSCRIPT"))
}
