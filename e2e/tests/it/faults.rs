//! The servers die under load: nothing accepted is lost, doubled or mixed up.

use std::time::Duration;

use gristmill_e2e::{Stack, load, wait};
use gristmill_loadtest::Model;

/// How long a killed server stays away.
const OUTAGE: Duration = Duration::from_secs(3);

const LOADS: [(Model, u64, u16); 3] = [
    (Model::Identity, 1400, 32),
    (Model::Magika, 400, 16),
    (Model::Minilm, 200, 16),
];

/// Waits until some of the load has come through and some has not.
async fn in_the_middle(stack: &Stack) -> anyhow::Result<()> {
    wait::until("the load to be under way", || async {
        Ok((stack.ingest.metric("gristmill_accepted_total", "").await? >= 200.0).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_the_broker_is_killed_under_load() -> anyhow::Result<()> {
    let mut stack = Stack::start().await?;
    let _workers = [stack.worker("first", &[]).await?, stack.worker("second", &[]).await?];
    let load = load::spawn_all(&stack, &LOADS).await?;
    in_the_middle(&stack).await?;
    stack.servers.nats.kill().await?;
    // the outage itself is the fault: there is nothing to wait for
    tokio::time::sleep(OUTAGE).await;
    stack.servers.nats.restart().await?;
    load.await??;
    assert!(stack.ingest.metric("gristmill_connections_lost_total", "nats").await? >= 1.0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_the_store_is_killed_under_load() -> anyhow::Result<()> {
    let mut stack = Stack::start().await?;
    let workers = [stack.worker("first", &[]).await?, stack.worker("second", &[]).await?];
    let load = load::spawn_all(&stack, &LOADS).await?;
    in_the_middle(&stack).await?;
    stack.servers.redis.kill().await?;
    tokio::time::sleep(OUTAGE).await;
    stack.servers.redis.restart().await?;
    load.await??;
    let mut retries = 0.0;
    for worker in &workers {
        retries += worker.metric("gristmill_store_retries_total", "").await?;
    }
    assert!(retries >= 1.0, "the workers noticed");
    Ok(())
}
