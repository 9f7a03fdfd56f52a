//! Which envelope to look at when. Pure, and bounded: what has no room yet is read from the stream later.

use std::collections::BTreeSet;

use gristmill_schemas::Timestamp;

/// Envelopes that are remembered at once; of all that wait, those that were published first.
const MOST: usize = 200_000;

/// The envelopes that wait for a deadline, and where those begin that were not looked at.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    cursor: u64,
    waiting: BTreeSet<(Timestamp, u64)>,
    /// Handed out by [`Self::due`] and not done: an interruption leaves it here.
    in_hand: Option<(Timestamp, u64)>,
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

    /// An envelope was looked at; it is to be looked at again then, or never.
    pub(super) fn note(&mut self, sequence: u64, due: Option<Timestamp>) {
        self.cursor = sequence + 1;
        self.waiting.extend(due.map(|due| (due, sequence)));
    }

    /// The envelope that has been due the longest. It stays scheduled until it is [done](Self::done).
    pub(super) fn due(&mut self, now: Timestamp) -> Option<u64> {
        let first = self.waiting.first().copied().filter(|(due, _)| *due <= now)?;
        self.in_hand = Some(first);
        Some(first.1)
    }

    /// It was looked at again, and is to be once more then, or never.
    pub(super) fn done(&mut self, sequence: u64, next: Option<Timestamp>) {
        if let Some(entry) = self.in_hand.take() {
            self.waiting.remove(&entry);
        }
        self.waiting.extend(next.map(|next| (next, sequence)));
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
        assert_eq!((schedule.cursor(), schedule.due(at(9))), (1, None));
        for (sequence, due) in [(3, Some(at(5))), (4, None), (7, Some(at(2)))] {
            schedule.note(sequence, due);
        }
        assert_eq!((schedule.cursor(), schedule.len()), (8, 2));
        assert_eq!(schedule.due(at(1)), None);
        assert_eq!(schedule.due(at(5)), Some(7));
        // interrupted: it is handed out again
        assert_eq!(schedule.due(at(5)), Some(7));
        schedule.done(7, Some(at(8)));
        assert_eq!(schedule.due(at(5)), Some(3));
        schedule.done(3, None);
        assert_eq!((schedule.due(at(5)), schedule.due(at(8))), (None, Some(7)));
        schedule.done(7, None);
        assert_eq!(schedule.len(), 0);
    }
}
