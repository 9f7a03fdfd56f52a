//! The two lanes a job can wait in.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Which queue of its model a job waits in: interactive goes first, batch never gets below a tenth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// Somebody waits for the result.
    #[default]
    Interactive,
    /// Nobody waits for this one result.
    Batch,
}

impl Lane {
    /// Both lanes, in the order they are served.
    pub const ALL: [Self; 2] = [Self::Interactive, Self::Batch];

    /// The lane's name in requests, subjects and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Batch => "batch",
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Text that names no lane.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected \"interactive\" or \"batch\"")]
pub struct UnknownLane;

impl FromStr for Lane {
    type Err = UnknownLane;

    fn from_str(text: &str) -> Result<Self, UnknownLane> {
        Self::ALL
            .into_iter()
            .find(|lane| lane.as_str() == text)
            .ok_or(UnknownLane)
    }
}
