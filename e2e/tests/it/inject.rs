//! Every way of breaking a stack has the effect it says, on the real servers.

use std::{net::SocketAddr, time::Duration};

use gristmill_broker::nats::bare;
use gristmill_e2e::{
    inject::{Proxy, Way, Weather, link::through},
    wait::until,
};
use gristmill_servers::{Durability, Pair};
use redis::aio::MultiplexedConnection;
use tokio::time::timeout;

/// Longer than any answer of a server beside us takes.
const SILENCE: Duration = Duration::from_secs(1);

fn address(url: &str) -> SocketAddr {
    url.rsplit(['/', '@']).next().unwrap().parse().unwrap()
}

async fn connected(servers: &Pair, proxy: &Proxy) -> redis::RedisResult<MultiplexedConnection> {
    let client = redis::Client::open(through(&servers.redis.url(), proxy))?;
    let patient = redis::AsyncConnectionConfig::new()
        .set_response_timeout(None)
        .set_connection_timeout(None);
    client.get_multiplexed_async_connection_with_config(&patient).await
}

async fn increment(connection: &mut MultiplexedConnection) -> redis::RedisResult<u64> {
    redis::cmd("INCR").arg("counter").query_async(connection).await
}

#[tokio::test]
async fn proxy_cuts_silences_and_delays_what_passes_through_it_and_heals() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let servers = Pair::start(Durability::PowerLoss, dir.path()).await?;
    let proxy = Proxy::start(address(&servers.redis.url())).await?;
    let direct = Proxy::start(address(&servers.redis.url())).await?;
    let mut witness = connected(&servers, &direct).await?;
    let mut client = connected(&servers, &proxy).await?;
    assert_eq!(increment(&mut client).await?, 1);
    assert_eq!(proxy.damage(), direct.damage());

    proxy.set(Weather::Cut);
    assert!(increment(&mut client).await.is_err());
    assert!(connected(&servers, &proxy).await.is_err());
    assert!(proxy.damage().connections_cut >= 2);
    assert_eq!(proxy.damage().bytes_dropped, 0);

    proxy.set(Weather::Fair);
    let mut client = connected(&servers, &proxy).await?;
    assert_eq!(increment(&mut client).await?, 2);
    proxy.set(Weather::Silent);
    assert!(timeout(SILENCE, increment(&mut client)).await.is_err());
    assert!(proxy.damage().bytes_dropped > 0);
    assert!(timeout(SILENCE, connected(&servers, &proxy)).await.is_err());
    // what fell silent has a gap: it does not live on
    proxy.set(Weather::Fair);
    assert!(increment(&mut client).await.is_err());

    let mut client = connected(&servers, &proxy).await?;
    proxy.set(Weather::Deaf(Way::ToClient));
    assert!(timeout(SILENCE, increment(&mut client)).await.is_err());
    assert_eq!(increment(&mut witness).await?, 4, "it was done, and nobody was told");
    proxy.set(Weather::Fair);
    let mut client = connected(&servers, &proxy).await?;
    proxy.set(Weather::Deaf(Way::ToServer));
    assert!(timeout(SILENCE, increment(&mut client)).await.is_err());
    assert_eq!(increment(&mut witness).await?, 5, "it never arrived");

    proxy.set(Weather::Slow(Duration::from_millis(50)));
    let mut client = connected(&servers, &proxy).await?;
    let before = proxy.damage();
    assert_eq!(increment(&mut client).await?, 6);
    assert_eq!(proxy.damage().pieces_delayed, before.pieces_delayed + 2);
    assert_eq!(proxy.damage().bytes_dropped, before.bytes_dropped);
    Ok(())
}

#[tokio::test]
async fn proxy_outlives_the_server_behind_it() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let mut servers = Pair::start(Durability::PowerLoss, dir.path()).await?;
    let proxy = Proxy::start(address(&servers.nats.url())).await?;
    let client = bare(&through(&servers.nats.url(), &proxy)).await?;
    client.flush().await?;
    servers.nats.kill().await?;
    until("the client to lose its broker", || {
        let lost = client.connection_state() != async_nats::connection::State::Connected;
        async move { Ok(lost.then_some(())) }
    })
    .await?;
    servers.nats.restart().await?;
    until("the client to be back", || {
        let back = client.connection_state() == async_nats::connection::State::Connected;
        async move { Ok(back.then_some(())) }
    })
    .await?;
    Ok(())
}
