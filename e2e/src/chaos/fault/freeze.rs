//! SIGSTOP of processes under load, longer than anybody waits for them, then SIGCONT: what a long pause of a machine is.

use std::time::Duration;

use futures_util::future::BoxFuture;
use gristmill_servers::Signal;
use tokio::time::sleep;

use crate::chaos::{
    cluster::Setup,
    fault::{Fault, Proof, Scene, Strike},
    plan::Mix,
};

/// What is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Worker,
    Ingest,
    Nats,
    Redis,
}

/// The fault.
#[derive(Debug)]
pub(super) struct Freeze(Target);

/// Beyond a worker's `ack_wait` twice (3 s here; the broker looks about as often), a call's time-out at the store (4 s) and what a client of the broker takes to
/// notice a silent peer (6 s, sometimes).
const PAUSE: (Duration, Duration) = (Duration::from_millis(6500), Duration::from_millis(8000));
/// Between two pauses.
const REST: Duration = Duration::from_secs(1);
/// A batch takes so long, as a larger model's would: a worker is stopped with its hands full, and wakes up as a zombie.
const SLOW_RUN: &str = "worker-slow-run=sleep(50)";

impl Freeze {
    pub(super) const WORKER: Self = Self(Target::Worker);
    pub(super) const INGEST: Self = Self(Target::Ingest);
    pub(super) const NATS: Self = Self(Target::Nats);
    pub(super) const REDIS: Self = Self(Target::Redis);

    fn signal(&self, scene: &Scene, victim: usize, signal: Signal) -> anyhow::Result<()> {
        let cluster = &scene.cluster;
        match self.0 {
            Target::Worker => cluster.workers[victim].signal(signal),
            Target::Ingest => cluster.ingests[victim].signal(signal),
            Target::Nats => Ok(cluster.servers.nats.signal(signal)?),
            Target::Redis => Ok(cluster.servers.redis.signal(signal)?),
        }
    }
}

impl Fault for Freeze {
    fn name(&self) -> &'static str {
        match self.0 {
            Target::Worker => "freeze-worker",
            Target::Ingest => "freeze-ingest",
            Target::Nats => "freeze-nats",
            Target::Redis => "freeze-redis",
        }
    }

    fn setup(&self) -> Setup {
        let worker_fail_points = match self.0 {
            Target::Worker => SLOW_RUN.to_owned(),
            Target::Ingest | Target::Nats | Target::Redis => String::new(),
        };
        Setup {
            worker_fail_points,
            ..Setup::default()
        }
    }

    fn mix(&self, _jobs: u64) -> Mix {
        let mut mix = Mix::default();
        if self.0 == Target::Redis {
            // outcomes are on their way to it while deadlines pass
            mix.hurried = 30;
            mix.deadlines.1 = PAUSE.0;
        }
        mix
    }

    fn inject<'s>(&'s self, scene: &'s mut Scene) -> BoxFuture<'s, anyhow::Result<()>> {
        Box::pin(async move {
            for round in 0..scene.rounds() {
                scene.until_round(round).await?;
                scene.injected();
                self.strike(scene).await?;
            }
            Ok(())
        })
    }

    fn proof<'s>(&'s self, scene: &'s Scene) -> BoxFuture<'s, anyhow::Result<Proof>> {
        Box::pin(async move {
            let cluster = &scene.cluster;
            Ok(match self.0 {
                Target::Worker => {
                    let redelivered = cluster
                        .of_workers("gristmill_deliveries_total", "redelivered=\"true\"")
                        .await?;
                    let passed_over = cluster.of_workers("gristmill_jobs_passed_over_total", "").await?;
                    Proof::of([("redelivered", redelivered), ("zombie's jobs passed over", passed_over)])
                }
                Target::Ingest | Target::Nats => Proof::of([("calls slower than 4 s", scene.slow_calls())]),
                Target::Redis => {
                    let retries = cluster.of_workers("gristmill_store_retries_total", "").await?;
                    Proof::of([("store retries", retries)])
                }
            })
        })
    }
}

impl Strike for Freeze {
    fn strike<'s>(&'s self, scene: &'s mut Scene) -> BoxFuture<'s, anyhow::Result<()>> {
        Box::pin(async move {
            let (victim, pause) = (scene.seed.below(2) as usize, scene.seed.between(PAUSE.0, PAUSE.1));
            self.signal(scene, victim, Signal::SIGSTOP)?;
            sleep(pause).await;
            self.signal(scene, victim, Signal::SIGCONT)?;
            sleep(REST).await;
            Ok(())
        })
    }
}
