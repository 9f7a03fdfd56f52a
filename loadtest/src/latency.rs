//! The times from a job's first send to its result in hand.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::report::Latency;

/// Longer times are counted as this one: an hour, in microseconds.
const MOST: u64 = 3_600_000_000;

/// Times in microseconds, to three digits.
#[derive(Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Self {
        Self(Histogram::new_with_bounds(1, MOST, 3).expect("the bounds are in order and three digits are allowed"))
    }

    pub(crate) fn record(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(MOST);
        self.0.saturating_record(micros.max(1));
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.0.reset();
    }

    /// The curve of quantiles, ever denser towards the slowest: shares of jobs, and the milliseconds that so many stayed below.
    pub(crate) fn curve(&self) -> Vec<[f64; 2]> {
        let steps = self.0.iter_quantiles(5);
        let points = steps.map(|step| [step.quantile(), step.value_iterated_to() as f64 / 1000.0]);
        points.collect()
    }

    /// In milliseconds; nothing if nothing was recorded.
    pub(crate) fn summary(&self) -> Option<Latency> {
        if self.0.is_empty() {
            return None;
        }
        let millis = |micros: u64| micros as f64 / 1000.0;
        let at = |quantile: f64| millis(self.0.value_at_quantile(quantile));
        Some(Latency {
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: millis(self.0.max()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_in_milliseconds_and_overlong_times_are_counted() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.summary(), None);
        (1..=100).for_each(|millis| latencies.record(Duration::from_millis(millis)));
        let summary = latencies.summary().unwrap();
        assert!(
            (49.0..52.0).contains(&summary.p50) && (98.0..101.0).contains(&summary.p99),
            "{summary:?}"
        );
        latencies.record(Duration::from_secs(1 << 40));
        assert!(latencies.summary().unwrap().max >= 3_600_000.0);
    }
}
