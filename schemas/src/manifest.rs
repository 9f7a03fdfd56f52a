//! A model version's manifest: signature, limits, batching, pre- and post-processing, and artifacts by digest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    datatype::Datatype,
    digest::Digest,
    lineage::ModelRecord,
    name::{ModelName, VersionName},
    span::Span,
};

/// The role of the artifact that is the ONNX graph.
pub const MODEL_ROLE: &str = "model";

/// One version of a model. It never changes: another graph is another version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format's major version.
    pub schema_version: u16,
    /// The model's name.
    pub name: ModelName,
    /// The version.
    pub version: VersionName,
    /// One sentence for people.
    pub description: String,
    /// The model's licence, as SPDX writes it.
    #[serde(default)]
    pub license: Option<String>,
    /// Files by role; [`MODEL_ROLE`] is the graph.
    pub artifacts: BTreeMap<String, Artifact>,
    /// What a job must bring.
    pub inputs: Vec<TensorSpec>,
    /// What its result holds.
    pub outputs: Vec<TensorSpec>,
    /// What one job may ask for.
    pub limits: Limits,
    /// How jobs share engine calls.
    pub batching: Batching,
    /// What is done before the graph.
    #[serde(default)]
    pub preprocess: Preprocess,
    /// What is done after it.
    #[serde(default)]
    pub postprocess: Postprocess,
    /// Inputs of a request that works, in JSON's words.
    #[serde(default, rename = "example")]
    pub examples: Vec<ExampleInput>,
}

/// One file a version needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its name and its proof.
    pub sha256: Digest,
    /// Its size in bytes.
    pub bytes: u64,
}

/// One tensor of a signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TensorSpec {
    /// Its name.
    pub name: String,
    /// Its elements' type.
    pub datatype: Datatype,
    /// Its dimensions, rows first; −1 is any.
    pub shape: Vec<i64>,
    /// One sentence for people.
    #[serde(default)]
    pub description: String,
    /// The longest BYTES element, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_element_bytes: Option<u32>,
}

/// What one job may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Limits {
    /// Rows of one job.
    pub max_rows: u32,
    /// The longest engine call.
    pub max_runtime: Span,
    /// Whether NaN and infinities in the inputs are refused.
    #[serde(default)]
    pub reject_non_finite: bool,
}

/// How jobs share engine calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Batching {
    /// Rows of one engine call.
    pub max_batch_size: u32,
    /// How long an executor waits for more rows when it has some; without it, it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_queue_delay: Option<Span>,
    /// Tokens of one engine call, padding included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_batch_tokens: Option<u32>,
}

/// What turns a job's inputs into the graph's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Preprocess {
    /// The inputs are the graph's.
    #[default]
    None,
    /// UTF-8 texts → token ids, attention mask and type ids, padded to the batch's longest; artifact `tokenizer`.
    Tokenize {
        /// Longer texts are cut off after so many tokens.
        max_tokens: u32,
    },
    /// Whole files → the bytes at their beginning and end.
    FileWindows {
        /// Bytes kept of the beginning.
        beg_size: u32,
        /// Bytes kept of the end.
        end_size: u32,
        /// How far from either end white space is stripped.
        block_size: u32,
        /// What fills up short files.
        padding_token: i32,
        /// Shorter files are not shown to the graph.
        min_file_size: u32,
    },
}

/// What turns the graph's outputs into the job's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Postprocess {
    /// The graph's outputs are the job's.
    #[default]
    None,
    /// The mean of the token vectors under the attention mask.
    MeanPool {
        /// How the mean is scaled.
        normalize: Normalize,
    },
    /// Scores → label, by the thresholds and the overwrite map of artifact `config`.
    FileType,
}

/// How a vector is scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalize {
    /// As it is.
    None,
    /// To Euclidean length 1.
    L2,
}

/// One input of the example request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExampleInput {
    /// Its name.
    pub name: String,
    /// Its datatype.
    pub datatype: Datatype,
    /// Its shape.
    pub shape: Vec<u64>,
    /// Its data, flat.
    pub data: Vec<serde_json::Value>,
}

/// A manifest that contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct ManifestError {
    /// Where.
    pub field: String,
    /// What.
    pub problem: String,
}

impl Manifest {
    /// The digest of the graph.
    ///
    /// # Panics
    /// If [`Self::check`] was not asked first.
    #[must_use]
    pub fn model_digest(&self) -> Digest {
        self.artifacts[MODEL_ROLE].sha256
    }

    /// What a lineage says of the version.
    ///
    /// # Panics
    /// If [`Self::check`] was not asked first.
    #[must_use]
    pub fn record(&self) -> ModelRecord {
        let companions = self.artifacts.iter().filter(|(role, _)| *role != MODEL_ROLE);
        let words = |value: serde_json::Result<String>| value.expect("plain enums");
        ModelRecord {
            name: self.name.clone(),
            version: self.version.clone(),
            artifact: self.model_digest(),
            companions: companions
                .map(|(role, artifact)| (role.clone(), artifact.sha256))
                .collect(),
            preprocess: words(serde_json::to_string(&self.preprocess)),
            postprocess: words(serde_json::to_string(&self.postprocess)),
        }
    }

    /// Looks for contradictions; a manifest that passes can be served.
    ///
    /// # Errors
    /// The first one found.
    pub fn check(&self) -> Result<(), ManifestError> {
        let problem = |field: &str, problem: &str| {
            Err(ManifestError {
                field: field.to_owned(),
                problem: problem.to_owned(),
            })
        };
        if self.schema_version != crate::codec::SCHEMA_VERSION {
            return problem("schema_version", "not supported by this build");
        }
        if !self.artifacts.contains_key(MODEL_ROLE) {
            return problem("artifacts.model", "missing: it names the ONNX graph");
        }
        if matches!(self.preprocess, Preprocess::Tokenize { .. }) && !self.artifacts.contains_key("tokenizer") {
            return problem("artifacts.tokenizer", "missing: the preprocessing needs it");
        }
        if matches!(self.postprocess, Postprocess::FileType) && !self.artifacts.contains_key("config") {
            return problem("artifacts.config", "missing: the postprocessing needs it");
        }
        for (field, specs) in [("inputs", &self.inputs), ("outputs", &self.outputs)] {
            if specs.is_empty() {
                return problem(field, "at least one is needed");
            }
            if specs
                .iter()
                .any(|spec| spec.shape.is_empty() || spec.shape.len() > crate::tensor::MAX_RANK)
            {
                return problem(field, "a shape has 1 to 8 dimensions, the first being the rows");
            }
            if specs.iter().any(|spec| spec.shape[0] != -1) {
                return problem(field, "the first dimension is the rows and must be -1");
            }
        }
        if self.limits.max_rows == 0 || self.batching.max_batch_size == 0 {
            return problem("limits.max_rows, batching.max_batch_size", "must be at least 1");
        }
        Ok(())
    }
}
