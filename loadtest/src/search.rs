//! The highest rate at which a load still reaches its gates: doubled until it does not, then halved in between.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How near the highest rate that passed and the lowest that did not are in the end: a factor.
const NEAR: f64 = 1.05;
/// Rates that are tried at most.
const MOST: usize = 24;

/// One rate that was tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// Jobs a second.
    pub rate: f64,
    /// Whether everything was reached.
    pub passed: bool,
    /// What was not.
    pub complaints: Vec<String>,
}

/// The rates so far, and which one to try next.
#[derive(Debug)]
pub(crate) struct Search {
    first: f64,
    pub(crate) probes: Vec<Probe>,
}

impl Search {
    pub(crate) const fn new(first: f64) -> Self {
        let probes = Vec::new();
        Self { first, probes }
    }

    /// The next rate; `None` once the answer is near enough.
    pub(crate) fn next(&self) -> Option<f64> {
        if self.probes.is_empty() {
            return Some(self.first);
        }
        if self.probes.len() >= MOST {
            return None;
        }
        let lowest_missed = self.rates(false).fold(f64::INFINITY, f64::min);
        match self.highest() {
            None => Some(lowest_missed / 2.0),
            Some(passed) if lowest_missed.is_infinite() => Some(passed * 2.0),
            Some(passed) if lowest_missed / passed > NEAR => Some((passed * lowest_missed).sqrt()),
            Some(_) => None,
        }
    }

    /// The highest rate that passed, below every one that did not: a lucky run above one is not believed.
    pub(crate) fn highest(&self) -> Option<f64> {
        let lowest_missed = self.rates(false).fold(f64::INFINITY, f64::min);
        self.rates(true).filter(|rate| *rate < lowest_missed).reduce(f64::max)
    }

    fn rates(&self, passed: bool) -> impl Iterator<Item = f64> {
        let probes = self.probes.iter().filter(move |probe| probe.passed == passed);
        probes.map(|probe| probe.rate)
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rate,
            passed,
            complaints,
        } = self;
        match passed {
            true => write!(f, "{rate:.1} jobs/s: passed"),
            false => write!(f, "{rate:.1} jobs/s: {}", complaints.join("; ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(first: f64, limit: f64) -> (Option<f64>, usize) {
        let mut search = Search::new(first);
        while let Some(rate) = search.next() {
            search.probes.push(Probe {
                rate,
                passed: rate <= limit,
                complaints: Vec::new(),
            });
        }
        (search.highest(), search.probes.len())
    }

    #[test]
    fn highest_rate_is_found_from_below_and_from_above() {
        for first in [1.0, 100.0, 730.0, 5000.0] {
            let (rate, probes) = found(first, 731.0);
            let rate = rate.unwrap();
            assert!((731.0 / NEAR..=731.0).contains(&rate), "{first}: {rate}");
            assert!(probes <= 16, "{probes}");
        }
    }

    #[test]
    fn server_that_never_passes_ends_the_search() {
        assert_eq!(found(100.0, 0.0), (None, MOST));
    }
}
