//! The durability levels: which disaster an acknowledged write survives. How a server is told belongs to whoever starts it,
//! and how one is found to have been told otherwise to whoever uses it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What an acknowledged write survives. Both servers must run at the same level: an ack that survives a power cut with an
/// outcome that does not would lose the outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// The machine may lose power: every write is on the disk before it is acknowledged.
    #[default]
    PowerLoss,
    /// The servers may be killed, the operating system lives: every write is with it before it is acknowledged, and reaches
    /// the disk when it sees fit.
    ProcessCrash,
}

/// The text names no durability level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no durability level; there are power-loss and process-crash")]
pub struct UnknownDurability(String);

impl fmt::Display for Durability {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::PowerLoss => "power-loss",
            Self::ProcessCrash => "process-crash",
        })
    }
}

impl FromStr for Durability {
    type Err = UnknownDurability;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "power-loss" => Ok(Self::PowerLoss),
            "process-crash" => Ok(Self::ProcessCrash),
            other => Err(UnknownDurability(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_is_parsed_from_what_it_displays() {
        for level in [Durability::PowerLoss, Durability::ProcessCrash] {
            assert_eq!(level.to_string().parse(), Ok(level));
        }
        assert!("fsync".parse::<Durability>().is_err());
    }
}
