//! A storm of cancels, while workers stop now and then, so that cancels win some races and lose others.

use std::time::Duration;

use futures_util::future::BoxFuture;
use gristmill_schemas::JobState;
use gristmill_servers::Signal;
use tokio::time::sleep;

use crate::chaos::{
    fault::{Fault, Proof, Scene},
    history::{Call, End},
    plan::Mix,
};

/// The fault.
#[derive(Debug)]
pub(super) struct CancelStorm;

const PAUSE: Duration = Duration::from_millis(1500);

impl Fault for CancelStorm {
    fn name(&self) -> &'static str {
        "cancel-storm"
    }

    fn mix(&self, _jobs: u64) -> Mix {
        Mix {
            cancelled: 60,
            ..Mix::default()
        }
    }

    fn inject<'s>(&'s self, scene: &'s mut Scene) -> BoxFuture<'s, anyhow::Result<()>> {
        Box::pin(async move {
            for round in 0..scene.rounds() {
                scene.until_round(round).await?;
                scene.injected();
                for signal in [Signal::SIGSTOP, Signal::SIGCONT] {
                    for worker in &scene.cluster.workers {
                        worker.signal(signal)?;
                    }
                    sleep(PAUSE).await;
                }
            }
            Ok(())
        })
    }

    fn proof<'s>(&'s self, scene: &'s Scene) -> BoxFuture<'s, anyhow::Result<Proof>> {
        Box::pin(async move {
            let (mut won, mut lost) = (0, 0);
            for op in scene.history.ops() {
                match (&op.call, &op.end) {
                    (Call::Cancel(_), End::Ok(answer)) if answer.state == JobState::Cancelled => won += 1,
                    (Call::Cancel(_), End::Fail(denial)) if denial.status == 409 => lost += 1,
                    _ => {}
                }
            }
            Ok(Proof::of([
                ("cancels that came in time", won),
                ("that came too late", lost),
            ]))
        })
    }
}
