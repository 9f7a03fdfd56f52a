//! Ends jobs that wait on the stream past their deadline, asked for or not, with a worker alive or without. It looks at each
//! envelope once when it has waited a while, notes its earliest deadline, and looks again when that has passed. One ingest
//! of all does this at a time.

mod schedule;

use std::{sync::Arc, time::Duration};

use gristmill_broker::{Backlog, BrokerClock, BrokerError, Settlement, Store, StoreError, backlog::WaitingEnvelope};
use gristmill_models::Catalog;
use gristmill_schemas::{Envelope, Job, JobResult, JobState, Lineage, Outcome, Timestamp};

use self::schedule::Schedule;
use crate::metrics;

/// How often it looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long the lead is kept without a sign of life.
const LEASE: Duration = Duration::from_secs(5);
/// An envelope that waits less than this is left alone: with workers there, most are gone by then and are never read.
const SETTLED_SOON: Duration = Duration::from_secs(2);
/// How long after a deadline a worker may still be the one to write it down.
const WORKERS_FIRST: Duration = Duration::from_secs(1);
/// Envelopes that are looked at in one round, so that other work of the round is not held up.
const ROUND: usize = 2_000;

/// What it needs.
#[derive(Debug, Clone)]
pub(crate) struct Reconciler {
    pub(crate) backlog: Backlog,
    pub(crate) store: Store,
    pub(crate) clock: BrokerClock,
    pub(crate) catalog: Arc<Catalog>,
}

/// Why a round was given up: the next one goes on where it was.
#[derive(Debug, thiserror::Error)]
enum Interrupted {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Reconciler {
    /// Goes on until it is dropped.
    pub(crate) async fn run(self) {
        let token = Self::token();
        let mut schedule = Schedule::default();
        let mut rounds = tokio::time::interval(INTERVAL);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            match self.store.take_lead("reconciler", &token, LEASE).await {
                Ok(true) => {}
                // whoever leads next reads the stream for himself
                Ok(false) => {
                    schedule = Schedule::default();
                    continue;
                }
                Err(error) => {
                    tracing::debug!(%error, "nobody knows who reconciles");
                    continue;
                }
            }
            if let Err(error) = self.round(&mut schedule).await {
                tracing::debug!(%error, "reconciling goes on later");
            }
            metrics::envelopes_watched().set(schedule.len() as f64);
        }
    }

    fn token() -> String {
        let mut random = [0; 8];
        // without random bytes two may lead at once, which only costs
        let _ = getrandom::fill(&mut random);
        format!("{}-{:016x}", std::process::id(), u64::from_le_bytes(random))
    }

    async fn round(&self, schedule: &mut Schedule) -> Result<(), Interrupted> {
        self.look_ahead(schedule).await?;
        let now = self.clock.now();
        for _ in 0..ROUND {
            let Some(sequence) = schedule.due(now) else { break };
            let next = match self.backlog.at(sequence).await? {
                Some(waiting) => self.reconcile(&waiting).await?,
                None => None,
            };
            schedule.done(sequence, next);
        }
        Ok(())
    }

    /// Notes the deadlines of envelopes that have waited a while and were not looked at yet.
    async fn look_ahead(&self, schedule: &mut Schedule) -> Result<(), Interrupted> {
        for _ in 0..ROUND {
            if schedule.is_full() {
                break;
            }
            let Some(waiting) = self.backlog.from(schedule.cursor()).await? else {
                break;
            };
            if self.clock.now().since(waiting.published_at) < SETTLED_SOON {
                break;
            }
            let due = Envelope::decode(&waiting.payload)
                .ok()
                .and_then(|envelope| earliest(&envelope.jobs, waiting.published_at));
            schedule.note(waiting.sequence, due);
        }
        Ok(())
    }

    /// Ends those jobs of an envelope that are past their deadline. Answers when to look again; never, once all have ended
    /// and the envelope is off the stream.
    async fn reconcile(&self, waiting: &WaitingEnvelope) -> Result<Option<Timestamp>, Interrupted> {
        // what this build cannot read is left to those who can
        let Ok(envelope) = Envelope::decode(&waiting.payload) else {
            return Ok(None);
        };
        let now = self.clock.now();
        let (late, alive): (Vec<Job>, Vec<Job>) = envelope
            .jobs
            .into_iter()
            .partition(|job| due(job, waiting.published_at) <= now);
        self.expire(&late, waiting.published_at).await?;
        let mut open = Vec::new();
        for job in alive {
            match self.store.state(&job.tenant, &job.id).await? {
                None => open.push(job),
                Some(state) => self.complete(&job, state, waiting.published_at).await?,
            }
        }
        if open.is_empty() {
            self.backlog.delete(waiting.sequence).await?;
        }
        Ok(earliest(&open, waiting.published_at))
    }

    async fn expire(&self, late: &[Job], published_at: Timestamp) -> Result<(), Interrupted> {
        let ends: Vec<(Outcome, Lineage)> = late
            .iter()
            .map(|job| {
                let lineage = self.lineage(job, JobState::Expired, published_at);
                (Outcome::new(job.id, JobResult::Expired), lineage)
            })
            .collect();
        let settlements: Vec<Settlement<'_>> = late
            .iter()
            .zip(&ends)
            .map(|(job, (outcome, lineage))| Settlement {
                tenant: &job.tenant,
                outcome,
                lineage,
                fence: None,
                input: None,
            })
            .collect();
        let answers = self.store.settle_all(&settlements).await?;
        for (job, answer) in late.iter().zip(answers) {
            match answer? {
                gristmill_broker::Settled::Won => metrics::reconciled(JobState::Expired.as_str()).increment(1),
                gristmill_broker::Settled::Lost(state) => self.complete(job, state, published_at).await?,
                // only what a fence guards can be outdated
                gristmill_broker::Settled::Stale => {}
            }
        }
        Ok(())
    }

    /// A job that ended by its id alone gets the lineage of its message, before that is gone.
    async fn complete(&self, job: &Job, state: JobState, published_at: Timestamp) -> Result<(), Interrupted> {
        if !matches!(state, JobState::Cancelled | JobState::Expired) {
            return Ok(());
        }
        let Some(record) = self.store.read(&job.tenant, &job.id).await? else {
            return Ok(());
        };
        if record.lineage().is_ok_and(|known| known.input_digest.is_none()) {
            let lineage = self.lineage(job, state, published_at);
            self.store.complete_lineage(&lineage).await?;
        }
        Ok(())
    }

    fn lineage(&self, job: &Job, state: JobState, published_at: Timestamp) -> Lineage {
        let version = self.catalog.resolve(&job.model, Some(&job.version)).ok();
        let model = version.map(|version| version.manifest.record());
        let mut lineage = Lineage::of_job(job, state);
        // a version that was replaced on disk is not the one the job was accepted for
        lineage.model = model.filter(|model| model.artifact == job.artifact);
        lineage.stages.published_at = Some(published_at);
        lineage
    }
}

/// When a job is to be ended here if it has not ended.
fn due(job: &Job, published_at: Timestamp) -> Timestamp {
    let deadline = published_at.plus(job.id.time_to_live().into());
    deadline.plus(WORKERS_FIRST)
}

fn earliest(jobs: &[Job], published_at: Timestamp) -> Option<Timestamp> {
    jobs.iter().map(|job| due(job, published_at)).min()
}
