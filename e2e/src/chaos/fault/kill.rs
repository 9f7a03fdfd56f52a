//! kill -9 of processes under load; each is started again after a while, on the same address and data.

use std::time::Duration;

use futures_util::future::BoxFuture;
use gristmill_servers::Signal;
use tokio::time::sleep;

use crate::chaos::fault::{Fault, Proof, Scene, Strike};

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Worker,
    Ingest,
    Ingests,
    Nats,
    Redis,
    Stores,
}

/// How long a worker that is going to be killed gets nothing stored.
const BREATH: Duration = Duration::from_millis(300);

/// The fault.
#[derive(Debug)]
pub(super) struct Kill(Target);

impl Kill {
    pub(super) const WORKER: Self = Self(Target::Worker);
    pub(super) const INGEST: Self = Self(Target::Ingest);
    pub(super) const INGESTS: Self = Self(Target::Ingests);
    pub(super) const NATS: Self = Self(Target::Nats);
    pub(super) const REDIS: Self = Self(Target::Redis);
    pub(super) const STORES: Self = Self(Target::Stores);

    /// How long the victim stays away.
    fn outage(&self, scene: &mut Scene) -> Duration {
        scene
            .seed
            .between(Duration::from_millis(500), Duration::from_millis(2500))
    }

    async fn once(&self, scene: &mut Scene) -> anyhow::Result<()> {
        let outage = self.outage(scene);
        let victim = scene.seed.below(2) as usize;
        let cluster = &mut scene.cluster;
        match self.0 {
            Target::Worker => {
                // while the store holds its breath, batches pile up in the worker's hands
                cluster.servers.redis.signal(Signal::SIGSTOP)?;
                sleep(BREATH).await;
                cluster.workers[victim].kill_with_hands_full(BREATH).await?;
                cluster.servers.redis.signal(Signal::SIGCONT)?;
                sleep(outage).await;
                cluster.workers[victim].revive().await
            }
            Target::Ingest => {
                cluster.ingests[victim].kill().await?;
                sleep(outage).await;
                cluster.ingests[victim].revive().await
            }
            Target::Ingests => {
                for ingest in &mut cluster.ingests {
                    ingest.kill().await?;
                }
                sleep(outage).await;
                for ingest in &mut cluster.ingests {
                    ingest.revive().await?;
                }
                Ok(())
            }
            Target::Nats => {
                cluster.servers.nats.kill().await?;
                sleep(outage).await;
                cluster.servers.nats.restart().await
            }
            Target::Redis => {
                cluster.servers.redis.kill().await?;
                sleep(outage).await;
                cluster.servers.redis.restart().await
            }
            Target::Stores => {
                cluster.servers.nats.kill().await?;
                cluster.servers.redis.kill().await?;
                sleep(outage).await;
                tokio::try_join!(cluster.servers.nats.restart(), cluster.servers.redis.restart()).map(drop)
            }
        }
    }
}

impl Fault for Kill {
    fn name(&self) -> &'static str {
        match self.0 {
            Target::Worker => "kill-worker",
            Target::Ingest => "kill-ingest",
            Target::Ingests => "kill-both-ingests",
            Target::Nats => "kill-nats",
            Target::Redis => "kill-redis",
            Target::Stores => "kill-both-stores",
        }
    }

    fn inject<'s>(&'s self, scene: &'s mut Scene) -> BoxFuture<'s, anyhow::Result<()>> {
        Box::pin(async move {
            for round in 0..scene.rounds() {
                scene.until_round(round).await?;
                scene.injected();
                self.once(scene).await?;
            }
            Ok(())
        })
    }

    fn proof<'s>(&'s self, scene: &'s Scene) -> BoxFuture<'s, anyhow::Result<Proof>> {
        Box::pin(async move {
            let cluster = &scene.cluster;
            let lost = |server: &'static str| async move {
                let of_workers = cluster.of_workers("gristmill_connections_lost_total", server).await?;
                let of_ingests = cluster.of_ingests("gristmill_connections_lost_total", server).await?;
                anyhow::Ok(of_workers + of_ingests)
            };
            Ok(match self.0 {
                Target::Worker => {
                    let redelivered = "redelivered=\"true\"";
                    Proof::of([(
                        "redelivered",
                        cluster.of_workers("gristmill_deliveries_total", redelivered).await?,
                    )])
                }
                Target::Ingest | Target::Ingests => Proof::of([("calls cut off", scene.calls_cut_off())]),
                Target::Nats => Proof::of([("connections lost", lost("nats").await?)]),
                Target::Redis => Proof::of([("connections lost", lost("redis").await?)]),
                Target::Stores => Proof::of([("nats lost", lost("nats").await?), ("redis lost", lost("redis").await?)]),
            })
        })
    }
}

impl Strike for Kill {
    fn strike<'s>(&'s self, scene: &'s mut Scene) -> BoxFuture<'s, anyhow::Result<()>> {
        Box::pin(self.once(scene))
    }
}
