//! A backlog that piled up while no worker ran; then workers come, and one of them is killed in the middle of it.

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::{
    chaos::{
        cluster::Setup,
        fault::{Fault, Proof, Scene},
        plan::Mix,
    },
    wait,
};

/// The fault.
#[derive(Debug)]
pub(super) struct Backlog;

/// The backlog, in rows of the suite.
const DEPTH: u64 = 5;
/// Ends of followed jobs, of which there is one in ten, that show that the backlog is being worked on.
const BEGUN: u64 = 10;

impl Fault for Backlog {
    fn name(&self) -> &'static str {
        "backlog-and-kill-worker"
    }

    fn jobs(&self, jobs: u64) -> u64 {
        jobs * DEPTH
    }

    fn setup(&self) -> Setup {
        Setup {
            workers: 0,
            ..Setup::default()
        }
    }

    fn mix(&self, _jobs: u64) -> Mix {
        Mix {
            rate: 500,
            // thousands of clients that ask all the time would be a fault of their own
            followed: 10,
            ..Mix::default()
        }
    }

    fn inject<'s>(&'s self, scene: &'s mut Scene) -> BoxFuture<'s, anyhow::Result<()>> {
        Box::pin(async move {
            scene.until_accepted(100).await?;
            let backlog = scene.load.accepted();
            scene.note("backlog", backlog);
            scene.injected();
            for _ in 0..2 {
                scene.cluster.add_worker().await?;
            }
            let (load, some) = (&scene.load, scene.load.ended() + BEGUN);
            wait::until("some of the backlog to be done", || async move {
                Ok((load.ended() >= some).then_some(()))
            })
            .await?;
            scene.injected();
            let victim = scene.seed.below(2) as usize;
            scene.cluster.workers[victim]
                .kill_with_hands_full(Duration::from_millis(50))
                .await?;
            scene.cluster.workers[victim].revive().await
        })
    }

    fn proof<'s>(&'s self, scene: &'s Scene) -> BoxFuture<'s, anyhow::Result<Proof>> {
        Box::pin(async move {
            let redelivered = scene
                .cluster
                .of_workers("gristmill_deliveries_total", "redelivered=\"true\"")
                .await?;
            Ok(Proof::of([
                ("backlog", scene.noted("backlog")),
                ("redelivered", redelivered),
            ]))
        })
    }
}
