//! The clients at work: every step of the plan begins at its time, whatever became of those before it, and goes on until
//! its job has ended.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use gristmill_schemas::JobId;
use tokio::{
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep, sleep_until, timeout, timeout_at},
};

use crate::chaos::{
    caller::Caller,
    history::{Denial, End, Way},
    plan::{Following, Plan, Step},
};

/// How long a submission is repeated.
const SUBMIT_PATIENCE: Duration = Duration::from_secs(60);
/// The pause before a refused submission is repeated: no client of ours is so patient as the longest `Retry-After`.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// Of those who follow events, one in so many hangs up once, after so long.
const CUT_EVERY: u64 = 3;
const CUT_AFTER: Duration = Duration::from_millis(15);
/// The pause between two polls.
const POLL: Duration = Duration::from_millis(150);

/// How far a load has come.
#[derive(Debug, Default)]
pub struct Progress {
    accepted: AtomicU64,
    ended: AtomicU64,
    enough: AtomicBool,
}

impl Progress {
    /// Jobs that were accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Jobs that were followed and whose end their clients know.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }
}

/// A load under way.
#[derive(Debug)]
pub struct Workload {
    /// How far it has come.
    pub progress: Arc<Progress>,
    driver: JoinHandle<JoinSet<()>>,
}

impl Workload {
    /// Starts the plan's steps: at least so many jobs, and more until [`Self::finish`] is called.
    #[must_use]
    pub fn start(callers: Vec<Caller>, plan: Plan, jobs: u64) -> Self {
        let progress = Arc::new(Progress::default());
        let driver = tokio::spawn(drive(callers, plan, jobs, Arc::clone(&progress)));
        Self { progress, driver }
    }

    /// Begins nothing more, and waits until every client knows its job's end, at most until `deadline`. What clients did
    /// not learn by then they will not learn.
    ///
    /// # Errors
    /// A client panicked.
    pub async fn finish(self, deadline: Instant) -> anyhow::Result<()> {
        self.progress.enough.store(true, Ordering::Relaxed);
        let mut clients = self.driver.await?;
        let all = async {
            while let Some(client) = clients.join_next().await {
                client?;
            }
            Ok(())
        };
        timeout_at(deadline, all).await.unwrap_or(Ok(()))
    }
}

async fn drive(callers: Vec<Caller>, plan: Plan, jobs: u64, progress: Arc<Progress>) -> JoinSet<()> {
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for index in 0.. {
        if index >= jobs && progress.enough.load(Ordering::Relaxed) {
            break;
        }
        let step = plan.step(index);
        sleep_until(began + step.at).await;
        let stranger = step.stranger.map(|stranger| callers[stranger].clone());
        let client = Follower {
            caller: callers[step.tenant].clone(),
            stranger,
            progress: Arc::clone(&progress),
            step,
        };
        clients.spawn(client.run());
    }
    clients
}

/// One job's client.
struct Follower {
    caller: Caller,
    stranger: Option<Caller>,
    progress: Arc<Progress>,
    step: Step,
}

impl Follower {
    async fn run(self) {
        let Some((id, known)) = self.submit().await else { return };
        let following = async {
            match self.step.following {
                Some(way) if !known => self.follow(id, way).await,
                Some(_) => {}
                None => return,
            }
            self.progress.ended.fetch_add(1, Ordering::Relaxed);
        };
        let meddling = async {
            if let Some(stranger) = &self.stranger {
                stranger.spy(self.step.ingest, id).await;
            }
        };
        let cancelling = async {
            if let Some(after) = self.step.cancelled_after {
                sleep(after).await;
                // whether or not it came through, the history tells
                let _ = self.caller.cancel(self.step.ingest + 1, id).await;
            }
        };
        tokio::join!(following, meddling, cancelling);
        let door = self.step.ingest + 1;
        if self.step.nonce.is_multiple_of(2) {
            let _ = self.caller.read(door, id, Way::Lineage).await;
        }
    }

    /// Hands the job in until it is accepted; its id, and whether its end is known already. Without an idempotency key
    /// nothing is repeated that may have been accepted.
    async fn submit(&self) -> Option<(JobId, bool)> {
        let until = Instant::now() + SUBMIT_PATIENCE;
        let mut door = self.step.ingest;
        while Instant::now() < until {
            match self.caller.submit(door, &self.step).await {
                End::Ok(answer) => {
                    self.progress.accepted.fetch_add(1, Ordering::Relaxed);
                    return Some((answer.id, answer.state.is_terminal()));
                }
                End::Fail(denial) if denial.status == 0 => sleep(PAUSES.0).await,
                End::Fail(denial) if self.may_repeat(&denial) => {
                    sleep(denial.retry_after.unwrap_or(PAUSES.0).clamp(PAUSES.0, PAUSES.1)).await;
                }
                End::Info(_) if self.step.key.is_some() => sleep(PAUSES.0).await,
                End::Fail(_) | End::Info(_) => return None,
            }
            door += 1;
        }
        None
    }

    fn may_repeat(&self, denial: &Denial) -> bool {
        let passing = matches!(denial.status, 429 | 503);
        passing && (self.step.key.is_some() || denial.code != "publish_unknown")
    }

    /// Asks until the job has ended. Clients take turns between the doors: an answer must not depend on who is asked.
    async fn follow(&self, id: JobId, way: Following) {
        let mut door = self.step.ingest;
        if way == Following::Events && self.step.nonce.is_multiple_of(CUT_EVERY) {
            // hangs up in the middle, and comes back to the other door
            let _ = timeout(CUT_AFTER, self.caller.events(door, id)).await;
            door += 1;
        }
        loop {
            let asked = Instant::now();
            let end = match way {
                Following::Poll => self.caller.read(door, id, Way::Poll).await,
                Following::LongPoll => self.caller.read(door, id, Way::LongPoll).await,
                Following::Events => self.caller.events(door, id).await,
            };
            match end {
                End::Ok(answer) if answer.state.is_terminal() => return,
                // a job that is denied to its owner will not come back
                End::Fail(denial) if matches!(denial.status, 404 | 410) => return,
                End::Ok(_) | End::Fail(_) | End::Info(_) => sleep_until(asked + POLL).await,
            }
            door += 1;
        }
    }
}
