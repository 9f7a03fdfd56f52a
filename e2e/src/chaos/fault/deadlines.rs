//! Short deadlines while every worker is dead: what is past its deadline is expired, whoever looks, and never succeeds.

use std::time::Duration;

use futures_util::future::BoxFuture;
use gristmill_schemas::JobState;
use tokio::time::sleep;

use crate::chaos::{
    cluster::Setup,
    fault::{Fault, Proof, Scene},
    history::End,
    plan::Mix,
};

/// The fault.
#[derive(Debug)]
pub(super) struct Deadlines;

/// Longer than any of the deadlines.
const OUTAGE: Duration = Duration::from_secs(4);

impl Fault for Deadlines {
    fn name(&self) -> &'static str {
        "short-deadlines-without-workers"
    }

    fn setup(&self) -> Setup {
        Setup {
            ingest_flags: vec!["--expiry-grace", "1s"],
            ..Setup::default()
        }
    }

    fn mix(&self, _jobs: u64) -> Mix {
        Mix {
            hurried: 50,
            ..Mix::default()
        }
    }

    fn inject<'s>(&'s self, scene: &'s mut Scene) -> BoxFuture<'s, anyhow::Result<()>> {
        Box::pin(async move {
            for round in 0..scene.rounds() {
                scene.until_round(round).await?;
                scene.injected();
                for worker in &mut scene.cluster.workers {
                    worker.kill().await?;
                }
                sleep(OUTAGE).await;
                for worker in &mut scene.cluster.workers {
                    worker.revive().await?;
                }
            }
            Ok(())
        })
    }

    fn proof<'s>(&'s self, scene: &'s Scene) -> BoxFuture<'s, anyhow::Result<Proof>> {
        Box::pin(async move {
            let settled = scene
                .cluster
                .of_ingests("gristmill_settled_by_reader_total", "expired")
                .await?;
            let ops = scene.history.ops();
            let expired = ops
                .iter()
                .filter(|op| matches!(&op.end, End::Ok(answer) if answer.state == JobState::Expired));
            let expired = expired.count() as u64;
            Ok(Proof::of([
                ("expired by a reader", settled),
                ("seen as expired", expired),
            ]))
        })
    }
}
