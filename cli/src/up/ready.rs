//! What is told once everything is ready, and the file it is told in. The file follows: a child that was started again
//! stands there with its new pid.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use gristmill_broker::ServerUrl;
use serde::{Serialize, Serializer};

use super::member::Instance;
use crate::atomic_file;

/// Which children run, by their names.
pub(super) type Board = BTreeMap<String, Instance>;

/// Names on the board; workers are `worker-1` and so on.
pub(super) const NATS: &str = "nats";
pub(super) const REDIS: &str = "redis";
pub(super) const INGEST: &str = "ingest";
const WORKER: &str = "worker-";
const PAUSE: Duration = Duration::from_millis(25);

/// The name of a worker.
pub(super) fn worker(number: u16) -> String {
    format!("{WORKER}{number:03}")
}

/// What does not change while everything runs.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Access {
    pub(super) url: String,
    pub(super) admin_url: String,
    pub(super) api_key: String,
    #[serde(serialize_with = "revealed")]
    pub(super) nats_url: ServerUrl,
    #[serde(serialize_with = "revealed")]
    pub(super) redis_url: ServerUrl,
}

/// The file is its owner's alone, and whoever reads it wants to connect.
fn revealed<S: Serializer>(url: &ServerUrl, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(url.reveal())
}

#[derive(Serialize)]
struct Content<'a> {
    #[serde(flatten)]
    access: &'a Access,
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    nats_pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redis_pid: Option<u32>,
    ingest_pid: Option<u32>,
    workers: Vec<Worker<'a>>,
}

#[derive(Serialize)]
struct Worker<'a> {
    pid: u32,
    admin_url: Option<&'a str>,
}

/// The ready file, if one was asked for. It is there as long as everything is ready: dropping this removes it.
#[derive(Debug)]
pub(super) struct ReadyFile(Option<PathBuf>);

impl ReadyFile {
    /// At this place, where nothing is yet: what an earlier `gristmill up` has left there is removed.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(super) fn new(path: Option<PathBuf>) -> anyhow::Result<Self> {
        if let Some(path) = &path {
            forget(path).with_context(|| format!("remove {}", path.display()))?;
        }
        Ok(Self(path))
    }

    /// Writes it, whole or not at all.
    pub(super) fn write(&self, access: &Access, board: &Board) -> anyhow::Result<()> {
        match &self.0 {
            Some(path) => atomic_file::write(path, &serde_json::to_vec_pretty(&content(access, board))?),
            None => Ok(()),
        }
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.as_deref().map(forget) {
            tracing::warn!(%error, "the ready file is left behind");
        }
    }
}

fn content<'a>(access: &'a Access, board: &'a Board) -> Content<'a> {
    let pid = |name: &str| board.get(name).map(|instance| instance.pid);
    let workers = board.iter().filter(|(name, _)| name.starts_with(WORKER));
    Content {
        access,
        pid: std::process::id(),
        nats_pid: pid(NATS),
        redis_pid: pid(REDIS),
        ingest_pid: pid(INGEST),
        workers: workers
            .map(|(_, instance)| Worker {
                pid: instance.pid,
                admin_url: instance.admin_url.as_deref(),
            })
            .collect(),
    }
}

fn forget(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Waits until the ingest takes this key: it reads keys after it has become ready.
pub(super) async fn key_is_taken(client: &crate::client::Client) {
    while client.models().await.is_err() {
        tokio::time::sleep(PAUSE).await;
    }
}
