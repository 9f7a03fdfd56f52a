//! Dead letters as their owner may ask: listing, reading, redriving and dropping them. It knows no transport.
//!
//! A redrive is a submission like any other, of the inputs that were kept; the new job names the old one as its parent. It
//! stands under an idempotency key of its own, so that a redrive that is asked for twice makes one job.

use std::sync::Arc;

use gristmill_broker::{BrokerError, DeadInputs, DeadLetterRecord, Store, dead_letters::Place};
use gristmill_schemas::{
    InferRequest, Job, JobId, JobIdKeys, Provenance, Refusal, RefusalCode, TenantId, TraceParent, VersionName,
};

use crate::{
    idempotency_key::IdempotencyKey,
    jobs::not_found,
    keys::Caller,
    submit::{Accepted, Refused, Submission, Submitter, refuse_store},
};

/// Reads and settles dead letters. Clones are the same.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    /// Where the list is.
    pub store: Store,
    /// Where the inputs are.
    pub inputs: DeadInputs,
    /// The way in, for redrives.
    pub submitter: Submitter,
    /// What signed the ids.
    pub keys: Arc<JobIdKeys>,
}

/// A dead letter with its place in the list.
#[derive(Debug)]
pub struct Listed {
    /// Its place.
    pub place: Place,
    /// What is known of it.
    pub record: DeadLetterRecord,
}

/// What a redrive needs besides the dead letter.
#[derive(Debug, Clone)]
pub struct RedriveOrder {
    /// Who asks.
    pub caller: Caller,
    /// Another version than the one that failed.
    pub version: Option<VersionName>,
    /// The request's trace.
    pub trace: TraceParent,
}

impl DeadLetters {
    /// At most `limit` dead letters behind a place, and the place where the next page begins.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn page(
        &self,
        tenant: &TenantId,
        after: Option<Place>,
        limit: usize,
    ) -> Result<(Vec<Listed>, Option<Place>), Refusal> {
        let refuse = |error| refuse_store(&error);
        let places = self.store.dead_letters(tenant, after, limit).await.map_err(refuse)?;
        let next = (places.len() == limit).then(|| places.last().copied()).flatten();
        let ids: Vec<JobId> = places.iter().map(|place| place.id).collect();
        let records = self.store.dead_letter_records(tenant, &ids).await.map_err(refuse)?;
        // a record that is past its retention leaves the list with the bucket's next failure
        let listed = places
            .into_iter()
            .zip(records)
            .filter_map(|(place, record)| record.map(|record| Listed { place, record }));
        Ok((listed.collect(), next))
    }

    /// One dead letter.
    ///
    /// # Errors
    /// `job_not_found`, `dead_letter_not_found`, `store_unavailable`.
    pub async fn read(&self, tenant: &TenantId, id: &JobId) -> Result<DeadLetterRecord, Refusal> {
        self.keys.verify(id, tenant).map_err(|_| not_found())?;
        let records = self.store.dead_letter_records(tenant, &[*id]).await;
        let mut records = records.map_err(|error| refuse_store(&error))?;
        records.pop().flatten().ok_or_else(none)
    }

    /// The job with what went in.
    ///
    /// # Errors
    /// `input_gone`, `broker_unavailable`.
    pub async fn input(&self, tenant: &TenantId, record: &DeadLetterRecord) -> Result<Job, Refusal> {
        let kept = record.input.ok_or_else(input_gone)?;
        match self.inputs.read(tenant, kept).await {
            Ok(job) => job.ok_or_else(input_gone),
            Err(error) => Err(refuse_broker(&error)),
        }
    }

    /// Submits what failed once more, as a new job.
    ///
    /// # Errors
    /// As [`Self::read`], [`Self::input`] and a submission.
    pub async fn redrive(&self, id: &JobId, order: RedriveOrder) -> Result<Accepted, Refused> {
        let tenant = order.caller.tenant.clone();
        let record = self.read(&tenant, id).await?;
        if let Some(id) = record.redriven_as {
            return Ok(Accepted::replayed(id));
        }
        let job = self.input(&tenant, &record).await?;
        let submission = Submission {
            is_awaited: false,
            request: again(job, order.version),
            caller: order.caller,
            idempotency_key: Some(IdempotencyKey::of_redrive(id)),
            trace: order.trace,
        };
        let accepted = self.submitter.submit(submission).await?;
        // the new job is accepted whatever becomes of the list: asked for again, the key stands for it
        if let Err(error) = self.bury(&tenant, id, Some(&accepted.id)).await {
            tracing::warn!(%error, job.id = %id, "a redriven dead letter stays on the list");
        }
        Ok(accepted)
    }

    /// Takes a dead letter off the list for good. The job stays failed.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn discard(&self, tenant: &TenantId, id: &JobId) -> Result<(), Refusal> {
        self.keys.verify(id, tenant).map_err(|_| not_found())?;
        if self.bury(tenant, id, None).await? {
            Ok(())
        } else {
            Err(none())
        }
    }

    /// True if it was on the list.
    async fn bury(&self, tenant: &TenantId, id: &JobId, redriven_as: Option<&JobId>) -> Result<bool, Refusal> {
        let buried = self.store.bury(tenant, id, redriven_as).await;
        let buried = buried.map_err(|error| refuse_store(&error))?;
        if let Some(Some(kept)) = buried {
            self.inputs.forget(kept).await;
        }
        Ok(buried.is_some())
    }
}

/// The request that made the job, with the job as the first of its parents.
fn again(job: Job, version: Option<VersionName>) -> InferRequest {
    let mut parent_jobs = vec![job.id];
    let earlier = job.provenance.parent_jobs.into_iter().filter(|id| *id != job.id);
    parent_jobs.extend(earlier.take(Provenance::MAX_PARENTS - 1));
    InferRequest {
        version: Some(version.unwrap_or(job.version)),
        lane: job.lane,
        provenance: Provenance {
            parent_jobs,
            ..job.provenance
        },
        metadata: job.metadata,
        webhook: job.webhook,
        ..InferRequest::new(job.model, job.inputs)
    }
}

fn none() -> Refusal {
    Refusal::new(
        RefusalCode::DeadLetterNotFound,
        "the job left no dead letter, or it was dropped",
    )
}

fn input_gone() -> Refusal {
    Refusal::new(RefusalCode::InputGone, "the job's inputs are not kept any more")
}

fn refuse_broker(error: &BrokerError) -> Refusal {
    tracing::warn!(%error, "inputs of a dead letter cannot be read");
    Refusal::new(RefusalCode::BrokerUnavailable, "the inputs cannot be read now")
}
