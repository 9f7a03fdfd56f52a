//! Dead letters as their owner sees them: jobs that ended as failed, with what it takes to understand and to redrive them.

use serde::{Deserialize, Serialize};

use crate::{
    api::{Links, Output, Problem},
    digest::Digest,
    failure::Failure,
    job_id::JobId,
    lineage::Lineage,
    name::{ModelName, VersionName},
    time::Timestamp,
};

/// The most ids of one call that redrives or drops many.
pub const MAX_IDS: usize = 1000;
/// The most dead letters of one page.
pub const MAX_PAGE: usize = 200;

/// One dead letter in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeadLetter {
    /// The job that failed.
    pub id: JobId,
    /// When its failure was stored.
    pub failed_at: Timestamp,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// Which attempt ended it; 1 is the first.
    pub attempts: u32,
    /// The model that was fixed at accept.
    pub model: Option<ModelName>,
    /// Its version.
    pub version: Option<VersionName>,
    /// What went in.
    pub input_digest: Option<Digest>,
    /// Whether the inputs were kept when it failed: without them it cannot be redriven.
    pub input_kept: bool,
    /// The job that a redrive made of it; it is on the list no more then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redriven_as: Option<JobId>,
    /// Where the job's parts are.
    pub links: Links,
}

/// One dead letter with everything that is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeadLetterDetail {
    /// In short.
    #[serde(flatten)]
    pub dead_letter: DeadLetter,
    /// How it came to its failure.
    pub lineage: Lineage,
    /// What went in, if it was asked for (`include=inputs`) and is still kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Vec<Output>>,
}

/// Some of a tenant's dead letters, the newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeadLetterPage {
    /// At most as many as were asked for.
    pub dead_letters: Vec<DeadLetter>,
    /// Where the next page begins (`?cursor=`); absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What one redrive may change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Redrive {
    /// Another version of the model, or an alias; the version that failed if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionName>,
}

/// Which dead letters to redrive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RedriveMany {
    /// Their ids, at most [`MAX_IDS`].
    pub ids: Vec<JobId>,
    /// Another version of the model, or an alias; the versions that failed if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionName>,
}

/// Which dead letters to drop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DropMany {
    /// Their ids, at most [`MAX_IDS`].
    pub ids: Vec<JobId>,
}

/// What became of each of many, in the order of the request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeadLetterResults {
    /// One for each id.
    pub results: Vec<DeadLetterResult>,
}

/// What became of one of many: exactly one of `redriven_as`, `dropped` and `problem` is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeadLetterResult {
    /// The dead letter.
    pub id: JobId,
    /// The job that the redrive made of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redriven_as: Option<JobId>,
    /// `true` where it was dropped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dropped: bool,
    /// Why nothing was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}
