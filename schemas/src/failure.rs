//! Why an accepted job ended as `failed`: the one closed set of codes that crosses processes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a job failed. Codes are stable: clients branch on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// The input passed the signature but the model's preprocessing refused it (text that is no UTF-8, say).
    InputInvalid,
    /// ONNX Runtime returned an error for this job's input.
    InferenceFailed,
    /// The model's outputs do not have the shape or datatype that its manifest promises.
    OutputInvalid,
    /// The outcome is larger than the store takes.
    OutputTooLarge,
    /// The run took longer than the model's `max_runtime`.
    MaxRuntimeExceeded,
    /// Every attempt ended without an outcome.
    AttemptsExhausted,
    /// The message's major version is one that no worker here reads.
    SchemaUnsupported,
    /// The artifact the job was accepted for is not the one this version has.
    ArtifactMismatch,
    /// The stores say that the outcome existed and was lost.
    OutcomeLost,
}

impl FailureCode {
    /// Every code.
    pub const ALL: [Self; 9] = [
        Self::InputInvalid,
        Self::InferenceFailed,
        Self::OutputInvalid,
        Self::OutputTooLarge,
        Self::MaxRuntimeExceeded,
        Self::AttemptsExhausted,
        Self::SchemaUnsupported,
        Self::ArtifactMismatch,
        Self::OutcomeLost,
    ];

    /// The stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The status that a synchronous door answers with: HTTP, gRPC.
    #[must_use]
    pub const fn statuses(self) -> (u16, u8) {
        let (_, http, grpc) = self.row();
        (http, grpc)
    }

    /// Word, HTTP status and gRPC status side by side.
    const fn row(self) -> (&'static str, u16, u8) {
        match self {
            Self::InputInvalid => ("input_invalid", 422, 3),
            Self::InferenceFailed => ("inference_failed", 500, 13),
            Self::OutputInvalid => ("output_invalid", 500, 13),
            Self::OutputTooLarge => ("output_too_large", 500, 8),
            Self::MaxRuntimeExceeded => ("max_runtime_exceeded", 504, 4),
            Self::AttemptsExhausted => ("attempts_exhausted", 500, 10),
            Self::SchemaUnsupported => ("schema_unsupported", 500, 12),
            Self::ArtifactMismatch => ("artifact_mismatch", 500, 9),
            Self::OutcomeLost => ("outcome_lost", 500, 15),
        }
    }
}

impl fmt::Display for FailureCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failure as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Failure {
    /// Why.
    pub code: FailureCode,
    /// One sentence for people, without anybody's data in it.
    pub message: String,
}

impl Failure {
    /// A failure with its sentence.
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}
