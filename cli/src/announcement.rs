//! What an ingest or a worker tells its parent once it is ready: where it listens. So the parent may give it port 0.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::{atomic_file, readyz::Readyz};

/// Where a process listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Announcement {
    /// Where clients connect, if any do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    /// Where `/livez`, `/readyz` and `/metrics` are.
    pub(crate) admin_url: String,
    /// Whose announcement it is.
    pub(crate) pid: u32,
}

impl Announcement {
    /// This process's.
    pub(crate) fn ours(http: Option<SocketAddr>, admin: SocketAddr) -> Self {
        Self {
            url: http.map(|addr| format!("http://{addr}")),
            admin_url: format!("http://{admin}"),
            pid: std::process::id(),
        }
    }

    /// Reads one.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read(path)?;
        serde_json::from_slice(&text).with_context(|| format!("read {}", path.display()))
    }

    /// Writes it once this process is ready, as its own `/readyz` says.
    pub(crate) async fn write_when_ready(self, path: PathBuf) {
        let written = async {
            Readyz::of(&self.admin_url)?.ready().await;
            atomic_file::write(&path, &serde_json::to_vec(&self)?)
        };
        if let Err(error) = written.await {
            tracing::error!("not announced: {error:#}");
        }
    }
}
