//! What travels on the stream: the jobs of one model, version, lane and tenant group that were accepted together.

use serde::{Deserialize, Serialize};

use crate::{
    codec::{self, DecodeError, Message, SCHEMA_VERSION},
    job::Job,
};

/// What most jobs take besides their inputs.
const JOB_BYTES: usize = 768;

/// 1 to N jobs that share one publish, one fsync and one ack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    schema_version: u16,
    /// The jobs, in the order they were accepted.
    pub jobs: Vec<Job>,
}

impl Envelope {
    /// An envelope of the current version.
    #[must_use]
    pub const fn new(jobs: Vec<Job>) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            jobs,
        }
    }

    /// As it travels.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let bytes: usize = self.jobs.iter().map(|job| job.input_bytes() + JOB_BYTES).sum();
        codec::encode_sized(self, bytes)
    }

    /// Reads one back.
    ///
    /// # Errors
    /// [`DecodeError`]; an envelope of another major version is left for a worker that knows it.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode(bytes)
    }
}

impl Message for Envelope {
    fn schema_version(&self) -> u16 {
        self.schema_version
    }
}
