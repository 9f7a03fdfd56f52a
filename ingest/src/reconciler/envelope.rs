//! One envelope that waits: ending those of its jobs that are past their deadline, and taking it off once all have ended.

use gristmill_broker::{BrokerError, Settled, Settlement, StoreError, backlog::WaitingEnvelope};
use gristmill_schemas::{Envelope, Job, JobResult, JobState, Lineage, Outcome, Timestamp};

use super::{Reconciler, WORKERS_FIRST};
use crate::metrics;

/// Why a round was given up: the next one goes on where it was.
#[derive(Debug, thiserror::Error)]
pub(super) enum Interrupted {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// When the first of an envelope's jobs is to be ended, if none has ended. What this build cannot read is left to those who
/// can.
pub(super) fn first_due(waiting: &WaitingEnvelope) -> Option<Timestamp> {
    let envelope = Envelope::decode(&waiting.payload).ok()?;
    earliest(&envelope.jobs, waiting.published_at)
}

/// When a job is to be ended here if it has not ended.
fn due(job: &Job, published_at: Timestamp) -> Timestamp {
    let deadline = published_at.plus(job.id.time_to_live().into());
    deadline.plus(WORKERS_FIRST)
}

fn earliest<'j>(jobs: impl IntoIterator<Item = &'j Job>, published_at: Timestamp) -> Option<Timestamp> {
    jobs.into_iter().map(|job| due(job, published_at)).min()
}

impl Reconciler {
    /// Looks at one envelope: ends what is past its deadline, and takes it off if all have ended. Answers when to look
    /// again, if ever.
    pub(super) async fn look_at(&self, sequence: u64) -> Result<Option<Timestamp>, Interrupted> {
        let Some(waiting) = self.backlog.at(sequence).await? else {
            return Ok(None);
        };
        let Ok(envelope) = Envelope::decode(&waiting.payload) else {
            return Ok(None);
        };
        let now = self.clock.now();
        let is_late = |job: &Job| due(job, waiting.published_at) <= now;
        let (late, alive): (Vec<Job>, Vec<Job>) = envelope.jobs.into_iter().partition(is_late);
        let mut unreadable = self.expire(&late, waiting.published_at).await?;
        let jobs: Vec<_> = alive.iter().map(|job| (&job.tenant, &job.id)).collect();
        let mut open = Vec::new();
        for (job, state) in alive.iter().zip(self.store.states(&jobs).await?) {
            match state {
                Ok(None) => open.push(job),
                Ok(Some(state)) => self.complete(job, state, waiting.published_at).await?,
                Err(error) => unreadable |= is_unreadable(job, error)?,
            }
        }
        if open.is_empty() && !unreadable {
            self.backlog.delete(sequence).await?;
        }
        Ok(earliest(open, waiting.published_at))
    }

    /// Ends jobs as expired; true if of one nobody can tell whether it has ended.
    async fn expire(&self, late: &[Job], published_at: Timestamp) -> Result<bool, Interrupted> {
        let end = |job: &Job| {
            let lineage = self.lineage(job, JobState::Expired, published_at);
            (Outcome::new(job.id, JobResult::Expired), lineage)
        };
        let ends: Vec<(Outcome, Lineage)> = late.iter().map(end).collect();
        let settlements: Vec<Settlement<'_>> = late
            .iter()
            .zip(&ends)
            .map(|(job, (outcome, lineage))| Settlement {
                tenant: &job.tenant,
                outcome,
                lineage,
                fence: None,
                within: None,
                input: None,
            })
            .collect();
        let mut unreadable = false;
        for (job, answer) in late.iter().zip(self.store.settle_all(&settlements).await?) {
            match answer {
                Ok(Settled::Won) => metrics::reconciled(JobState::Expired.as_str()).increment(1),
                Ok(Settled::Lost(state)) => self.complete(job, state, published_at).await?,
                // only what a fence guards can be outdated, and only what has a last moment late
                Ok(Settled::Stale | Settled::Late) => {}
                Err(error) => unreadable |= is_unreadable(job, error)?,
            }
        }
        Ok(unreadable)
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

/// True for a record that cannot be read, which must not keep all other envelopes waiting; its own stays where it is. Any
/// other error is for the next round.
fn is_unreadable(job: &Job, error: StoreError) -> Result<bool, Interrupted> {
    match error {
        StoreError::Unreadable(_) => {
            tracing::warn!(%error, job.id = %job.id, "an envelope is left on the stream");
            Ok(true)
        }
        StoreError::Unavailable(_) | StoreError::Full(_) | StoreError::LostKey(_) => Err(error.into()),
    }
}
