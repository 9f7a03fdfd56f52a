//! The store's clock, as far as it is known here: by it the store itself decides whether an outcome came too late. Learned
//! from answers that come anyway; nobody asks for it alone.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use gristmill_schemas::Timestamp;

/// A sample that is so old gives way to any newer one: clocks drift, and after a failover it is another host's.
const MAX_AGE: Duration = Duration::from_secs(60);

/// Of the samples of a minute, the one that says most. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct StoreClock(Arc<Mutex<Option<Sample>>>);

/// What the store said when it was asked at some instant: its clock was not later than that when the question left.
#[derive(Debug, Clone, Copy)]
struct Sample {
    asked: Instant,
    said: Timestamp,
}

impl StoreClock {
    /// The store was asked at that instant and said this.
    pub(crate) fn note(&self, asked: Instant, said: Timestamp) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let newer = Sample { asked, said };
        *known = Some(known.map_or(newer, |known| known.or(newer)));
    }

    /// The latest that the store's clock can say at that instant; `None` as long as it has said nothing.
    pub(crate) fn latest_at(&self, at: Instant) -> Option<Timestamp> {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.map(|known| known.latest_at(at))
    }
}

impl Sample {
    fn latest_at(&self, at: Instant) -> Timestamp {
        self.said.plus(at.saturating_duration_since(self.asked))
    }

    fn or(self, newer: Self) -> Self {
        let is_old = newer.asked.saturating_duration_since(self.asked) > MAX_AGE;
        if is_old || newer.said <= self.latest_at(newer.asked) {
            newer
        } else {
            self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + seconds * 1000)
    }

    #[test]
    fn answer_that_took_less_counts_for_a_minute() {
        let (clock, start) = (StoreClock::default(), Instant::now());
        assert_eq!(clock.latest_at(start), None);
        // asked at 0 by its own clock, answered at 3: it was frozen, or the network was
        clock.note(start, at(3));
        assert_eq!(clock.latest_at(start + SECOND), Some(at(4)));
        // answered at once
        clock.note(start + SECOND, at(1));
        assert_eq!(clock.latest_at(start + SECOND), Some(at(1)));
        clock.note(start + 2 * SECOND, at(4));
        assert_eq!(clock.latest_at(start + 2 * SECOND), Some(at(2)));
        clock.note(start + 62 * SECOND, at(64));
        assert_eq!(clock.latest_at(start + 62 * SECOND), Some(at(64)));
    }
}
