//! What happened in each second of a load test. A long test is kept in longer steps, so that it takes no more room.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::latency::Latencies;

/// Steps that are kept; one more, and two become one.
const MOST: usize = 1200;

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its beginning, in seconds from the load's.
    pub at_s: f64,
    /// Jobs that ended in it.
    pub ended: u64,
    /// Jobs that ended otherwise than right, were refused or lost in it.
    pub errors: u64,
    /// Jobs on their way at its end.
    pub in_flight: u64,
    /// Times of the jobs that ended in it, in milliseconds.
    pub p50_ms: Option<f64>,
    /// The same.
    pub p99_ms: Option<f64>,
}

/// The steps of one load so far.
#[derive(Debug)]
pub(crate) struct Timeline {
    steps: Vec<Step>,
    length: Duration,
    open: Step,
    times: Latencies,
}

const fn empty(at_s: f64) -> Step {
    Step {
        at_s,
        ended: 0,
        errors: 0,
        in_flight: 0,
        p50_ms: None,
        p99_ms: None,
    }
}

impl Timeline {
    pub(crate) fn new() -> Self {
        Self {
            steps: Vec::new(),
            length: Duration::from_secs(1),
            open: empty(0.0),
            times: Latencies::new(),
        }
    }

    /// A job came to its end, after so long if it ended at all; so many are on their way now.
    pub(crate) fn note(&mut self, at: Duration, took: Option<Duration>, is_error: bool, in_flight: u64) {
        while at.as_secs_f64() >= self.open.at_s + self.length.as_secs_f64() {
            self.close();
        }
        if let Some(took) = took {
            self.open.ended += 1;
            self.times.record(took);
        }
        self.open.errors += u64::from(is_error);
        self.open.in_flight = in_flight;
    }

    fn close(&mut self) {
        let next = empty(self.open.at_s + self.length.as_secs_f64());
        let step = self.finished();
        self.steps.push(step);
        self.times.clear();
        // where nothing ends, as many are on their way as before
        self.open = Step {
            in_flight: step.in_flight,
            ..next
        };
        if self.steps.len() == MOST {
            let pairs = self.steps.chunks(2).map(|pair| pair.iter().copied().reduce(joined));
            self.steps = pairs.flatten().collect();
            self.length *= 2;
        }
    }

    fn finished(&self) -> Step {
        let times = self.times.summary();
        Step {
            p50_ms: times.map(|times| times.p50),
            p99_ms: times.map(|times| times.p99),
            ..self.open
        }
    }

    /// Every step, the one in progress too, and how long each is.
    pub(crate) fn read(&self) -> (Vec<Step>, f64) {
        let mut steps = self.steps.clone();
        steps.push(self.finished());
        (steps, self.length.as_secs_f64())
    }
}

/// Two steps as one. Of their times the worse ones stay: a spike must not be smoothed away.
fn joined(first: Step, second: Step) -> Step {
    let worse = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    };
    Step {
        at_s: first.at_s,
        ended: first.ended + second.ended,
        errors: first.errors + second.errors,
        in_flight: second.in_flight,
        p50_ms: worse(first.p50_ms, second.p50_ms),
        p99_ms: worse(first.p99_ms, second.p99_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_has_its_own_step_and_a_silent_one_is_there_too() {
        let mut timeline = Timeline::new();
        let millis = Duration::from_millis;
        timeline.note(millis(100), Some(millis(10)), false, 3);
        timeline.note(millis(900), Some(millis(30)), true, 2);
        timeline.note(millis(2500), None, true, 1);
        let (steps, length) = timeline.read();
        assert_eq!((steps.len(), length), (3, 1.0));
        assert_eq!((steps[0].ended, steps[0].errors, steps[0].in_flight), (2, 1, 2));
        assert_eq!((steps[1].ended, steps[1].p50_ms, steps[1].in_flight), (0, None, 2));
        assert_eq!((steps[2].ended, steps[2].errors, steps[2].at_s), (0, 1, 2.0));
    }

    #[test]
    fn a_long_test_is_kept_in_longer_steps_that_count_the_same() {
        let mut timeline = Timeline::new();
        for second in 0..10_000 {
            let took = if second == 4321 { 900 } else { 5 };
            timeline.note(Duration::from_secs(second), Some(Duration::from_millis(took)), false, 1);
        }
        let (steps, length) = timeline.read();
        assert!(steps.len() <= MOST && length >= 8.0);
        assert_eq!(steps.iter().map(|step| step.ended).sum::<u64>(), 10_000);
        let worst = steps.iter().filter_map(|step| step.p99_ms).fold(0.0, f64::max);
        assert!(worst > 890.0, "{worst}");
    }
}
