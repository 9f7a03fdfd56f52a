//! What one process has between itself and both servers: a proxy each.

use std::{io, net::SocketAddr};

use anyhow::Context;
use gristmill_servers::Pair;

use crate::inject::{Damage, Proxy};

/// One process's two proxies.
#[derive(Debug)]
pub struct Link {
    /// On the way to nats-server.
    pub broker: Proxy,
    /// On the way to redis-server.
    pub store: Proxy,
}

impl Link {
    /// Proxies to these servers, which may be restarted: they keep their addresses.
    ///
    /// # Errors
    /// No port is free.
    pub async fn to(servers: &Pair) -> anyhow::Result<Self> {
        Ok(Self {
            broker: to(&servers.nats.url()).await?,
            store: to(&servers.redis.url()).await?,
        })
    }

    /// Where a process that is to use it finds nats-server and redis-server.
    #[must_use]
    pub fn urls(&self) -> [String; 2] {
        [
            format!("nats://{}", self.broker.address()),
            format!("redis://{}", self.store.address()),
        ]
    }

    /// What both did so far.
    #[must_use]
    pub fn damage(&self) -> Damage {
        self.broker.damage() + self.store.damage()
    }
}

async fn to(url: &str) -> anyhow::Result<Proxy> {
    let address: Option<SocketAddr> = url.rsplit('/').next().and_then(|address| address.parse().ok());
    let address = address.with_context(|| format!("{url} has no address"))?;
    let proxy: io::Result<Proxy> = Proxy::start(address).await;
    proxy.context("start a proxy")
}
