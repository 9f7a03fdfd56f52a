//! A job that kills whichever worker runs it, in the middle of a batch: its neighbours are served, and it is given up after
//! as many attempts as are allowed.

use futures_util::future::BoxFuture;
use gristmill_schemas::FailureCode;

use crate::{
    chaos::{
        checker::Allowance,
        cluster::Setup,
        fault::{Fault, Proof, Scene},
        history::{Call, End},
        member::Member,
        plan::Mix,
    },
    wait,
};

/// The fault.
#[derive(Debug)]
pub(super) struct Poison;

/// Which job it is.
const NONCE: u64 = 37;
const MAX_ATTEMPTS: u32 = 3;
/// A job that has killed so many workers will not stop.
const ENOUGH: u32 = 7;

/// What comes next while the poison is about.
enum Next {
    Died,
    Ended,
}

impl Fault for Poison {
    fn name(&self) -> &'static str {
        "poison-kills-its-worker"
    }

    fn setup(&self) -> Setup {
        Setup {
            workers: 1,
            worker_flags: vec!["--max-attempts", "3"],
            worker_fail_points: "worker-on-poison=return".to_owned(),
            ..Setup::default()
        }
    }

    fn mix(&self, _jobs: u64) -> Mix {
        Mix {
            poison: vec![NONCE],
            ..Mix::default()
        }
    }

    fn allowance(&self) -> Allowance {
        Allowance {
            // the attempt that finds that there were enough of them is counted, and runs nothing
            attempts: MAX_ATTEMPTS + 1,
            ..Allowance::default()
        }
    }

    fn inject<'s>(&'s self, scene: &'s mut Scene) -> BoxFuture<'s, anyhow::Result<()>> {
        Box::pin(async move {
            let mut deaths = 0;
            while deaths < ENOUGH {
                let (history, worker) = (&scene.history, &mut scene.cluster.workers[0]);
                let next = wait::until("the poison to kill or to be given up", || {
                    let died = worker.has_died();
                    let ended = ended(&history.ops()).is_some();
                    async move {
                        Ok(match (died, ended) {
                            (true, _) => Some(Next::Died),
                            (false, true) => Some(Next::Ended),
                            (false, false) => None,
                        })
                    }
                });
                match next.await? {
                    Next::Ended => break,
                    Next::Died => {
                        deaths += 1;
                        scene.injected();
                        scene.executions.insert(NONCE, deaths);
                        scene.cluster.workers[0].revive().await?;
                    }
                }
            }
            for worker in &mut scene.cluster.workers {
                Member::disarm(worker).await?;
            }
            Ok(())
        })
    }

    fn proof<'s>(&'s self, scene: &'s Scene) -> BoxFuture<'s, anyhow::Result<Proof>> {
        Box::pin(async move {
            let exhausted = ended(&scene.history.ops()) == Some(Some(FailureCode::AttemptsExhausted));
            let deaths = scene.executions.get(&NONCE).copied().unwrap_or_default();
            Ok(Proof::of([
                ("workers killed", deaths.into()),
                ("given up", exhausted.into()),
            ]))
        })
    }
}

/// How the poison ended, if its client knows.
fn ended(ops: &[crate::chaos::history::Op]) -> Option<Option<FailureCode>> {
    let id = ops.iter().find_map(|op| match (&op.call, &op.end) {
        (Call::Submit { nonce: NONCE, .. }, End::Ok(answer)) => Some(answer.id),
        _ => None,
    })?;
    ops.iter().find_map(|op| match (&op.call, &op.end) {
        (Call::Read { id: read, .. }, End::Ok(answer)) if *read == id && answer.state.is_terminal() => {
            Some(answer.failure)
        }
        _ => None,
    })
}
