//! What is measured at one durability level: a pipeline, and the bare path on servers of its own.

use std::collections::BTreeMap;

use gristmill_servers::{Durability, Pair};
use tempfile::TempDir;

use crate::{
    Process, Stack,
    bench::{bare::Bare, target::Target},
};

/// A pipeline: servers, an ingest and a worker.
#[derive(Debug)]
pub struct Site {
    /// Servers and ingest.
    pub stack: Stack,
    /// Those that have been started so far.
    pub workers: Vec<Process>,
    /// What the workers are told.
    worker_flags: Vec<&'static str>,
    api_key: String,
}

impl Site {
    /// Starts one whose worker is told so.
    ///
    /// # Errors
    /// A part cannot be started.
    pub async fn start(level: Durability, worker_flags: &[&'static str]) -> anyhow::Result<Self> {
        let stack = Stack::start_at(level, tempfile::tempdir()?, &["--nats-door".to_owned()]).await?;
        let api_key = stack.api_key("bench").await?;
        let (workers, worker_flags) = (Vec::new(), worker_flags.to_vec());
        let mut site = Self {
            stack,
            workers,
            worker_flags,
            api_key,
        };
        site.another_worker().await?;
        Ok(site)
    }

    /// Starts one more worker.
    ///
    /// # Errors
    /// It does not become ready.
    pub async fn another_worker(&mut self) -> anyhow::Result<()> {
        let name = format!("worker-{}", self.workers.len());
        self.workers.push(self.stack.worker(&name, &self.worker_flags).await?);
        Ok(())
    }

    /// Itself, to be put under load.
    ///
    /// # Errors
    /// The ingest did not say where it is.
    pub fn target(&self) -> anyhow::Result<Target> {
        let mut processes = BTreeMap::from([
            ("ingest", vec![self.stack.ingest.pid()]),
            ("nats", vec![self.stack.servers.nats.pid()]),
            ("redis", vec![self.stack.servers.redis.pid()]),
        ]);
        processes.insert("worker", self.workers.iter().map(Process::pid).collect());
        Ok(Target {
            url: self.stack.url()?,
            api_key: self.api_key.clone(),
            processes,
        })
    }

    /// Itself, to be put under load over NATS.
    ///
    /// # Errors
    /// The ingest did not say where it is.
    pub fn target_over_nats(&self) -> anyhow::Result<Target> {
        Ok(Target {
            url: self.stack.servers.nats.url(),
            ..self.target()?
        })
    }
}

/// The bare path with servers of its own.
#[derive(Debug)]
pub struct BareSite {
    servers: Pair,
    bare: Bare,
    _dir: TempDir,
}

impl BareSite {
    /// Starts one.
    ///
    /// # Errors
    /// A part cannot be started.
    pub async fn start(level: Durability) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let servers = Pair::start(level, dir.path()).await?;
        let bare = Bare::start(&servers, dir.path()).await?;
        Ok(Self {
            servers,
            bare,
            _dir: dir,
        })
    }

    /// Itself, to be put under load.
    #[must_use]
    pub fn target(&self) -> Target {
        let processes = [
            ("door", self.bare.door.pid()),
            ("echo", self.bare.echo.pid()),
            ("nats", self.servers.nats.pid()),
            ("redis", self.servers.redis.pid()),
        ];
        Target {
            url: self.bare.url.clone(),
            api_key: "nobody-asks".to_owned(),
            processes: processes.map(|(name, pid)| (name, vec![pid])).into(),
        }
    }
}
