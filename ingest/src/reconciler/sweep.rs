//! Making room on a stream that is nearly full: envelopes whose jobs have all ended before their deadlines, cancelled most
//! likely, leave it at once. While there is room they wait for a worker or their deadline, since looking costs reads.

use std::time::Duration;

use tokio::time::Instant;

use super::schedule::Schedule;

/// How full the stream is when room is made, a share of its limit.
pub(super) const NEARLY_FULL: f64 = 0.8;
/// From the beginning of one pass to that of the next, at least.
const PAUSE: Duration = Duration::from_secs(10);

/// A pass over all envelopes that wait.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// Those that are still to be looked at, the oldest last.
    left: Vec<u64>,
    begun: Option<Instant>,
}

impl Sweep {
    /// Whether it is time to ask how full the stream is: none is under way and the last one began a while ago.
    pub(super) fn may_begin(&mut self) -> bool {
        let rests = self.begun.is_some_and(|begun| begun.elapsed() < PAUSE);
        if !self.left.is_empty() || rests {
            return false;
        }
        self.begun = Some(Instant::now());
        true
    }

    /// Begins a pass.
    pub(super) fn begin(&mut self, schedule: &Schedule) {
        self.left = schedule.sequences().collect();
        self.left.sort_unstable_by(|one, other| other.cmp(one));
    }

    /// The next ones to be looked at, which are not handed out again.
    pub(super) fn next(&mut self, most: usize) -> Vec<u64> {
        self.left.split_off(self.left.len().saturating_sub(most))
    }
}

#[cfg(test)]
mod tests {
    use gristmill_schemas::Timestamp;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pass_goes_over_all_once_the_oldest_first_and_the_next_one_waits() {
        let mut schedule = Schedule::default();
        for (sequence, second) in [(1, 9), (2, 3), (3, 5)] {
            schedule.note(sequence, Some(Timestamp::from_millis(second * 1000)));
        }
        let mut sweep = Sweep::default();
        assert!(sweep.may_begin() && !sweep.may_begin());
        sweep.begin(&schedule);
        assert_eq!(sweep.next(2), [2, 1]);
        tokio::time::advance(PAUSE).await;
        assert!(!sweep.may_begin());
        assert_eq!((sweep.next(2), sweep.next(2)), (vec![3], vec![]));
        assert!(sweep.may_begin());
    }
}
