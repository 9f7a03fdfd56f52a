//! How long a job's outcome and lineage are kept, counted from its acceptance: in whole minutes, so that an id has room
//! for it.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A retention of 1 minute to 45 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Retention(u16);

/// Text that is not a retention.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a length of time such as \"36h\" or \"7days\", at least 1min and at most 45days")]
pub struct NotARetention;

const MINUTE: u64 = 60;

impl Retention {
    /// The longest.
    pub const MAX: Self = Self(45 * 24 * 60);

    /// So many whole minutes, from 1 to those of [`Self::MAX`].
    #[must_use]
    pub const fn from_minutes(minutes: u16) -> Option<Self> {
        if minutes >= 1 && minutes <= Self::MAX.0 {
            Some(Self(minutes))
        } else {
            None
        }
    }

    /// In whole minutes.
    #[must_use]
    pub const fn minutes(self) -> u16 {
        self.0
    }

    /// As the standard library's type.
    #[must_use]
    pub const fn as_duration(self) -> Duration {
        Duration::from_secs(self.0 as u64 * MINUTE)
    }
}

impl FromStr for Retention {
    type Err = NotARetention;

    /// Parts of a minute count as a whole one: what is kept longer than was promised breaks no promise.
    fn from_str(text: &str) -> Result<Self, NotARetention> {
        let wanted = humantime::parse_duration(text).map_err(|_| NotARetention)?;
        let minutes = wanted.as_secs().div_ceil(MINUTE);
        let minutes = u16::try_from(minutes).ok().and_then(Self::from_minutes);
        minutes.ok_or(NotARetention)
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.as_duration()).fmt(f)
    }
}

impl Serialize for Retention {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Retention {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_in_whole_minutes_and_written_back() {
        for (text, minutes) in [("1min", 1), ("1s", 1), ("61s", 2), ("24h", 1440), ("45days", 64_800)] {
            let retention: Retention = text.parse().unwrap();
            assert_eq!(retention.minutes(), minutes, "{text}");
            assert_eq!(retention.to_string().parse(), Ok(retention));
        }
        for text in ["", "0s", "46days", "-1h", "forever"] {
            assert_eq!(text.parse::<Retention>(), Err(NotARetention), "{text}");
        }
    }
}
