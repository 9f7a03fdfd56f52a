//! Both servers at once, at the same durability level, as every job needs them.

use std::path::Path;

use gristmill_schemas::Durability;

use crate::binaries::Binaries;
use crate::nats::{Nats, NatsOptions};
use crate::redis::{Redis, RedisOptions};

/// A nats-server and a redis-server. Dropping it kills both.
#[derive(Debug)]
pub struct Pair {
    /// The broker.
    pub nats: Nats,
    /// The store of outcomes.
    pub redis: Redis,
}

impl Pair {
    /// Starts both on free ports, with their data in `nats/` and `redis/` under `dir`, and waits until they are ready.
    ///
    /// # Errors
    ///
    /// A binary is missing or a server does not start.
    pub async fn start(durability: Durability, dir: &Path) -> anyhow::Result<Self> {
        let binaries = Binaries::locate()?;
        let nats = Nats::start(NatsOptions::new(binaries.nats, dir.join("nats"), durability));
        let redis = Redis::start(RedisOptions::new(binaries.redis, dir.join("redis"), durability));
        let (nats, redis) = tokio::try_join!(nats, redis)?;
        Ok(Self { nats, redis })
    }

    /// Ends both in order.
    ///
    /// # Errors
    ///
    /// The operating system refuses.
    pub async fn stop(&mut self) -> std::io::Result<()> {
        let (nats, redis) = tokio::join!(self.nats.stop(), self.redis.stop());
        nats.and(redis).map(drop)
    }
}
