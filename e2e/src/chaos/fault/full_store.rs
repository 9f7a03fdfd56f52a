//! Redis has no memory left: `maxmemory` is lowered below what it holds, so that it refuses every write that needs some,
//! commits of accepted jobs among them, and is raised again.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::sleep;

use crate::{
    chaos::{
        fault::{Fault, Proof, Scene},
        history::End,
        stores,
    },
    wait,
};

/// The fault.
#[derive(Debug)]
pub(super) struct FullStore;

/// How long after the first refusal of both kinds there is no memory.
const OUTAGE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(2500));
/// What the code of a refusal for want of memory is.
const CODE: &str = "store_full";
const LIMIT: &str = "maxmemory";

impl Scene {
    /// Submissions that were refused since the store is full.
    fn refused_by_a_full_store(&self) -> u64 {
        let ops = self.history.ops();
        let refused = |end: &End| matches!(end, End::Fail(denial) if denial.code == CODE);
        ops.iter().filter(|op| refused(&op.end)).count() as u64
    }

    async fn refused_by_redis(&self) -> anyhow::Result<u64> {
        stores::info(&self.cluster.servers.redis.url(), "errorstats", "errorstat_OOM").await
    }
}

impl Fault for FullStore {
    fn name(&self) -> &'static str {
        "full-store"
    }

    fn inject<'s>(&'s self, scene: &'s mut Scene) -> BoxFuture<'s, anyhow::Result<()>> {
        Box::pin(async move {
            let redis = scene.cluster.servers.redis.url();
            let all = scene.cluster.servers.redis.options().max_memory.to_string();
            for round in 0..scene.rounds() {
                scene.until_round(round).await?;
                let outage = scene.seed.between(OUTAGE.0, OUTAGE.1);
                let (told, refused) = (scene.refused_by_a_full_store(), scene.refused_by_redis().await?);
                scene.injected();
                let used = stores::info(&redis, "memory", "used_memory").await?;
                stores::set(&redis, LIMIT, &(used / 2).to_string()).await?;
                let here = &*scene;
                wait::until("Redis and the ingests to refuse for want of memory", || async move {
                    let both = here.refused_by_a_full_store() > told && here.refused_by_redis().await? > refused;
                    Ok(both.then_some(()))
                })
                .await?;
                // the outage itself is the fault: there is nothing to wait for
                sleep(outage).await;
                stores::set(&redis, LIMIT, &all).await?;
            }
            Ok(())
        })
    }

    fn proof<'s>(&'s self, scene: &'s Scene) -> BoxFuture<'s, anyhow::Result<Proof>> {
        Box::pin(async move {
            Ok(Proof::of([
                ("writes refused by Redis", scene.refused_by_redis().await?),
                ("store_full", scene.refused_by_a_full_store()),
            ]))
        })
    }
}
