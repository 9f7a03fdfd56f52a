//! How long a lane waits for more jobs before it fills an envelope: not at all, unless so many come that a moment makes it
//! markedly fuller. An envelope costs broker, worker and store about as much whatever it holds.

use std::time::{Duration, Instant};

/// The longest wait: less than an envelope's way to the worker and back takes.
const LONGEST: Duration = Duration::from_millis(2);
/// What a job waits on the stream, it may wait before it for so small a part of that, within bounds.
const SMALL_PART: u32 = 5;
const LONGEST_UNNOTICED: Duration = Duration::from_millis(40);
const LEAST_UNNOTICED: Duration = Duration::from_millis(4);
/// It waits if so many more are to be expected meanwhile.
const WORTH: f64 = 4.0;
/// How far back the rate looks.
const MEMORY: Duration = Duration::from_millis(50);

/// The rate at which jobs come to a lane.
#[derive(Debug)]
pub(crate) struct Linger {
    /// Jobs a second, older ones counting less.
    rate: f64,
    since: Instant,
}

impl Linger {
    pub(crate) const fn new(now: Instant) -> Self {
        Self { rate: 0.0, since: now }
    }

    /// An envelope of so many jobs was filled.
    pub(crate) fn note(&mut self, now: Instant, jobs: usize) {
        let passed = now
            .duration_since(self.since)
            .max(Duration::from_micros(1))
            .as_secs_f64();
        self.since = now;
        let fresh = 1.0 - (-passed / MEMORY.as_secs_f64()).exp();
        self.rate += (jobs as f64 / passed - self.rate) * fresh;
    }

    /// How long to wait now, with a job that is going to wait on the stream for so long anyway.
    pub(crate) fn wait(&self, backlog: Duration) -> Option<Duration> {
        let unnoticed = (backlog / SMALL_PART).min(LONGEST_UNNOTICED);
        let worth = (self.rate * LONGEST.as_secs_f64() >= WORTH).then_some(LONGEST);
        worth.max((unnoticed >= LEAST_UNNOTICED).then_some(unnoticed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_BACKLOG: Duration = Duration::ZERO;

    /// Envelopes of so many jobs, one every so many milliseconds, for half a second.
    fn after(jobs: usize, every: u64) -> Linger {
        let start = Instant::now();
        let mut linger = Linger::new(start);
        for at in (every..500).step_by(every as usize) {
            linger.note(start + Duration::from_millis(at), jobs);
        }
        linger
    }

    #[test]
    fn it_waits_where_a_moment_brings_several_more_and_never_for_few() {
        assert_eq!(Linger::new(Instant::now()).wait(NO_BACKLOG), None);
        assert_eq!(after(1, 1).wait(NO_BACKLOG), None, "1,000 a second: two in the time");
        assert_eq!(after(20, 20).wait(NO_BACKLOG), None, "the same in bursts");
        assert_eq!(after(9, 3).wait(NO_BACKLOG), Some(LONGEST), "3,000 a second: six");
    }

    #[test]
    fn where_jobs_wait_anyway_they_wait_a_small_part_of_that_for_company() {
        let wait = |millis| after(1, 5).wait(Duration::from_millis(millis));
        assert_eq!([wait(0), wait(19)], [None, None]);
        assert_eq!(wait(60), Some(Duration::from_millis(12)));
        assert_eq!(wait(60_000), Some(LONGEST_UNNOTICED));
    }

    #[test]
    fn a_pause_ends_the_waiting() {
        let mut linger = after(9, 3);
        linger.note(linger.since + Duration::from_secs(1), 1);
        assert_eq!(linger.wait(NO_BACKLOG), None);
    }
}
