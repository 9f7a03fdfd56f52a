//! Committing outcomes: the first one written wins, for ever, together with its lineage, its event and its hint.

use std::time::{Duration, Instant};

use gristmill_schemas::{JobEvent, JobState, Lineage, Outcome, Retention, TenantId, key};
use gristmill_telemetry::fail_points;
use redis::{Cmd, FromRedisValue, RedisError, Value};

use crate::{
    dead_inputs::KeptInput,
    hint,
    outcomes::parse_state,
    progress,
    queued::Place,
    script,
    store::{Store, StoreError, kept_millis, translate},
};

/// How long it is remembered since when events are all there, and how long an outbox waits for whoever empties it: longer than
/// anything of a job is kept.
const WINDOW_KEPT: Duration = Retention::MAX.as_duration();

/// An outcome to be committed.
#[derive(Debug, Clone, Copy)]
pub struct Settlement<'a> {
    /// Whose job it is.
    pub tenant: &'a TenantId,
    /// How it ended.
    pub outcome: &'a Outcome,
    /// Its lineage.
    pub lineage: &'a Lineage,
    /// The attempt that alone may commit this: set for a worker's failures, since an older attempt must not fail a job
    /// that a newer one is about to finish. A success is welcome from any attempt.
    pub fence: Option<u32>,
    /// Of a success: it counts only if the store gets to it within so long from now. Whoever tries again says so anew.
    pub within: Option<Duration>,
    /// Of a failure: where the inputs are kept for its dead letter, if they are.
    pub input: Option<KeptInput>,
}

/// What became of a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It is the job's outcome.
    Won,
    /// The job had ended already.
    Lost(JobState),
    /// A newer attempt is in charge.
    Stale,
    /// The store got to it too late: the job has not ended.
    Late,
}

impl Store {
    /// Commits outcomes in one pipeline, each atomically and independent of the others; answers stand in their order.
    /// Committing again after an error is harmless: what was done is `Lost` then.
    ///
    /// # Errors
    /// The whole pipeline failed; within it, each settlement has its own error.
    pub async fn settle_all(
        &self,
        settlements: &[Settlement<'_>],
    ) -> Result<Vec<Result<Settled, StoreError>>, StoreError> {
        if fail_points::is_on("bug-plain-set") {
            let of = |settlement: &Settlement<'_>| key::job(settlement.tenant, &settlement.outcome.job_id);
            let forget = |settlement| redis::cmd("HDEL").arg(of(settlement)).arg(key::field::STATE).to_owned();
            self.run(settlements.iter().map(forget).collect()).await?;
        }
        let commands = settlements.iter().map(|settlement| self.settle_command(*settlement));
        let answers = self.run_and_note_time(commands).await?;
        Ok(answers.map(read_settled).collect())
    }

    /// Whether its clock is known here: before that, a commit cannot be told its last moment.
    #[must_use]
    pub fn knows_time(&self) -> bool {
        self.clock().latest_at(Instant::now()).is_some()
    }

    /// Commits one outcome that anybody may commit: a cancel, an expiry.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn settle(&self, tenant: &TenantId, outcome: &Outcome, lineage: &Lineage) -> Result<Settled, StoreError> {
        let settlement = Settlement {
            tenant,
            outcome,
            lineage,
            fence: None,
            within: None,
            input: None,
        };
        let answers = self.settle_all(&[settlement]).await?;
        answers
            .into_iter()
            .next()
            .unwrap_or_else(|| Err(StoreError::Unreadable("no answer".to_owned())))
    }

    /// Gives a job that was settled by its id alone (cancelled, expired) the lineage of one who has seen the job itself. Its
    /// outcome stays as it is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn complete_lineage(&self, lineage: &Lineage) -> Result<(), StoreError> {
        let id = &lineage.job_id;
        let [id_text, _, model, version, _, metadata] = JobEvent::of(lineage).values();
        let mut command = script::COMPLETE.call(2);
        command
            .arg(key::job(&lineage.tenant, id))
            .arg(key::outbox(&lineage.tenant, id.bucket(key::BUCKETS)));
        command.arg(lineage.encode()).arg(id_text);
        command.arg(model).arg(version).arg(metadata);
        command.arg(webhook(lineage)).arg(WINDOW_KEPT.as_millis() as u64);
        let answers = self.run(vec![command]).await?;
        answers
            .into_iter()
            .try_for_each(|answer| answer.map(drop).map_err(|error| translate(&error)))
    }

    fn settle_command(&self, settlement: Settlement<'_>) -> Cmd {
        let Settlement {
            tenant,
            outcome,
            lineage,
            fence,
            within,
            input,
        } = settlement;
        let id = &outcome.job_id;
        let bucket = id.bucket(key::BUCKETS);
        let mut command = script::SETTLE.call(7);
        command
            .arg(key::job(tenant, id))
            .arg(key::events(tenant, bucket))
            .arg(key::dead_letters(tenant, bucket))
            .arg(key::queued(tenant, bucket))
            .arg(key::events_window(tenant, bucket))
            .arg(key::outbox(tenant, bucket))
            .arg(key::progress(tenant, id));
        command
            .arg(id.to_string())
            .arg(outcome.state().as_str())
            .arg(outcome.encode())
            .arg(lineage.encode());
        command.arg(fence.map(|fence| fence.to_string()).unwrap_or_default());
        command
            .arg(kept_millis(id))
            .arg(WINDOW_KEPT.as_millis() as u64)
            .arg(key::hints(tenant, bucket));
        command.arg(match outcome.state() {
            JobState::Failed => input.map_or(0, KeptInput::sequence).to_string(),
            JobState::Queued | JobState::Succeeded | JobState::Expired | JobState::Cancelled => String::new(),
        });
        let last_moment = within.and_then(|within| Some(self.clock().latest_at(Instant::now())?.plus(within)));
        command.arg(last_moment.map(|at| at.as_micros().to_string()).unwrap_or_default());
        command.arg(Place::of(id).slot).arg(hint::CARRIED);
        let [_, _, about @ ..] = JobEvent::of(lineage).values();
        command.arg(&about[..]).arg(webhook(lineage));
        // a job that has succeeded by one engine call has told nothing; any other may have, in an attempt that this one does not
        // know of
        let told_nothing = outcome.state() == JobState::Succeeded && lineage.batches.len() == 1;
        let progress = (!told_nothing).then(|| progress::KEPT_AFTER.as_millis().to_string());
        command.arg(progress.unwrap_or_default());
        command
    }
}

/// The webhook that the job named, or nothing.
fn webhook(lineage: &Lineage) -> String {
    lineage.webhook.as_ref().map(ToString::to_string).unwrap_or_default()
}

fn read_settled(answer: Result<Value, RedisError>) -> Result<Settled, StoreError> {
    let word = answer.and_then(|value| String::from_redis_value(value).map_err(RedisError::from));
    match word.map_err(|error| translate(&error))?.as_str() {
        "won" => Ok(Settled::Won),
        "stale" => Ok(Settled::Stale),
        "late" => Ok(Settled::Late),
        state => parse_state(state).map(Settled::Lost),
    }
}
