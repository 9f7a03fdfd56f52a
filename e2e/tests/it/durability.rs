//! The durability level across processes: who is told more than the servers keep does not begin, and says so when a server
//! comes back with less.

use gristmill_e2e::{Process, Stack, wait::until};
use gristmill_schemas::Durability;
use gristmill_servers::{Nats, Redis};
use reqwest::StatusCode;

/// Waits until a process is ready, or is not for a reason that contains these words.
async fn until_readiness(process: &Process, wanted: Option<&str>) -> anyhow::Result<()> {
    until(&format!("readiness: {wanted:?}"), || async {
        let answer = reqwest::get(format!("{}/readyz", process.at.admin_url)).await?;
        let is_ready = answer.status() == StatusCode::OK;
        let text = answer.text().await?;
        let as_wanted = wanted.map_or(is_ready, |words| !is_ready && text.contains(words));
        Ok(as_wanted.then_some(()))
    })
    .await
}

#[tokio::test]
async fn server_that_comes_back_with_less_degrades_the_ingest_and_is_named() -> anyhow::Result<()> {
    let mut stack = Stack::start().await?;
    for (durability, wanted) in [
        (Durability::ProcessCrash, Some("appendfsync no, wanted is always")),
        (Durability::PowerLoss, None),
    ] {
        let mut options = stack.servers.redis.options().clone();
        options.durability = durability;
        stack.servers.redis.stop().await?;
        stack.servers.redis = Redis::start(options).await?;
        until_readiness(&stack.ingest, wanted).await?;
    }
    for (durability, wanted) in [
        (Durability::ProcessCrash, Some("sync_interval 120s, wanted is always")),
        (Durability::PowerLoss, None),
    ] {
        let mut options = stack.servers.nats.options().clone();
        options.durability = durability;
        stack.servers.nats.stop().await?;
        stack.servers.nats = Nats::start(options).await?;
        until_readiness(&stack.ingest, wanted).await?;
    }
    Ok(())
}

#[tokio::test]
async fn neither_ingest_nor_worker_begins_on_servers_that_keep_less() -> anyhow::Result<()> {
    let mut stack = Stack::start().await?;
    let mut options = stack.servers.redis.options().clone();
    options.durability = Durability::ProcessCrash;
    stack.servers.redis.stop().await?;
    stack.servers.redis = Redis::start(options).await?;
    let ingest = stack.another_ingest("ingest-2").await;
    let worker = stack.worker("worker", &[]).await;
    for refused in [ingest, worker] {
        let error = format!("{:#}", refused.expect_err("it must not begin"));
        for said in [
            "ended at once",
            "appendfsync no, wanted is always",
            "--durability process-crash",
        ] {
            assert!(error.contains(said), "{said} is not in: {error}");
        }
    }
    Ok(())
}
