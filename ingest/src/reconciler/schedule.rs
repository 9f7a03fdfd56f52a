//! Which envelope to look at when. Pure, and bounded: what has no room yet is read from the stream later.

use std::collections::BTreeSet;

use gristmill_schemas::Timestamp;

/// Envelopes that are remembered at once; of all that wait, those that were published first.
const MOST: usize = 200_000;

/// An envelope that waits for a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    /// When it is to be looked at.
    pub(super) due: Timestamp,
    /// Where it lies.
    pub(super) sequence: u64,
}

/// The envelopes that wait for a deadline, and where those begin that were not looked at.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    cursor: u64,
    waiting: BTreeSet<Entry>,
}

impl Schedule {
    /// The first sequence that was not looked at.
    pub(super) fn cursor(&self) -> u64 {
        self.cursor.max(1)
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MOST
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// All that wait.
    pub(super) fn sequences(&self) -> impl Iterator<Item = u64> {
        self.waiting.iter().map(|entry| entry.sequence)
    }

    /// An envelope was looked at; it is to be looked at again then, or never.
    pub(super) fn note(&mut self, sequence: u64, due: Option<Timestamp>) {
        self.cursor = sequence + 1;
        self.waiting.extend(due.map(|due| Entry { due, sequence }));
    }

    /// Envelopes that are due, those first that have been it the longest. Each stays scheduled until it is
    /// [done](Self::done), so that an interruption forgets none.
    pub(super) fn due(&self, now: Timestamp, most: usize) -> Vec<Entry> {
        let due = self.waiting.iter().take_while(|entry| entry.due <= now);
        due.take(most).copied().collect()
    }

    /// It was looked at again, and is to be once more then, or never.
    pub(super) fn done(&mut self, entry: Entry, next: Option<Timestamp>) {
        self.waiting.remove(&entry);
        let sequence = entry.sequence;
        self.waiting.extend(next.map(|due| Entry { due, sequence }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_millis(second * 1000)
    }

    #[test]
    fn the_longest_due_comes_first_and_stays_until_it_is_done() {
        let mut schedule = Schedule::default();
        let due = |schedule: &Schedule, now: u64, most: usize| -> Vec<u64> {
            let due = schedule.due(at(now), most);
            due.iter().map(|entry| entry.sequence).collect()
        };
        assert_eq!((schedule.cursor(), due(&schedule, 9, 9)), (1, Vec::new()));
        for (sequence, when) in [(3, Some(at(5))), (4, None), (7, Some(at(2)))] {
            schedule.note(sequence, when);
        }
        assert_eq!((schedule.cursor(), schedule.len()), (8, 2));
        assert!(due(&schedule, 1, 9).is_empty());
        assert_eq!(due(&schedule, 5, 1), [7]);
        // interrupted: it is handed out again
        assert_eq!(due(&schedule, 5, 9), [7, 3]);
        for (entry, next) in schedule.due(at(5), 9).into_iter().zip([Some(at(8)), None]) {
            schedule.done(entry, next);
        }
        assert_eq!((due(&schedule, 5, 9), due(&schedule, 8, 9)), (Vec::new(), vec![7]));
        schedule.done(schedule.due(at(8), 1)[0], None);
        assert_eq!(schedule.len(), 0);
    }
}
