//! The disks that both servers' data is on.

use std::path::Path;

use crate::inject::Disk;

/// What the data of both servers is on.
#[derive(Debug)]
pub struct Disks {
    /// nats-server's.
    pub nats: Disk,
    /// redis-server's.
    pub redis: Disk,
}

impl Disks {
    /// Mounts them where a [`Pair`](gristmill_servers::Pair) of this folder keeps its data.
    ///
    /// # Errors
    /// The machine lets us mount no FUSE file system.
    pub fn mount(dir: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            nats: Disk::mount(&dir.join("nats"))?,
            redis: Disk::mount(&dir.join("redis"))?,
        })
    }
}
