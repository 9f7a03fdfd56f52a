//! What one process has between itself and both servers: a proxy each.

use std::{io, net::SocketAddr};

use anyhow::Context;
use gristmill_servers::{Pair, Role};

use crate::inject::{Damage, Proxy};

/// One process's two proxies.
#[derive(Debug)]
pub struct Link {
    /// On the way to nats-server.
    pub broker: Proxy,
    /// On the way to redis-server.
    pub store: Proxy,
    urls: [String; 2],
}

impl Link {
    /// Proxies to these servers for a process of this role. They may be restarted: they keep their addresses.
    ///
    /// # Errors
    /// No port is free.
    pub async fn to(servers: &Pair, role: Role) -> anyhow::Result<Self> {
        let (broker, store) = (servers.nats.url_of(role), servers.redis.url_of(role));
        let (broker_proxy, store_proxy) = (to(&broker).await?, to(&store).await?);
        Ok(Self {
            urls: [through(&broker, &broker_proxy), through(&store, &store_proxy)],
            broker: broker_proxy,
            store: store_proxy,
        })
    }

    /// Where a process that is to use it finds nats-server and redis-server.
    #[must_use]
    pub fn urls(&self) -> [String; 2] {
        self.urls.clone()
    }

    /// What both did so far.
    #[must_use]
    pub fn damage(&self) -> Damage {
        self.broker.damage() + self.store.damage()
    }
}

/// The same URL, by way of a proxy.
#[must_use]
pub fn through(url: &str, proxy: &Proxy) -> String {
    let user = url.rsplit_once('@').map_or(url, |(user, _)| user);
    format!("{user}@{}", proxy.address())
}

async fn to(url: &str) -> anyhow::Result<Proxy> {
    let address: Option<SocketAddr> = url.rsplit(['/', '@']).next().and_then(|address| address.parse().ok());
    let address = address.with_context(|| format!("{url} has no address"))?;
    let proxy: io::Result<Proxy> = Proxy::start(address).await;
    proxy.context("start a proxy")
}
