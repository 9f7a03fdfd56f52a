//! Reading the ends of a tenant's jobs from its event streams: forwards from a cursor, or backwards for a list.

use std::time::Duration;

use gristmill_schemas::{
    Cursor, JobEvent, Position, TenantId, Timestamp,
    key::{self, BUCKETS, window},
};
use redis::{Cmd, FromRedisValue, Pipeline, Value};

use crate::store::{Store, StoreError, translate};

/// How far before now a position is moved in a bucket where nothing happens, so that it does not leave the window: half of the
/// shortest retention, and as far as the store's clock may be set back without an event being passed by.
const SETTLED: Duration = Duration::from_secs(30);

/// Some of a tenant's buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buckets(u16);

const _: () = assert!(BUCKETS as u32 == u16::BITS);

impl Buckets {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// All of them.
    pub const ALL: Self = Self(u16::MAX);

    /// One.
    #[must_use]
    pub const fn one(bucket: u8) -> Self {
        Self(1 << (bucket % BUCKETS))
    }

    /// Those of either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..BUCKETS).filter(move |bucket| self.0 & (1 << bucket) != 0)
    }

    pub(crate) const fn bits(self) -> u16 {
        self.0
    }

    pub(crate) const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }
}

/// Since when the events of a bucket are all there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventWindow {
    /// The stream itself: it is gone once nothing in it has to be kept.
    is_there: bool,
    from: Option<u64>,
    last: Option<u64>,
}

impl EventWindow {
    /// Where to go on if events after this position may be gone; `None` if they are all there.
    #[must_use]
    pub fn gap(self, after: Position) -> Option<Position> {
        let resume = if self.is_there {
            Position::before(self.from?)
        } else {
            Position::before(self.last? + 1)
        };
        (after < resume).then_some(resume)
    }
}

/// What one bucket has told.
#[derive(Debug, Clone)]
pub struct EventRead {
    /// Which.
    pub bucket: u8,
    /// Events behind the position, in their order. What is none of ours has a position alone.
    pub events: Vec<(Position, Option<JobEvent>)>,
    /// Whether these were all.
    pub is_all: bool,
    /// Looked at after the events were read: whatever was trimmed before is known.
    pub window: EventWindow,
    /// The position that stands for having read all of them.
    pub settled: Position,
}

/// A place in the list of a tenant's jobs that have ended, which goes from the newest to the oldest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// In its bucket's stream.
    pub position: Position,
    /// The bucket decides among equal positions.
    pub bucket: u8,
}

impl Store {
    /// Where the events of from now on begin.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events_end(&self, tenant: &TenantId) -> Result<Cursor, StoreError> {
        let mut pipeline = Pipeline::with_capacity(1 + usize::from(BUCKETS));
        pipeline.cmd("TIME");
        for bucket in 0..BUCKETS {
            let key = key::events(tenant, bucket);
            pipeline.cmd("XREVRANGE").arg(key).arg("+").arg("-").arg("COUNT").arg(1);
        }
        let answers: Vec<Value> = self.query(&pipeline).await?;
        let mut answers = answers.into_iter();
        let settled = settled(read(answers.next())?);
        let mut cursor = Cursor::default();
        for (position, answer) in cursor.0.iter_mut().zip(answers) {
            let last = entries(read(Some(answer))?)?.pop();
            *position = last.map_or(settled, |(last, _)| last.max(settled));
        }
        Ok(cursor)
    }

    /// Events behind a cursor in some of its buckets, at most `limit` in each.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events_after(
        &self,
        tenant: &TenantId,
        cursor: &Cursor,
        buckets: Buckets,
        limit: usize,
    ) -> Result<Vec<EventRead>, StoreError> {
        let mut pipeline = Pipeline::new();
        pipeline.cmd("TIME");
        for bucket in buckets.iter() {
            let (events, kept) = (key::events(tenant, bucket), key::events_window(tenant, bucket));
            let after = format!("({}", cursor.0[usize::from(bucket)]);
            let range = pipeline.cmd("XRANGE").arg(&events).arg(after).arg("+");
            range.arg("COUNT").arg(limit);
            pipeline.cmd("EXISTS").arg(&events);
            pipeline.cmd("HMGET").arg(kept).arg(window::FROM).arg(window::LAST);
        }
        let answers: Vec<Value> = self.query(&pipeline).await?;
        let mut answers = answers.into_iter();
        let settled = settled(read(answers.next())?);
        let mut told = Vec::new();
        for bucket in buckets.iter() {
            let events = entries(read(answers.next())?)?;
            let is_there = read(answers.next())?;
            let (from, last) = read(answers.next())?;
            told.push(EventRead {
                bucket,
                is_all: events.len() < limit,
                events,
                window: EventWindow { is_there, from, last },
                settled,
            });
        }
        Ok(told)
    }

    /// At most `limit` events before a place, or the newest, back to a moment.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events_before(
        &self,
        tenant: &TenantId,
        before: Option<Place>,
        since: Option<Timestamp>,
        limit: usize,
    ) -> Result<Vec<(Place, Option<JobEvent>)>, StoreError> {
        let newest = before.map_or_else(|| "+".to_owned(), |place| place.position.to_string());
        let oldest = since.map_or_else(|| "-".to_owned(), |since| since.as_millis().to_string());
        let range = |bucket| {
            let mut command = Cmd::new();
            command
                .arg("XREVRANGE")
                .arg(key::events(tenant, bucket))
                .arg(&newest)
                .arg(&oldest);
            // one may stand at the place itself
            command.arg("COUNT").arg(limit + 1);
            command
        };
        let mut pipeline = Pipeline::with_capacity(usize::from(BUCKETS));
        for bucket in 0..BUCKETS {
            pipeline.add_command(range(bucket));
        }
        let answers: Vec<Value> = self.query(&pipeline).await?;
        let mut found = Vec::new();
        for (bucket, answer) in (0..BUCKETS).zip(answers) {
            let events = entries(read(Some(answer))?)?.into_iter();
            found.extend(events.map(|(position, event)| (Place { position, bucket }, event)));
        }
        found.retain(|(place, _)| before.is_none_or(|before| *place < before));
        found.sort_unstable_by_key(|(place, _)| std::cmp::Reverse(*place));
        found.truncate(limit);
        Ok(found)
    }
}

/// An entry of a stream: its id and its fields.
pub(crate) type Entry = (String, Vec<(String, String)>);

fn entries(entries: Vec<Entry>) -> Result<Vec<(Position, Option<JobEvent>)>, StoreError> {
    let event = |(position, fields): Entry| Ok((self::position(&position)?, JobEvent::from_fields(&fields)));
    entries.into_iter().map(event).collect()
}

/// The id of an entry.
pub(crate) fn position(text: &str) -> Result<Position, StoreError> {
    text.parse()
        .map_err(|_| StoreError::Unreadable("an entry of a stream without an id".to_owned()))
}

/// One answer of a pipeline.
pub(crate) fn read<T: FromRedisValue>(answer: Option<Value>) -> Result<T, StoreError> {
    T::from_redis_value(answer.unwrap_or(Value::Nil)).map_err(|error| translate(&error.into()))
}

/// Where nothing comes any more that is not there yet, by the store's own clock.
fn settled((seconds, _micros): (u64, u64)) -> Position {
    Position::before(seconds.saturating_sub(SETTLED.as_secs()) * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64, sequence: u64) -> Position {
        Position { millis, sequence }
    }

    #[test]
    fn position_before_the_window_has_a_gap_and_one_in_it_has_none() {
        let window = EventWindow {
            is_there: true,
            from: Some(1000),
            last: Some(5000),
        };
        assert_eq!(window.gap(at(998, 7)), Some(Position::before(1000)));
        assert_eq!(window.gap(at(0, 0)), Some(Position::before(1000)));
        assert!(window.gap(Position::before(1000)).is_none() && window.gap(at(1000, 0)).is_none());
        let gone = EventWindow {
            is_there: false,
            ..window
        };
        assert_eq!(gone.gap(at(4999, 0)), Some(Position::before(5001)));
        assert_eq!(gone.gap(at(5001, 0)), None);
        let never = EventWindow {
            is_there: false,
            from: None,
            last: None,
        };
        assert_eq!(never.gap(at(0, 0)), None);
    }

    #[test]
    fn buckets_are_counted_as_they_are_named() {
        let some = Buckets::one(0).or(Buckets::one(15));
        assert_eq!(some.iter().collect::<Vec<_>>(), [0, 15]);
        assert_eq!(Buckets::ALL.iter().count(), usize::from(BUCKETS));
        assert_eq!(Buckets::NONE.iter().next(), None);
    }
}
