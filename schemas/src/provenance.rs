//! What the caller says about where a job's input came from; it becomes lineage.

use serde::{Deserialize, Serialize};

use crate::job_id::JobId;

/// Typed provenance, all of it optional.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Provenance {
    /// The dataset the input was taken from, at most 256 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// The version of the feature pipeline that made it, at most 256 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature_version: Option<String>,
    /// Jobs whose outputs went in, at most 64.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parent_jobs: Vec<JobId>,
}

impl Provenance {
    /// The longest text, in characters.
    pub const MAX_TEXT: usize = 256;
    /// The most parents.
    pub const MAX_PARENTS: usize = 64;
}
