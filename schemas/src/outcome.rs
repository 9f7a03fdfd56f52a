//! How a job ended: exactly one a job, and never changed.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    codec::{self, DecodeError, Message, SCHEMA_VERSION},
    failure::Failure,
    job_id::JobId,
    tensor::Tensor,
};

/// Where a job stands. All but `queued` are terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Accepted, without an outcome yet: waiting or running.
    Queued,
    /// Ran; its outputs are there.
    Succeeded,
    /// Ended with a [`Failure`].
    Failed,
    /// Its deadline passed first.
    Expired,
    /// Its owner cancelled it first.
    Cancelled,
}

impl JobState {
    /// Every state.
    pub const ALL: [Self; 5] = [
        Self::Queued,
        Self::Succeeded,
        Self::Failed,
        Self::Expired,
        Self::Cancelled,
    ];

    /// The word in replies, keys and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more will happen.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Queued)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Text that names no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no such job state")]
pub struct UnknownState;

impl FromStr for JobState {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(UnknownState)
    }
}

/// What a terminal state comes with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobResult {
    /// Outputs in the order of the model's signature.
    Succeeded(Vec<Tensor>),
    /// Why it failed.
    Failed(Failure),
    /// Nothing: the deadline passed.
    Expired,
    /// Nothing: it was cancelled.
    Cancelled,
}

/// A job's one outcome, as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    schema_version: u16,
    /// Whose outcome it is.
    pub job_id: JobId,
    /// How it ended, with what.
    pub result: JobResult,
}

impl Outcome {
    /// An outcome of the current version.
    #[must_use]
    pub const fn new(job_id: JobId, result: JobResult) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            job_id,
            result,
        }
    }

    /// The terminal state.
    #[must_use]
    pub const fn state(&self) -> JobState {
        match self.result {
            JobResult::Succeeded(_) => JobState::Succeeded,
            JobResult::Failed(_) => JobState::Failed,
            JobResult::Expired => JobState::Expired,
            JobResult::Cancelled => JobState::Cancelled,
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

impl Message for Outcome {
    fn schema_version(&self) -> u16 {
        self.schema_version
    }
}
