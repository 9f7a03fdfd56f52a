//! How many envelopes had arrived in a queue by which time, as far back as any of them still waits: so the place of a job
//! follows from when it was accepted. Bounded: a long memory is a coarse one.

use std::{collections::VecDeque, time::Duration};

use gristmill_schemas::Timestamp;

/// Marks that are kept of a queue. Between two of them arrivals count as evenly spread.
const MOST: usize = 256;

/// How long before the first look somebody may have arrived and count as there by then: whose coming has made us look.
const BEFORE_FIRST: Duration = Duration::from_secs(3);

/// A moment and how many had arrived by then.
type Mark = (Timestamp, u64);

/// The arrivals of one queue.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    marks: VecDeque<Mark>,
    /// Of how many looks one is kept, less one.
    skips: usize,
    skipped: usize,
    last: Option<Mark>,
}

impl Arrivals {
    /// Takes note of a look: of those that have arrived by now, so many have left. A count that falls is that of a consumer
    /// made anew.
    pub(crate) fn note(&mut self, at: Timestamp, arrived: u64, left: u64) {
        if self.last.is_some_and(|(_, before)| arrived < before) || arrived == left {
            *self = Self::default();
        }
        self.last = Some((at, arrived));
        // one mark of what has left is needed, to tell that all before it has
        while self.marks.get(1).is_some_and(|(_, arrived)| *arrived <= left) {
            self.marks.pop_front();
        }
        if self.skipped < self.skips {
            self.skipped += 1;
            return;
        }
        self.skipped = 0;
        self.marks.push_back((at, arrived));
        if self.marks.len() > MOST {
            let mut nth = 0;
            self.marks.retain(|_| {
                nth += 1;
                nth % 2 == 1
            });
            self.skips = self.skips * 2 + 1;
        }
    }

    /// About how many had arrived by a moment; `None` for one long before the first look.
    pub(crate) fn by(&self, at: Timestamp) -> Option<u64> {
        let (last_at, last) = self.last?;
        if at >= last_at {
            return Some(last);
        }
        let later = self.marks.partition_point(|(mark, _)| *mark <= at);
        let Some(earlier) = later.checked_sub(1) else {
            let (first_at, first) = self.marks.front()?;
            return (first_at.since(at) < BEFORE_FIRST).then_some(*first);
        };
        let (from, before) = *self.marks.get(earlier)?;
        let (to, after) = self.marks.get(later).copied().unwrap_or((last_at, last));
        let share = at.since(from).as_secs_f64() / to.since(from).as_secs_f64().max(f64::MIN_POSITIVE);
        Some(before + ((after - before) as f64 * share) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + second * 1000)
    }

    #[test]
    fn arrivals_between_two_looks_are_evenly_spread_and_after_the_last_one_unknown() {
        let mut arrivals = Arrivals::default();
        for (second, arrived) in [(0, 100), (10, 200), (20, 220)] {
            arrivals.note(at(second), arrived, 50);
        }
        let by = |second| arrivals.by(at(second));
        assert_eq!(
            (by(0), by(5), by(10), by(15)),
            (Some(100), Some(150), Some(200), Some(210))
        );
        assert_eq!(by(25), Some(220));
        let before = |millis| arrivals.by(Timestamp::from_millis(at(0).as_millis() - millis));
        assert_eq!(
            (before(2_999), before(3_000)),
            (Some(100), None),
            "before the first look"
        );
    }

    #[test]
    fn what_has_left_is_forgotten_and_an_empty_queue_or_a_new_consumer_begins_anew() {
        let mut arrivals = Arrivals::default();
        for second in 0..10 {
            arrivals.note(at(second), 100 + second * 10, second * 10);
        }
        arrivals.note(at(10), 200, 145);
        assert_eq!(arrivals.marks.front(), Some(&(at(4), 140)), "one mark of what has left");
        arrivals.note(at(11), 200, 200);
        assert_eq!(arrivals.by(at(7)), None);
        arrivals.note(at(12), 30, 10);
        assert_eq!(arrivals.by(at(9)), None);
    }

    #[test]
    fn a_long_backlog_is_remembered_in_bounded_room_and_to_its_beginning() {
        let mut arrivals = Arrivals::default();
        for second in 0..100_000 {
            arrivals.note(at(second), 10 + second, 0);
        }
        assert!(arrivals.marks.len() <= MOST);
        for second in [0, 1, 777, 50_000, 99_998] {
            let by = arrivals.by(at(second)).unwrap();
            assert!(by.abs_diff(10 + second) <= 1, "{second}: {by}");
        }
    }
}
