//! Everything a result can be asked about: who, what went in, which model, where, when, and what came out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    codec::{self, DecodeError, Message, SCHEMA_VERSION},
    digest::Digest,
    failure::Failure,
    job::Job,
    job_id::JobId,
    lane::Lane,
    name::{KeyId, ModelName, TenantId, VersionName},
    outcome::JobState,
    provenance::Provenance,
    time::Timestamp,
    trace::TraceParent,
    webhook::WebhookUrl,
};

/// The one lineage record of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Lineage {
    /// The record's major version.
    pub schema_version: u16,
    /// The job.
    pub job_id: JobId,
    /// Its terminal state.
    pub state: JobState,
    /// Whose it was.
    pub tenant: TenantId,
    /// The API key that submitted it; unknown where the job was settled without its message.
    #[serde(default)]
    pub submitted_by: Option<KeyId>,
    /// The trace it belongs to.
    #[serde(default)]
    pub traceparent: Option<TraceParent>,
    /// What the caller said of the input's origin.
    #[serde(default)]
    pub provenance: Provenance,
    /// The caller's labels.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// What went in ([`Digest::of_tensors`]).
    #[serde(default)]
    pub input_digest: Option<Digest>,
    /// What came out ([`Digest::of_tensors`]), for a success.
    #[serde(default)]
    pub output_digest: Option<Digest>,
    /// Why it failed, for a failure.
    #[serde(default)]
    pub failure: Option<Failure>,
    /// The model that was fixed at accept.
    #[serde(default)]
    pub model: Option<ModelRecord>,
    /// The lane it waited in.
    #[serde(default)]
    pub lane: Option<Lane>,
    /// The engine calls it was in: one, or one a slice of a job with more rows than a batch.
    #[serde(default)]
    pub batches: Vec<BatchRecord>,
    /// Who ran it.
    #[serde(default)]
    pub worker: Option<WorkerRecord>,
    /// Which attempt ended it; 1 is the first.
    #[serde(default)]
    pub attempt: u32,
    /// Where its end was to be told, if the job named a webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookUrl>,
    /// When what happened.
    pub stages: Stages,
}

/// Which model, exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelRecord {
    /// Its name.
    pub name: ModelName,
    /// Its version.
    pub version: VersionName,
    /// The digest of the ONNX graph.
    pub artifact: Digest,
    /// Digests of the other artifacts (tokenizer, config) by role.
    #[serde(default)]
    pub companions: BTreeMap<String, Digest>,
    /// What was done to inputs before the graph, with its parameters, as the manifest declares it.
    pub preprocess: String,
    /// What was done to the graph's outputs.
    pub postprocess: String,
}

/// One engine call and the job's place in it. Embeddings of some models depend on what they were batched with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BatchRecord {
    /// Unique to this engine call.
    pub id: String,
    /// Jobs in it.
    pub jobs: u32,
    /// Rows in it.
    pub rows: u32,
    /// The row of the batch where this job's rows begin.
    pub position: u32,
    /// This job's rows in it.
    pub job_rows: u32,
}

/// Which worker, on what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WorkerRecord {
    /// The worker's id, unique to its process.
    pub id: String,
    /// The host's name.
    pub host: String,
    /// Gristmill's version.
    pub version: String,
    /// The engine and its version, as `onnxruntime 1.31.1`.
    pub runtime: String,
    /// The execution provider, as `cpu`.
    pub provider: String,
}

/// When each stage happened. Three clocks are named; no decision was taken by comparing two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Stages {
    /// Ingest had checked the request (the broker's clock as ingest knew it).
    pub accepted_at: Timestamp,
    /// The stream had stored it (broker's clock).
    #[serde(default)]
    pub published_at: Option<Timestamp>,
    /// The worker had the message (worker's clock, as the next four).
    #[serde(default)]
    pub received_at: Option<Timestamp>,
    /// Its batch was sealed and the job claimed.
    #[serde(default)]
    pub claimed_at: Option<Timestamp>,
    /// The engine began (with preprocessing).
    #[serde(default)]
    pub compute_started_at: Option<Timestamp>,
    /// The engine ended (with postprocessing).
    #[serde(default)]
    pub compute_finished_at: Option<Timestamp>,
    /// The outcome was stored (store's clock; set by the store when it commits).
    #[serde(default)]
    pub committed_at: Option<Timestamp>,
}

impl Lineage {
    /// The record of a job of which only the id is known: settled by a reader, with no worker involved.
    #[must_use]
    pub fn of_id(job_id: JobId, tenant: TenantId, state: JobState) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            job_id,
            state,
            tenant,
            submitted_by: None,
            traceparent: None,
            provenance: Provenance::default(),
            metadata: BTreeMap::new(),
            input_digest: None,
            output_digest: None,
            failure: None,
            model: None,
            lane: None,
            batches: Vec::new(),
            worker: None,
            attempt: 0,
            webhook: None,
            stages: Stages::accepted(job_id.accepted_at()),
        }
    }

    /// The record of a job that was not run, with all that its message says of it.
    #[must_use]
    pub fn of_job(job: &Job, state: JobState) -> Self {
        Self {
            submitted_by: Some(job.submitted_by.clone()),
            traceparent: job.traceparent,
            provenance: job.provenance.clone(),
            metadata: job.metadata.clone(),
            input_digest: Some(job.input_digest),
            lane: Some(job.lane),
            webhook: job.webhook.clone(),
            ..Self::of_id(job.id, job.tenant.clone(), state)
        }
    }

    /// As it is stored.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads one back.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode(bytes)
    }
}

impl Message for Lineage {
    fn schema_version(&self) -> u16 {
        self.schema_version
    }
}

impl Stages {
    /// Only accepted so far.
    #[must_use]
    pub const fn accepted(accepted_at: Timestamp) -> Self {
        Self {
            accepted_at,
            published_at: None,
            received_at: None,
            claimed_at: None,
            compute_started_at: None,
            compute_finished_at: None,
            committed_at: None,
        }
    }
}
