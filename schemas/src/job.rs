//! A job: what was accepted, with all that a worker needs to run it and to say where it came from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    digest::Digest,
    job_id::JobId,
    lane::Lane,
    name::{KeyId, ModelName, TenantId, VersionName},
    provenance::Provenance,
    tensor::Tensor,
    trace::TraceParent,
    webhook::WebhookUrl,
};

/// One accepted job. Model, version and artifact were fixed when it was accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its id, which carries accept time and deadline.
    pub id: JobId,
    /// Whose job it is.
    pub tenant: TenantId,
    /// The API key that submitted it.
    pub submitted_by: KeyId,
    /// The model that is to run.
    pub model: ModelName,
    /// The version, never an alias.
    pub version: VersionName,
    /// The digest of the version's ONNX graph.
    pub artifact: Digest,
    /// Where it waits.
    pub lane: Lane,
    /// Inputs in the order of the model's signature; all have the same rows.
    pub inputs: Vec<Tensor>,
    /// [`Digest::of_tensors`] of the inputs.
    pub input_digest: Digest,
    /// What the caller says of the input's origin.
    #[serde(default)]
    pub provenance: Provenance,
    /// The caller's own labels, at most 16 pairs.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// The request's trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<TraceParent>,
    /// Where its end is to be told, besides the tenant's own webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookUrl>,
}

impl Job {
    /// The rows of each of its inputs.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.inputs.first().map_or(0, Tensor::rows)
    }

    /// The bytes of its inputs.
    #[must_use]
    pub fn input_bytes(&self) -> usize {
        self.inputs.iter().map(|input| input.data().len()).sum()
    }
}
