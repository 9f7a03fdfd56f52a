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

    /// The flags of a process that is to use it.
    #[must_use]
    pub fn args(&self) -> [String; 4] {
        [
            "--nats-url".to_owned(),
            format!("nats://{}", self.broker.address()),
            "--redis-url".to_owned(),
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
