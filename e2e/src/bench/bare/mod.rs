//! The bare path: what is left when everything of ours is taken out between the client and the two stores, so that it can be
//! said what ours costs. Two processes, as the pipeline has:
//!
//! | process | what it does for a job |
//! |---|---|
//! | door | finds the input in the body of a `POST /v1/jobs`, puts it into one message with all that came while the publish before was in flight, publishes that to JetStream (work queue, file), and answers when the job's echo comes over Redis pub/sub |
//! | echo | pulls messages, answers each input with its first 214 numbers as floats; stores (`SET`) and publishes (`PUBLISH`) the echoes of a message in one pipeline, then acks it |
//!
//! The client is the product's load tester, the bodies and the replies are of the same bytes as those of the model `light`, the
//! servers are the product's own at the same durability level. Nobody is asked for a key, nothing is checked, signed, counted,
//! claimed, kept twice or told to anybody else; there is no model, no attempt, no deadline and no lineage.

mod door;
mod echo;

use gristmill_broker::nats;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;
use async_nats::jetstream::stream;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use gristmill_schemas::JobId;
use gristmill_servers::{Child, Output, Pair};

use crate::wait;

const STREAM: &str = "BARE";
const SUBJECT: &str = "bare";
/// The channel of the echoes.
const CHANNEL: &str = "bare";

/// One process of the path, as the benchmark starts itself anew.
#[derive(Debug, clap::Args)]
pub struct Part {
    /// Which
    #[arg(value_enum)]
    role: Role,
    #[arg(long)]
    nats_url: String,
    #[arg(long)]
    redis_url: String,
    /// Where it says that it is ready; the door also where it listens
    #[arg(long)]
    announce: PathBuf,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Role {
    Door,
    Echo,
}

impl Part {
    /// Runs until it is killed.
    ///
    /// # Errors
    /// A server does not answer.
    pub async fn run(self) -> anyhow::Result<()> {
        match self.role {
            Role::Door => door::run(self).await,
            Role::Echo => echo::run(self).await,
        }
    }
}

/// A running path.
#[derive(Debug)]
pub struct Bare {
    /// The door's URL.
    pub url: String,
    /// The door's process.
    pub door: Child,
    /// The other one.
    pub echo: Child,
}

impl Bare {
    /// Starts both processes on these servers, with their files in `dir`.
    ///
    /// # Errors
    /// One of them cannot be started.
    pub async fn start(servers: &Pair, dir: &Path) -> anyhow::Result<Self> {
        let jetstream = async_nats::jetstream::new(nats::bare(&servers.nats.url()).await?);
        let config = stream::Config {
            name: STREAM.to_owned(),
            subjects: vec![SUBJECT.to_owned()],
            retention: stream::RetentionPolicy::WorkQueue,
            storage: stream::StorageType::File,
            ..stream::Config::default()
        };
        jetstream.create_stream(config).await?;
        let (echo, _) = start("echo", servers, dir).await?;
        let (door, url) = start("door", servers, dir).await?;
        Ok(Self { url, door, echo })
    }
}

async fn start(role: &str, servers: &Pair, dir: &Path) -> anyhow::Result<(Child, String)> {
    let announce = dir.join(format!("bare-{role}.json"));
    let mut command = Command::new(std::env::current_exe()?);
    command.args([
        "bare",
        role,
        "--nats-url",
        &servers.nats.url(),
        "--redis-url",
        &servers.redis.url(),
    ]);
    command.arg("--announce").arg(&announce);
    let log = dir.join(format!("bare-{role}.log"));
    let child = Child::spawn(command, role, Output::File(log)).await?;
    let said = wait::until("a bare process to be ready", || {
        let said = std::fs::read_to_string(&announce).ok();
        async move { Ok(said) }
    });
    Ok((child, said.await?))
}

fn say(announce: &Path, what: &str) -> anyhow::Result<()> {
    let unfinished = announce.with_extension("unfinished");
    std::fs::write(&unfinished, what)?;
    std::fs::rename(unfinished, announce).context("announcing")
}

/// A job's number and its bytes, as they stand in a message.
type Numbered = (u64, Bytes);

fn pack(jobs: &[Numbered]) -> Bytes {
    let mut packed = BytesMut::with_capacity(jobs.iter().map(|(_, bytes)| bytes.len() + 12).sum());
    for (number, bytes) in jobs {
        packed.put_u64_le(*number);
        packed.put_u32_le(bytes.len() as u32);
        packed.put_slice(bytes);
    }
    packed.freeze()
}

fn unpack(mut packed: Bytes) -> impl Iterator<Item = Numbered> {
    std::iter::from_fn(move || {
        packed.has_remaining().then(|| {
            let (number, length) = (packed.get_u64_le(), packed.get_u32_le());
            (number, packed.split_to(length as usize))
        })
    })
}

/// An id of the usual length.
fn id(number: u64) -> JobId {
    let text = format!("{number:0width$}", width = gristmill_schemas::job_id::TEXT_LENGTH);
    text.parse().expect("digits are letters of an id")
}
