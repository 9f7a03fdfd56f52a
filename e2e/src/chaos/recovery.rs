//! How soon after a fault jobs end as fast as they did before it. Pure: it reads the times of the commits.

use std::time::Duration;

use gristmill_schemas::Timestamp;

/// Over which time a rate is taken.
const WINDOW: Duration = Duration::from_secs(1);
/// The end of a window is in it.
const TICK: Duration = Duration::from_micros(1);
/// Which part of the rate from before counts as recovered.
const PART: f64 = 0.9;

/// When a row began, was hurt and was healed, by the machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct Course {
    /// The load began.
    pub began: Timestamp,
    /// The first fault was injected.
    pub injected: Timestamp,
    /// The last fault was over.
    pub healed: Timestamp,
}

/// Seconds from the end of the fault until jobs had ended at 90 % of the rate from before it for a second; where they never
/// did, until the last one ended. `None` if none ended after the fault.
#[must_use]
pub fn seconds(commits: &mut [Timestamp], course: Course) -> Option<f64> {
    commits.sort_unstable();
    let within = |from: Timestamp, to: Timestamp| commits.iter().filter(|at| (from..to).contains(at)).count();
    let quiet = course.injected.since(course.began).max(WINDOW);
    let before = within(course.began, course.injected) as f64 / quiet.as_secs_f64();
    let wanted = (before * PART * WINDOW.as_secs_f64()).max(1.0);
    let last = *commits.last()?;
    if last < course.healed {
        return None;
    }
    let a_second_before = |at: Timestamp| Timestamp::from_micros(at.as_micros() - WINDOW.as_micros() as u64);
    let ends = std::iter::once(course.healed).chain(commits.iter().copied().filter(|at| *at > course.healed));
    let recovered = ends
        .into_iter()
        .find(|at| within(a_second_before(*at), at.plus(TICK)) as f64 >= wanted);
    Some(recovered.unwrap_or(last).since(course.healed).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Timestamp {
        Timestamp::from_micros((seconds * 1e6) as u64)
    }

    fn steady(from: u32, to: u32) -> impl Iterator<Item = Timestamp> {
        (from * 20..to * 20).map(|tick| at(f64::from(tick) / 20.0))
    }

    const COURSE: fn() -> Course = || Course {
        began: at(0.0),
        injected: at(5.0),
        healed: at(8.0),
    };

    #[test]
    fn recovery_is_when_the_rate_is_back() {
        let mut commits: Vec<_> = steady(0, 5).chain(steady(10, 15)).collect();
        let seconds = seconds(&mut commits, COURSE()).unwrap();
        assert!((2.8..=3.0).contains(&seconds), "{seconds}");
    }

    #[test]
    fn fault_that_slows_nothing_down_is_recovered_from_at_once() {
        let mut commits: Vec<_> = steady(0, 15).collect();
        assert_eq!(seconds(&mut commits, COURSE()), Some(0.0));
    }

    #[test]
    fn no_job_after_the_fault_is_no_recovery() {
        let mut commits: Vec<_> = steady(0, 7).collect();
        assert_eq!(seconds(&mut commits, COURSE()), None);
    }
}
