//! When the jobs of an open loop are to begin, whatever became of those before them. Pure: phases and a seed in, times out.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How the beginnings lie within the rate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Arrivals {
    /// Callers who know nothing of each other
    #[default]
    Poisson,
    /// Evenly spread
    Constant,
}

impl Arrivals {
    /// Its word on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Poisson => "poisson",
            Self::Constant => "constant",
        }
    }
}

/// A stretch of time with a rate that is constant or grows or falls evenly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Phase {
    /// How long.
    pub(crate) duration: Duration,
    /// Jobs a second at its beginning.
    pub(crate) from: f64,
    /// And at its end.
    pub(crate) to: f64,
    /// Jobs that begin at once: their groups come so much more rarely.
    pub(crate) burst: u32,
}

impl Phase {
    /// When the integral of the rate reaches so many jobs; `None` if it does not within the phase.
    fn at(&self, jobs: f64) -> Option<Duration> {
        let length = self.duration.as_secs_f64();
        let slope = (self.to - self.from) / length;
        let seconds = if slope.abs() < f64::EPSILON {
            jobs / self.from
        } else {
            let root = self.from.mul_add(self.from, 2.0 * slope * jobs);
            if root < 0.0 {
                return None;
            }
            (root.sqrt() - self.from) / slope
        };
        (seconds.is_finite() && seconds < length).then(|| Duration::from_secs_f64(seconds))
    }

    /// Jobs in all.
    fn jobs(&self) -> f64 {
        self.duration.as_secs_f64() * f64::midpoint(self.from, self.to)
    }
}

/// The beginnings of an open loop's jobs, from the load's own.
#[derive(Debug)]
pub(crate) struct Schedule {
    phases: Vec<Phase>,
    arrivals: Arrivals,
    random: fastrand::Rng,
    /// Of the current phase: which one, when it began, up to which integral of its rate jobs have begun.
    phase: usize,
    began: Duration,
    reached: f64,
    /// More jobs that begin with the last one.
    together: (u32, Duration),
}

impl Schedule {
    pub(crate) fn new(phases: Vec<Phase>, arrivals: Arrivals, seed: u64) -> Self {
        Self {
            phases,
            arrivals,
            random: fastrand::Rng::with_seed(seed),
            phase: 0,
            began: Duration::ZERO,
            reached: 0.0,
            together: (0, Duration::ZERO),
        }
    }

    /// How much of the integral lies between one beginning and the next.
    fn step(&mut self) -> f64 {
        match self.arrivals {
            Arrivals::Constant => 1.0,
            // the logarithm of 0 has no value, that of 1 is 0
            Arrivals::Poisson => -(1.0 - self.random.f64()).ln(),
        }
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.together.0 > 0 {
            self.together.0 -= 1;
            return Some(self.together.1);
        }
        let mut step = self.step();
        loop {
            let phase = self.phases.get(self.phase)?;
            let group = f64::from(phase.burst.max(1));
            let target = self.reached + step * group;
            if let Some(at) = phase.at(target) {
                let at = self.began + at;
                self.reached = target;
                self.together = (phase.burst.max(1) - 1, at);
                return Some(at);
            }
            // what is left of the step counts in the next phase
            step = (target - phase.jobs()).max(0.0) / group;
            self.began += phase.duration;
            self.reached = 0.0;
            self.phase += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(seconds: u64, from: f64, to: f64) -> Phase {
        Phase {
            duration: Duration::from_secs(seconds),
            from,
            to,
            burst: 1,
        }
    }

    fn times(phases: &[Phase], arrivals: Arrivals) -> Vec<f64> {
        let schedule = Schedule::new(phases.to_vec(), arrivals, 7);
        schedule.map(|at| at.as_secs_f64()).collect()
    }

    #[test]
    fn constant_arrivals_are_evenly_spread_over_phases_and_in_a_ramp_as_dense_as_its_rate() {
        let steady = times(&[phase(2, 2.0, 2.0), phase(1, 4.0, 4.0)], Arrivals::Constant);
        let expected = [0.5, 1.0, 1.5, 2.0, 2.25, 2.5, 2.75];
        assert_eq!(steady.len(), expected.len(), "{steady:?}");
        assert!(
            steady
                .iter()
                .zip(expected)
                .all(|(found, wanted)| (found - wanted).abs() < 1e-6),
            "{steady:?}"
        );
        let ramp = times(&[phase(10, 0.0, 100.0)], Arrivals::Constant);
        assert!((498..=500).contains(&ramp.len()));
        let before = |second: f64| ramp.iter().filter(|at| **at < second).count();
        assert!(before(5.0).abs_diff(125) <= 1, "a quarter in the first half");
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_gaps_of_any_length_and_a_seed_makes_them_again() {
        let found = times(&[phase(100, 50.0, 50.0)], Arrivals::Poisson);
        assert!((4700..5300).contains(&found.len()), "{}", found.len());
        let gaps: Vec<f64> = found.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| *gap >= 0.0));
        let long = gaps.iter().filter(|gap| **gap > 1.0 / 50.0).count() as f64 / gaps.len() as f64;
        assert!(
            (0.33..0.41).contains(&long),
            "1/e of the gaps are longer than the mean: {long}"
        );
        assert_eq!(found, times(&[phase(100, 50.0, 50.0)], Arrivals::Poisson));
    }

    #[test]
    fn bursts_come_together_at_the_same_rate_in_all() {
        let bursts = Phase {
            burst: 10,
            ..phase(4, 10.0, 10.0)
        };
        let found = times(&[bursts], Arrivals::Constant);
        assert_eq!(found.len(), 30);
        assert!(found[..10].iter().all(|at| (at - 1.0).abs() < 1e-9));
        assert!(found[10..20].iter().all(|at| (at - 2.0).abs() < 1e-9));
    }

    #[test]
    fn a_phase_without_a_rate_is_a_pause() {
        let found = times(
            &[phase(1, 2.0, 2.0), phase(3, 0.0, 0.0), phase(1, 2.0, 2.0)],
            Arrivals::Constant,
        );
        assert_eq!(
            found.iter().filter(|at| (1.0..4.0).contains(*at)).count(),
            0,
            "{found:?}"
        );
        assert!(found.iter().any(|at| *at >= 4.0));
    }
}
