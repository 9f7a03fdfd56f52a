//! How far somebody has read the ends of a tenant's jobs: a position in each bucket's stream. There is no order between
//! buckets to lean on, since in a Redis Cluster each may live on a host with a clock of its own.
//!
//! Written for clients as opaque text: base64url (RFC 4648 section 5, no padding) of one byte for the version, then numbers as
//! LEB128: the latest of all positions' milliseconds, and for each bucket how many milliseconds before that it stands, and its
//! sequence and one, where the last of all sequences is 0. So a cursor is short whose positions lie close together, or stand
//! before a millisecond.

use std::{fmt, str::FromStr};

use data_encoding::BASE64URL_NOPAD;

use crate::{key::BUCKETS, time::Timestamp};

/// A place in a Redis stream: the id of an entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Unix milliseconds by the store's clock.
    pub millis: u64,
    /// Among those of one millisecond.
    pub sequence: u64,
}

impl Position {
    /// The last place before a moment.
    #[must_use]
    pub const fn before(millis: u64) -> Self {
        Self {
            millis: millis.saturating_sub(1),
            sequence: u64::MAX,
        }
    }

    /// When the entry was added, by the store's clock.
    #[must_use]
    pub const fn at(self) -> Timestamp {
        Timestamp::from_millis(self.millis)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.sequence)
    }
}

impl FromStr for Position {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let (millis, sequence) = text.split_once('-').ok_or(NotACursor)?;
        Ok(Self {
            millis: millis.parse().map_err(|_| NotACursor)?,
            sequence: sequence.parse().map_err(|_| NotACursor)?,
        })
    }
}

/// What has been read: in each bucket everything up to its position.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor(pub [Position; BUCKETS as usize]);

/// Text that is no cursor of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a cursor as this server gave it out")]
pub struct NotACursor;

const VERSION: u8 = 1;
/// More than the longest cursor has: 1 + 10 + 16 × 20 bytes in base64.
const MAX_TEXT: usize = 448;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let latest = self.0.iter().map(|position| position.millis).max().unwrap_or(0);
        let mut bytes = vec![VERSION];
        put(&mut bytes, latest);
        for position in self.0 {
            put(&mut bytes, latest - position.millis);
            put(&mut bytes, position.sequence.wrapping_add(1));
        }
        f.write_str(&BASE64URL_NOPAD.encode(&bytes))
    }
}

impl FromStr for Cursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        if text.len() > MAX_TEXT {
            return Err(NotACursor);
        }
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| NotACursor)?;
        let mut bytes = bytes.into_iter();
        if bytes.next() != Some(VERSION) {
            return Err(NotACursor);
        }
        let mut next = || take(&mut bytes).ok_or(NotACursor);
        // behind the last of all positions nothing can be asked for
        let latest = next().and_then(|latest| if latest < u64::MAX { Ok(latest) } else { Err(NotACursor) })?;
        let mut cursor = Self::default();
        for position in &mut cursor.0 {
            position.millis = latest.checked_sub(next()?).ok_or(NotACursor)?;
            position.sequence = next()?.wrapping_sub(1);
        }
        bytes.next().is_none().then_some(cursor).ok_or(NotACursor)
    }
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut impl Iterator<Item = u8>) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = bytes.next()?;
        let bits = u64::from(byte & 0x7f);
        // the tenth byte has room for one bit
        if shift == 63 && bits > 1 {
            return None;
        }
        number |= bits << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn cursor_is_read_back(positions: [(u64, u64); BUCKETS as usize]) {
            let position = |(millis, sequence): (u64, u64)| Position { millis: millis.min(u64::MAX - 1), sequence };
            let cursor = Cursor(positions.map(position));
            prop_assert!(cursor.to_string().len() <= MAX_TEXT);
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn other_text_is_no_cursor_and_harms_nobody(text in "[A-Za-z0-9_-]{0,500}") {
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
            }
        }
    }

    #[test]
    fn positions_close_together_make_a_short_cursor() {
        let near = |bucket: u64| Position {
            millis: 1_700_000_000_000 + bucket * 7,
            sequence: bucket % 3,
        };
        let cursor = Cursor(std::array::from_fn(|bucket| near(bucket as u64)));
        assert!(cursor.to_string().len() <= 64, "{cursor}");
        // buckets where nothing comes stand before a millisecond, here of half a minute ago
        let mut quiet = Cursor([Position::before(1_700_000_000_000 - 30_000); BUCKETS as usize]);
        quiet.0[3] = near(0);
        assert!(quiet.to_string().len() <= 100, "{quiet}");
        let last = Position {
            millis: u64::MAX,
            sequence: u64::MAX,
        };
        let beyond = Cursor([last; BUCKETS as usize]).to_string();
        for wrong in [&*beyond, "", "AQ", "Ag", "AQAA", "a cursor", "\u{e9}"] {
            assert_eq!(wrong.parse::<Cursor>(), Err(NotACursor), "{wrong}");
        }
    }

    #[test]
    fn position_is_written_as_redis_writes_it() {
        let position = Position {
            millis: 1_700_000_000_000,
            sequence: 4,
        };
        assert_eq!(position.to_string(), "1700000000000-4");
        assert_eq!("1700000000000-4".parse(), Ok(position));
        assert!("17".parse::<Position>().is_err() && Position::before(5).millis == 4);
    }
}
