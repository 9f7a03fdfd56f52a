//! Processes that die at the worst moments, by fail points: between a commit and its ack, before a publish, and between a
//! publish and the reply to its client.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::sleep;

use crate::{
    chaos::{
        cluster::{Cluster, Setup},
        fault::{Fault, Proof, Scene},
        member::Member,
    },
    wait,
};

/// When they die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    CommitAndAck,
    BeforePublish,
    AfterPublish,
}

/// The fault.
#[derive(Debug)]
pub(super) struct Crash(Moment);

/// How long a process stays dead.
const OUTAGE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(1000));

impl Crash {
    pub(super) const BETWEEN_COMMIT_AND_ACK: Self = Self(Moment::CommitAndAck);
    pub(super) const BEFORE_PUBLISH: Self = Self(Moment::BeforePublish);
    pub(super) const AFTER_PUBLISH: Self = Self(Moment::AfterPublish);

    fn victims<'c>(&self, cluster: &'c mut Cluster) -> &'c mut [Member] {
        match self.0 {
            Moment::CommitAndAck => &mut cluster.workers,
            Moment::BeforePublish | Moment::AfterPublish => &mut cluster.ingests,
        }
    }
}

impl Fault for Crash {
    fn name(&self) -> &'static str {
        match self.0 {
            Moment::CommitAndAck => "crash-between-commit-and-ack",
            Moment::BeforePublish => "crash-before-publish",
            Moment::AfterPublish => "crash-after-publish",
        }
    }

    fn setup(&self) -> Setup {
        let at = |place: &str| format!("{place}=120*off->return");
        let mut setup = Setup::default();
        match self.0 {
            Moment::CommitAndAck => setup.worker_fail_points = at("worker-before-ack"),
            Moment::BeforePublish => setup.ingest_fail_points = at("ingest-before-publish"),
            Moment::AfterPublish => setup.ingest_fail_points = at("ingest-after-publish"),
        }
        setup
    }

    fn inject<'s>(&'s self, scene: &'s mut Scene) -> BoxFuture<'s, anyhow::Result<()>> {
        Box::pin(async move {
            for _ in 0..scene.rounds() {
                let victims = self.victims(&mut scene.cluster);
                let died = wait::until("a process to die at its fail point", || {
                    let died = victims.iter_mut().position(Member::has_died);
                    async move { Ok(died) }
                });
                let died = died.await?;
                scene.injected();
                let outage = scene.seed.between(OUTAGE.0, OUTAGE.1);
                sleep(outage).await;
                self.victims(&mut scene.cluster)[died].revive().await?;
            }
            for victim in self.victims(&mut scene.cluster) {
                victim.disarm().await?;
            }
            Ok(())
        })
    }

    fn proof<'s>(&'s self, scene: &'s Scene) -> BoxFuture<'s, anyhow::Result<Proof>> {
        Box::pin(async move {
            let deaths = ("deaths", scene.injections);
            Ok(match self.0 {
                Moment::CommitAndAck => {
                    let passed_over = scene.cluster.of_workers("gristmill_jobs_passed_over_total", "").await?;
                    Proof::of([deaths, ("jobs passed over", passed_over)])
                }
                Moment::BeforePublish | Moment::AfterPublish => {
                    Proof::of([deaths, ("calls cut off", scene.calls_cut_off())])
                }
            })
        })
    }
}
