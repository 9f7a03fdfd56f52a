//! The one way in, behind every door: a [`Submission`] becomes a published [`Job`], or a refusal. It knows no transport.
//!
//! A job counts as accepted once the stream has acknowledged its envelope, and never before.

use std::sync::Arc;

use gristmill_broker::{Begun, BrokerClock, Expected, PublishError, Publisher, Store, StoreError, Watch, Work};
use gristmill_models::{Catalog, ModelVersion, catalog::ResolveError};
use gristmill_schemas::{
    Digest, InferRequest, Job, JobId, JobIdKeys, Refusal, RefusalCode, Retention, Span, TraceParent,
    job_id::{Mint, RANDOM_BYTES},
    subject::{Queue, QueueTag, TenantGroup},
};
use gristmill_telemetry::{Shutdown, fail_points};
use gristmill_webhooks::Addresses;
use tokio::time::Instant;

use crate::{
    config::LimitArgs, drain_rate::DrainRates, idempotency_key::IdempotencyKey, keys::Caller, metrics,
    store_room::StoreRoom, tenant_quota::TenantQuota,
};

/// What a client wants, who it is, and under which key of its own it may say so again.
#[derive(Debug)]
pub struct Submission {
    /// The client's words.
    pub request: InferRequest,
    /// Who asks.
    pub caller: Caller,
    /// The same key and body mean the same job.
    pub idempotency_key: Option<IdempotencyKey>,
    /// The request's trace.
    pub trace: TraceParent,
    /// Whether its end is to be waited for.
    pub is_awaited: bool,
}

/// A job that the stream holds.
#[derive(Debug)]
pub struct Accepted {
    /// Its id.
    pub id: JobId,
    /// Whether an earlier submission with the same idempotency key had made it.
    pub replayed: bool,
    /// Who waits for its end since before it was published, for a new job whose end is to be waited for.
    pub expected: Option<Expected>,
}

impl Accepted {
    const fn new(id: JobId, replayed: bool) -> Self {
        Self {
            id,
            replayed,
            expected: None,
        }
    }

    /// A job that is there already.
    #[must_use]
    pub const fn replayed(id: JobId) -> Self {
        Self::new(id, true)
    }
}

/// A job that may be published.
struct Prepared {
    job: Job,
    work: Work,
    /// How many jobs of its tenant may wait, if the tenant has a limit of its own.
    max_queued: Option<u64>,
}

/// Why there is no job, or why nobody knows.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub refusal: Box<Refusal>,
    /// The id under which the job may exist all the same, for `publish_unknown`.
    pub id: Option<JobId>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal: Box::new(refusal),
            id: None,
        }
    }
}

/// Takes submissions. Clones are the same.
#[derive(Debug, Clone)]
pub struct Submitter {
    /// The models.
    pub catalog: Arc<Catalog>,
    /// The way to the stream.
    pub publisher: Publisher,
    /// The store, for idempotency keys alone.
    pub store: Store,
    /// Hints of ends.
    pub watch: Watch,
    /// The clock that deadlines count by.
    pub clock: BrokerClock,
    /// What signs ids.
    pub keys: Arc<JobIdKeys>,
    /// Which deadlines are allowed.
    pub limits: LimitArgs,
    /// Whether the store has room for outcomes.
    pub store_room: StoreRoom,
    /// How many jobs of a tenant may wait.
    pub quota: TenantQuota,
    /// How fast queues are worked off.
    pub drain_rates: DrainRates,
    /// Which addresses webhooks may call.
    pub webhook_addresses: Arc<Addresses>,
    /// When to take nothing more.
    pub shutdown: Shutdown,
}

impl Submitter {
    /// Checks a submission and publishes its job.
    ///
    /// # Errors
    /// [`Refused`]; but for `publish_unknown`, nothing has reached the stream then.
    pub async fn submit(&self, submission: Submission) -> Result<Accepted, Refused> {
        if self.shutdown.is_requested() {
            let detail = "this server is shutting down; another one, or this one in a moment, will take the job";
            return Err(Refusal::new(RefusalCode::Draining, detail).into());
        }
        self.store_room.check()?;
        let once = submission
            .idempotency_key
            .clone()
            .map(|key| (key, Digest::of(&submission.request.to_msgpack())));
        let is_awaited = submission.is_awaited;
        let prepared = self.prepare(submission)?;
        let job = &prepared.job;
        let expected = is_awaited.then(|| self.watch.expect(&job.tenant, &job.id));
        let mut accepted = match once {
            None => self.publish_new(prepared).await,
            Some((key, body)) => self.publish_once(prepared, &key.0, body).await,
        }?;
        // an idempotency key may stand for an earlier job
        accepted.expected = expected.filter(|expected| expected.id == accepted.id);
        Ok(accepted)
    }

    /// All that is decided before anything leaves this process.
    fn prepare(&self, submission: Submission) -> Result<Prepared, Refusal> {
        let Submission {
            request, caller, trace, ..
        } = submission;
        let retention = caller.settings.retention.unwrap_or(self.limits.retention);
        let time_to_live = self.time_to_live(request.deadline, retention)?;
        // before it is known whether there is one: a key says nothing of models it is not for
        caller.check_model(&request.model)?;
        self.check_webhook(&request, &caller)?;
        let version = self.resolve(&request)?;
        let manifest = &version.manifest;
        let inputs = manifest.admit(request.inputs)?;
        let mint = Mint {
            accepted_at: self.clock.now(),
            time_to_live,
            retention,
            queue: QueueTag::of(&manifest.name, &manifest.version, request.lane),
            random: random()?,
        };
        let job = Job {
            id: self.keys.mint(&caller.tenant, mint),
            tenant: caller.tenant,
            submitted_by: caller.key,
            model: manifest.name.clone(),
            version: manifest.version.clone(),
            artifact: manifest.model_digest(),
            lane: request.lane,
            input_digest: Digest::of_tensors(&inputs),
            inputs,
            provenance: request.provenance,
            metadata: request.metadata,
            traceparent: Some(trace),
            webhook: request.webhook,
        };
        let work = Work::rows(manifest.batching.max_batch_size);
        let max_queued = caller.settings.max_queued;
        Ok(Prepared { job, work, max_queued })
    }

    /// A webhook must be one that can be signed and may be called, as far as its URL tells.
    fn check_webhook(&self, request: &InferRequest, caller: &Caller) -> Result<(), Refusal> {
        let Some(url) = &request.webhook else {
            return Ok(());
        };
        let refuse = |detail: String| Refusal::new(RefusalCode::InvalidValue, detail).at("webhook");
        if !caller.has_webhooks {
            let detail =
                "the tenant has no secret that signs webhooks; its operator makes one (gristmill webhooks set)";
            return Err(refuse(detail.to_owned()));
        }
        self.webhook_addresses
            .check(url)
            .map_err(|forbidden| refuse(forbidden.to_string()))
    }

    /// A job must end before it is forgotten, so a short retention allows short deadlines only.
    fn time_to_live(&self, wanted: Option<Span>, retention: Retention) -> Result<Span, Refusal> {
        let limits = &self.limits;
        let kept = retention.as_duration().saturating_sub(limits.expiry_grace.into());
        let kept = Span::from_millis(u32::try_from(kept.as_millis()).unwrap_or(u32::MAX));
        let (min, max) = (limits.min_deadline, limits.max_deadline.min(kept));
        let wanted = wanted.unwrap_or(limits.default_deadline.min(max));
        if (min..=max).contains(&wanted) {
            return Ok(wanted);
        }
        let detail = format!("a deadline of {wanted} is out of range");
        let refusal = Refusal::new(RefusalCode::DeadlineOutOfRange, detail).at("deadline");
        Err(refusal.limit(format_args!("{min} to {max}")))
    }

    fn resolve(&self, request: &InferRequest) -> Result<Arc<ModelVersion>, Refusal> {
        let resolved = self.catalog.resolve(&request.model, request.version.as_ref());
        resolved.map_err(|error| match error {
            ResolveError::Model => {
                let detail = format!("there is no model {}", request.model);
                Refusal::new(RefusalCode::ModelNotFound, detail).at("model")
            }
            ResolveError::Version => {
                let detail = format!("model {} has no such version or alias", request.model);
                Refusal::new(RefusalCode::VersionNotFound, detail).at("version")
            }
        })
    }

    /// Publishes a job that the stream cannot hold yet, unless its queue is too slow for its deadline or its tenant has too
    /// many there. One whose publish is unknown has no place: it is not counted, whether or not it is there.
    async fn publish_new(&self, prepared: Prepared) -> Result<Accepted, Refused> {
        let Prepared {
            job,
            mut work,
            max_queued,
        } = prepared;
        let queue = Queue {
            model: job.model.clone(),
            version: job.version.clone(),
            lane: job.lane,
            group: TenantGroup::of(&job.tenant),
        };
        let time_to_live = job.id.deadline().since(job.id.accepted_at());
        work.backlog = self.drain_rates.check(queue.clone(), time_to_live)?;
        let published = async {
            let (place, id) = (self.quota.reserve(&job.tenant, max_queued)?, job.id);
            let accepted = self.publish(job, work).await?;
            place.keep(&id);
            Ok(accepted)
        };
        published.await.map_err(|refused| self.paced(queue, refused))
    }

    /// Says when to come back where room depends on how fast the queue is worked off.
    fn paced(&self, queue: Queue, mut refused: Refused) -> Refused {
        if matches!(
            refused.refusal.code,
            RefusalCode::StreamFull | RefusalCode::TenantOverQuota
        ) {
            refused.refusal.retry_after = self.drain_rates.room_in(queue);
        }
        refused
    }

    async fn publish(&self, job: Job, work: Work) -> Result<Accepted, Refused> {
        let (id, model, lane) = (job.id, job.model.as_str().to_owned(), job.lane);
        let started = Instant::now();
        fail_points::die_at("ingest-before-publish");
        let published = self.publisher.publish(job, work).await;
        fail_points::die_at("ingest-after-publish");
        metrics::submit_publish_seconds().record(started.elapsed());
        match published {
            Ok(()) => {
                metrics::accepted(model, lane.as_str()).increment(1);
                Ok(Accepted::new(id, false))
            }
            Err(error) => Err(refuse_publish(error, id)),
        }
    }

    /// Publishes the job unless its key stands for one already. While the fate of that one's publish is not known, it is
    /// published again under its own id: the stream may then hold it twice, and the claim passes over the second.
    async fn publish_once(&self, mut prepared: Prepared, key: &str, body: Digest) -> Result<Accepted, Refused> {
        let tenant = prepared.job.tenant.clone();
        let begun = self
            .store
            .idempotency_begin(&tenant, key, (body, prepared.job.id))
            .await;
        let fresh = match begun.map_err(|error| refuse_store(&error))? {
            Begun::New => true,
            Begun::Confirmed(id) => return Ok(Accepted::replayed(id)),
            Begun::Pending(id) if id.deadline() <= self.clock.now() => return Ok(Accepted::replayed(id)),
            Begun::Pending(id) => {
                prepared.job.id = id;
                false
            }
            Begun::Mismatch => {
                let detail = "the key was used with another body; a new body needs a new key";
                let refusal = Refusal::new(RefusalCode::IdempotencyMismatch, detail).at("Idempotency-Key");
                return Err(refusal.into());
            }
        };
        let id = prepared.job.id;
        let published = if fresh {
            self.publish_new(prepared).await
        } else {
            self.publish(prepared.job, prepared.work).await
        };
        let noted = match &published {
            Ok(_) => self.store.idempotency_confirm(&tenant, key, (body, id)).await,
            // whoever found the key pending does not know whether the first publish was stored, so it stays pending
            Err(refused) if fresh && refused.id.is_none() => {
                self.store.idempotency_forget(&tenant, key, (body, id)).await
            }
            Err(_) => Ok(()),
        };
        if let Err(error) = noted {
            // harmless: the key stays pending, and a retry publishes the same job again
            tracing::warn!(%error, "the fate of an idempotency key is not noted");
        }
        published.map(|accepted| Accepted {
            replayed: !fresh,
            ..accepted
        })
    }
}

fn random() -> Result<[u8; RANDOM_BYTES], Refusal> {
    let mut random = [0; RANDOM_BYTES];
    getrandom::fill(&mut random).map_err(|error| {
        tracing::error!(%error, "no random bytes");
        Refusal::new(RefusalCode::Internal, "no random bytes")
    })?;
    Ok(random)
}

fn refuse_publish(error: PublishError, id: JobId) -> Refused {
    let (code, detail) = match error {
        PublishError::TooLarge { limit } => {
            let refusal = Refusal::new(RefusalCode::InputTooLarge, "the job is larger than the broker takes");
            return refusal.at("inputs").limit(format_args!("{limit} bytes")).into();
        }
        PublishError::StreamFull => (RefusalCode::StreamFull, "the stream has no room for the job"),
        PublishError::Unavailable => (
            RefusalCode::BrokerUnavailable,
            "the broker cannot be reached; the job was not accepted",
        ),
        PublishError::Overloaded => (RefusalCode::Overloaded, "too many jobs wait for their publish"),
        PublishError::Unknown => {
            let detail = "the broker did not answer: the job may have been accepted under this id. With an \
                          Idempotency-Key, send it again";
            let refusal = Refusal::new(RefusalCode::PublishUnknown, detail);
            return Refused {
                refusal: Box::new(refusal),
                id: Some(id),
            };
        }
    };
    Refusal::new(code, detail).into()
}

/// What a store's error means to whoever needs the store. The store's own words go to the log.
pub(crate) fn refuse_store(error: &StoreError) -> Refusal {
    match error {
        StoreError::Unavailable(_) => {
            tracing::warn!(%error, "the store is away");
            Refusal::new(RefusalCode::StoreUnavailable, "the store cannot be reached")
        }
        StoreError::Full(_) => {
            tracing::warn!(%error, "the store is full");
            Refusal::new(RefusalCode::StoreUnavailable, "the store has no room")
        }
        StoreError::Unreadable(_) | StoreError::LostKey(_) => {
            tracing::error!(%error, "the store holds what this build cannot use");
            Refusal::new(RefusalCode::Internal, "the store holds what this server cannot read")
        }
    }
}
