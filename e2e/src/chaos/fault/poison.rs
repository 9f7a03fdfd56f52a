//! Jobs that cannot be run, in the middle of a batch: their neighbours are served. One kills whichever worker runs it, and is
//! given up after as many attempts as are allowed; others are more than a real graph can bear, each in its own way.

use futures_util::future::BoxFuture;
use gristmill_schemas::FailureCode;

use crate::{
    chaos::{
        checker::Allowance,
        cluster::Setup,
        fault::{Fault, Proof, Scene},
        history::{Call, End, Op},
        member::Member,
        plan::Mix,
    },
    wait,
};

/// A job that kills its worker.
#[derive(Debug)]
pub(super) struct Poison;

/// Jobs that break the graph.
#[derive(Debug)]
pub(super) struct PoisonousGraph;

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
                    let ended = ended(&history.ops(), NONCE).is_some();
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
            let exhausted = ended(&scene.history.ops(), NONCE) == Some(Some(FailureCode::AttemptsExhausted));
            let deaths = scene.executions.get(&NONCE).copied().unwrap_or_default();
            Ok(Proof::of([
                ("workers killed", deaths.into()),
                ("given up", exhausted.into()),
            ]))
        })
    }
}

/// Of so many jobs three are poison, next to each other.
const EVERY: u64 = 500;
/// What each of the three ends as, by its place: an index out of range, an endless loop, a boundless allocation.
const ENDS: [(u64, &str, FailureCode); 3] = [
    (101, "out of range", FailureCode::InferenceFailed),
    (102, "endless", FailureCode::MaxRuntimeExceeded),
    (103, "boundless", FailureCode::InferenceFailed),
];
/// More jobs than a row ever has.
const MOST_JOBS: u64 = 100_000;

impl Fault for PoisonousGraph {
    fn name(&self) -> &'static str {
        "poison-breaks-the-graph"
    }

    fn setup(&self) -> Setup {
        Setup {
            poisonous_model: true,
            ..Setup::default()
        }
    }

    fn mix(&self, _jobs: u64) -> Mix {
        let rounds = (0..MOST_JOBS).step_by(EVERY as usize);
        Mix {
            // so dense that batches are full
            rate: 300,
            poison: rounds.flat_map(|round| ENDS.map(|(place, ..)| round + place)).collect(),
            ..Mix::default()
        }
    }

    fn inject<'s>(&'s self, scene: &'s mut Scene) -> BoxFuture<'s, anyhow::Result<()>> {
        Box::pin(async move {
            for round in (0..scene.jobs).step_by(EVERY as usize) {
                for (place, name, code) in ENDS {
                    let (nonce, history) = (round + place, scene.history.clone());
                    if nonce >= scene.jobs {
                        continue;
                    }
                    let end = wait::until("a poisonous job to end", || {
                        let end = ended(&history.ops(), nonce);
                        async move { Ok(end) }
                    });
                    let as_it_should = end.await? == Some(code);
                    scene.injected();
                    scene.note(name, as_it_should.into());
                }
            }
            Ok(())
        })
    }

    fn proof<'s>(&'s self, scene: &'s Scene) -> BoxFuture<'s, anyhow::Result<Proof>> {
        Box::pin(async move { Ok(Proof::of(ENDS.map(|(_, name, _)| (name, scene.noted(name))))) })
    }
}

/// How a job ended, if its client knows: from its submission, if that waited, or from a read.
fn ended(ops: &[Op], nonce: u64) -> Option<Option<FailureCode>> {
    let id = ops.iter().find_map(|op| match (&op.call, &op.end) {
        (Call::Submit { nonce: asked, .. }, End::Ok(answer)) if *asked == nonce => Some(answer.id),
        _ => None,
    })?;
    ops.iter().find_map(|op| match (&op.call, &op.end) {
        (Call::Submit { .. } | Call::Read { .. }, End::Ok(answer)) if answer.id == id && answer.state.is_terminal() => {
            Some(answer.failure)
        }
        _ => None,
    })
}
