//! Between the worker and the store: claim before a run, commit after it, and patience while the store is away. A store
//! fault never re-runs inference: what was computed is kept, and its envelopes stay alive, until it is stored.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use gristmill_broker::{
    Backoff, BrokerClock, Claim, ClaimRequest, DeadInputs, KeptInput, Settled, Settlement, Store, StoreError,
};
use gristmill_schemas::{Failure, FailureCode, JobResult, JobState, Lineage, Outcome};
use tokio::sync::watch;

use crate::{
    held_job::{HeldJob, Permit, Provenancer},
    lease::JobAccount,
    metrics,
};

/// Pauses between tries while the store is away.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// How many failed jobs' inputs are on their way to the broker at once.
const KEPT_AT_ONCE: usize = 16;

/// Claims and commits jobs of one model's version.
#[derive(Debug)]
pub(crate) struct Settler {
    pub(crate) store: Store,
    pub(crate) dead_inputs: DeadInputs,
    pub(crate) clock: BrokerClock,
    pub(crate) about: Provenancer,
    pub(crate) max_attempts: u32,
    /// False while the store is away: nobody fetches then.
    pub(crate) store_up: watch::Sender<bool>,
}

/// A job that has ended here and waits to be stored.
#[derive(Debug)]
pub(crate) struct Ended {
    held: Arc<HeldJob>,
    outcome: Outcome,
    lineage: Lineage,
    fence: Option<u32>,
    /// Where a failed job's inputs are kept.
    input: Option<KeptInput>,
}

impl Settler {
    fn model(&self) -> &str {
        self.about.model.name.as_str()
    }

    /// Makes a job's outcome; `None` if somebody else has ended it.
    pub(crate) fn end(&self, held: &Arc<HeldJob>, result: JobResult) -> Option<Ended> {
        if !held.end() {
            return None;
        }
        let (outcome, lineage) = held.finish(result, &self.about);
        let fence = (outcome.state() == JobState::Failed).then(|| held.attempt());
        Some(Ended {
            held: Arc::clone(held),
            outcome,
            lineage,
            fence,
            input: None,
        })
    }

    /// Whether its deadline has passed, by the broker's clock.
    pub(crate) fn is_expired(&self, held: &HeldJob) -> bool {
        self.clock.now() >= held.deadline()
    }

    /// Claims jobs that nobody has claimed yet and gives each its permit. Those that are past their deadline, out of
    /// attempts or of another artifact end here; those that have ended elsewhere are passed over.
    ///
    /// A first delivery of a `quick` model is not asked after: to run it costs less, and the commit says whether it had ended.
    pub(crate) async fn claim(&self, jobs: &[Arc<HeldJob>], quick: bool) {
        let (expired, live): (Vec<_>, Vec<_>) = jobs.iter().cloned().partition(|held| self.is_expired(held));
        let mut ended = Vec::new();
        for held in expired {
            held.permit(Permit::PassOver);
            ended.extend(self.end(&held, JobResult::Expired));
        }
        let unasked = |held: &Arc<HeldJob>| quick && held.redelivered.is_none() && self.store.knows_time();
        let (unasked, asked): (Vec<_>, Vec<_>) = live.into_iter().partition(unasked);
        for held in &unasked {
            ended.extend(self.judge(held, Some(Claim::Run { attempt: 1 })).await);
        }
        for (held, claim) in asked.iter().zip(self.ask(&asked).await) {
            ended.extend(self.judge(held, claim).await);
        }
        self.commit(ended).await;
    }

    /// What the store says of each job; `None` where its record cannot be read.
    async fn ask(&self, jobs: &[Arc<HeldJob>]) -> Vec<Option<Claim>> {
        let requests: Vec<ClaimRequest<'_>> = jobs
            .iter()
            .map(|held| ClaimRequest {
                tenant: &held.job.tenant,
                id: &held.job.id,
                redelivered: held.redelivered,
            })
            .collect();
        if requests.is_empty() {
            return Vec::new();
        }
        let mut backoff = Backoff::new(RETRY_PAUSES.0, RETRY_PAUSES.1);
        loop {
            match self.store.claim(&requests).await.and_then(readable) {
                Ok(claims) => return claims,
                Err(error) => self.wait_for_store("claim", &error, &mut backoff).await,
            }
        }
    }

    async fn judge(&self, held: &Arc<HeldJob>, claim: Option<Claim>) -> Option<Ended> {
        let fail = |attempt, code, message: &str| {
            held.permit(Permit::Run { attempt });
            self.end(held, JobResult::Failed(Failure::new(code, message)))
        };
        match claim {
            None => {
                held.permit(Permit::PassOver);
                if held.end() {
                    give_back_unreadable(held).await;
                }
                None
            }
            Some(Claim::Ended(state)) => {
                held.permit(Permit::PassOver);
                if held.end() {
                    self.complete_lineage(held, state).await;
                    self.pass_over(held).await;
                }
                None
            }
            Some(Claim::Run { attempt }) if attempt > self.max_attempts => {
                let message = format!("{} attempts ended without an outcome", attempt - 1);
                fail(attempt, FailureCode::AttemptsExhausted, &message)
            }
            Some(Claim::Run { attempt }) if held.job.artifact != self.about.model.artifact => {
                let message = "the job was accepted for another artifact than this worker's version has";
                fail(attempt, FailureCode::ArtifactMismatch, message)
            }
            Some(Claim::Run { attempt }) => {
                let first = if attempt == 1 { "true" } else { "false" };
                metrics::attempts(self.model().to_owned(), first).increment(1);
                let waited = self.clock.now().since(held.published_at);
                metrics::queue_seconds(self.model().to_owned(), held.job.lane.as_str()).record(waited);
                held.permit(Permit::Run { attempt });
                None
            }
        }
    }

    /// Sees to it that jobs which were not begun here have burnt no attempt. A drain does not wait for a store that is away:
    /// an attempt too many is counted then.
    pub(crate) async fn note_unbegun(&self, jobs: &[Arc<HeldJob>]) {
        let first = jobs.iter().filter(|held| held.redelivered.is_none());
        let first: Vec<_> = first.map(|held| (&held.job.tenant, &held.job.id)).collect();
        if let Err(error) = self.store.note_unbegun(&first).await {
            tracing::warn!(%error, jobs = first.len(), "jobs that are given back count an attempt that they did not have");
        }
    }

    /// Whoever cancels a job or finds it expired knows its id alone; the first worker to meet the job itself writes down the
    /// rest. It is tried once where nobody waits for it, and until it is done where a webhook does.
    async fn complete_lineage(&self, held: &HeldJob, state: JobState) {
        let result = match state {
            JobState::Cancelled => JobResult::Cancelled,
            JobState::Expired => JobResult::Expired,
            JobState::Queued | JobState::Succeeded | JobState::Failed => return,
        };
        let mut backoff = Backoff::new(RETRY_PAUSES.0, RETRY_PAUSES.1);
        loop {
            match self.try_complete_lineage(held, result.clone()).await {
                Ok(()) => return,
                Err(error @ (StoreError::Unavailable(_) | StoreError::Full(_))) if held.job.webhook.is_some() => {
                    self.wait_for_store("complete", &error, &mut backoff).await;
                }
                Err(error) => {
                    tracing::debug!(%error, job.id = %held.job.id, "the lineage of a job that ended by its id alone stays short");
                    return;
                }
            }
        }
    }

    async fn try_complete_lineage(&self, held: &HeldJob, result: JobResult) -> Result<(), StoreError> {
        let Some(record) = self.store.read(&held.job.tenant, &held.job.id).await? else {
            return Ok(());
        };
        if record.lineage().is_ok_and(|known| known.input_digest.is_none()) {
            let (_, mut lineage) = held.finish(result, &self.about);
            // one that was not asked after has run here, in vain
            if lineage.batches.is_empty() {
                lineage.worker = None;
            }
            self.store.complete_lineage(&lineage).await?;
        }
        Ok(())
    }

    /// A job that has ended elsewhere.
    async fn pass_over(&self, held: &HeldJob) {
        metrics::jobs_passed_over(self.model().to_owned()).increment(1);
        held.account(JobAccount::Terminal).await;
    }

    /// Passes over a job that has ended elsewhere since it was claimed, before more of its slices run; true if so. A store
    /// that does not answer says nothing: running a slice too many is harmless.
    pub(crate) async fn has_ended_meanwhile(&self, held: &HeldJob) -> bool {
        let ended = matches!(self.store.state(&held.job.tenant, &held.job.id).await, Ok(Some(_)));
        if ended && held.end() {
            self.pass_over(held).await;
        }
        ended
    }

    /// Stores outcomes, however long the store stays away, and accounts for each to its envelope.
    pub(crate) async fn commit(&self, mut ended: Vec<Ended>) {
        let mut backoff = Backoff::new(RETRY_PAUSES.0, RETRY_PAUSES.1);
        let started = Instant::now();
        let any = !ended.is_empty();
        self.keep_inputs(&mut ended).await;
        while !ended.is_empty() {
            match self.try_commit(ended).await {
                (left, None) => ended = left,
                (left, Some(error)) => {
                    ended = left;
                    if matches!(error, StoreError::Full(_)) {
                        self.forget_progress(&ended).await;
                    }
                    self.wait_for_store("commit", &error, &mut backoff).await;
                }
            }
        }
        if any {
            metrics::commit_seconds(self.model().to_owned()).record(started.elapsed());
        }
    }

    /// What jobs have told while they ran makes room for their outcomes, which have all of it.
    async fn forget_progress(&self, ended: &[Ended]) {
        let told = ended.iter().filter(|ended| ended.lineage.batches.len() > 1);
        let told: Vec<_> = told.map(|ended| (&ended.held.job.tenant, &ended.held.job.id)).collect();
        if let Err(error) = self.store.forget_progress(&told).await {
            tracing::debug!(%error, "a full store keeps what jobs have told");
        }
    }

    /// Keeps what failed jobs were given, for their dead letters. Where that cannot be done soon, the failure is committed
    /// without: that a job ends matters more than that it can be redriven.
    async fn keep_inputs(&self, ended: &mut [Ended]) {
        let failed = ended
            .iter_mut()
            .filter(|ended| ended.outcome.state() == JobState::Failed);
        let kept = stream::iter(failed).for_each_concurrent(KEPT_AT_ONCE, async |ended| {
            match self.dead_inputs.keep(&ended.held.job).await {
                Ok(kept) => ended.input = Some(kept),
                Err(error) => {
                    metrics::dead_inputs_lost(self.model().to_owned()).increment(1);
                    tracing::warn!(%error, job.id = %ended.held.job.id, "a failed job's inputs are not kept");
                }
            }
        });
        kept.await;
    }

    /// One try; what is left has to be tried again.
    async fn try_commit(&self, ended: Vec<Ended>) -> (Vec<Ended>, Option<StoreError>) {
        let ended: Vec<Ended> = ended.into_iter().map(|ended| self.in_time(ended)).collect();
        let settlements: Vec<Settlement<'_>> = ended
            .iter()
            .map(|ended| Settlement {
                tenant: &ended.held.job.tenant,
                outcome: &ended.outcome,
                lineage: &ended.lineage,
                fence: ended.fence,
                within: self.time_left(ended),
                input: ended.input,
            })
            .collect();
        let answers = match self.store.settle_all(&settlements).await {
            Ok(answers) => answers,
            Err(error) => return (ended, Some(error)),
        };
        self.store_up.send_replace(true);
        let (mut left, mut why) = (Vec::new(), None);
        for (ended, answer) in ended.into_iter().zip(answers) {
            match answer {
                Ok(Settled::Late) => left.push(self.expired(ended)),
                Ok(settled) => self.account(ended, settled).await,
                Err(StoreError::Unreadable(_)) => give_back_unreadable(&ended.held).await,
                Err(error) => {
                    left.push(ended);
                    why = Some(error);
                }
            }
        }
        (left, why)
    }

    /// No success is stored past the deadline, however long the store was away: it expires instead.
    fn in_time(&self, ended: Ended) -> Ended {
        if ended.outcome.state() == JobState::Succeeded && self.is_expired(&ended.held) {
            return self.expired(ended);
        }
        ended
    }

    /// How long a success may still be stored; any other end at any time.
    fn time_left(&self, ended: &Ended) -> Option<Duration> {
        let succeeded = ended.outcome.state() == JobState::Succeeded;
        succeeded.then(|| ended.held.deadline().since(self.clock.now()))
    }

    fn expired(&self, ended: Ended) -> Ended {
        let (outcome, lineage) = ended.held.finish(JobResult::Expired, &self.about);
        Ended {
            outcome,
            lineage,
            ..ended
        }
    }

    async fn account(&self, ended: Ended, settled: Settled) {
        let Ended {
            held,
            outcome,
            lineage,
            input,
            ..
        } = ended;
        if let (Some(input), Settled::Lost(_) | Settled::Stale) = (input, settled) {
            self.dead_inputs.forget(input).await;
        }
        let model = self.model();
        match settled {
            Settled::Won => {
                metrics::jobs_ended(model.to_owned(), outcome.state().as_str()).increment(1);
                if let Some(failure) = &lineage.failure {
                    metrics::jobs_failed(model.to_owned(), failure.code.as_str()).increment(1);
                }
                let took = self.clock.now().since(held.job.id.accepted_at());
                metrics::end_to_end_seconds(model.to_owned(), held.job.lane.as_str()).record(took);
                tracing::debug!(
                    job.id = %held.job.id,
                    trace.id = held.job.traceparent.map(|trace| trace.trace_id()),
                    job.state = %outcome.state(),
                    job.attempt = held.attempt(),
                    "committed"
                );
                held.account(JobAccount::Terminal).await;
            }
            Settled::Lost(state) => {
                self.complete_lineage(&held, state).await;
                self.pass_over(&held).await;
            }
            // an end that came too late was made another, and tried again
            Settled::Stale | Settled::Late => {
                metrics::jobs_passed_over(model.to_owned()).increment(1);
                held.account(JobAccount::Superseded).await;
            }
        }
    }

    async fn wait_for_store(&self, call: &'static str, error: &StoreError, backoff: &mut Backoff) {
        if self.store_up.send_replace(false) {
            tracing::warn!(%error, call, "the store is away; holding on to what there is and fetching nothing");
        }
        metrics::store_retries(call).increment(1);
        backoff.wait().await;
    }
}

/// Answers that can be acted on: an error that time will mend is one for all, a record that cannot be read is `None`.
fn readable(answers: Vec<Result<Claim, StoreError>>) -> Result<Vec<Option<Claim>>, StoreError> {
    let readable = |answer| match answer {
        Ok(claim) => Ok(Some(claim)),
        Err(StoreError::Unreadable(_)) => Ok(None),
        Err(error) => Err(error),
    };
    answers.into_iter().map(readable).collect()
}

async fn give_back_unreadable(held: &HeldJob) {
    tracing::error!(job.id = %held.job.id, "a job's record cannot be read; leaving it to others");
    held.account(JobAccount::Unreadable).await;
}
