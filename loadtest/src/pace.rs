//! How fast jobs come: by the ends of those before them, or by the clock.

use std::time::Duration;

use crate::schedule::{Arrivals, Phase, Schedule};

/// Jobs in flight in a closed loop that does not say.
pub(crate) const IN_FLIGHT: u16 = 16;
/// The most there may be in any loop: each may have a connection of its own.
pub(crate) const MOST_IN_FLIGHT: u16 = 8192;

/// How fast a load's jobs come.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Pace {
    /// Each end makes room for the next.
    Closed {
        /// Jobs in flight at once.
        in_flight: u16,
        /// In all, or for so long.
        jobs: Option<u64>,
        duration: Option<Duration>,
    },
    /// By the clock, phase by phase.
    Open {
        phases: Vec<Phase>,
        arrivals: Arrivals,
        /// No more than these.
        jobs: Option<u64>,
        /// A job whose time has come waits for one of these places; its latency counts from its time.
        in_flight: u16,
    },
    /// By the clock, as it once was.
    Trace { beginnings: Vec<Duration>, in_flight: u16 },
}

impl Pace {
    /// Jobs in flight at most.
    pub(crate) const fn in_flight(&self) -> u16 {
        match self {
            Self::Closed { in_flight, .. } | Self::Open { in_flight, .. } | Self::Trace { in_flight, .. } => *in_flight,
        }
    }

    /// When the jobs begin, from the load's own beginning; `None` for a closed loop.
    pub(crate) fn beginnings(&self, seed: u64) -> Option<Box<dyn Iterator<Item = Duration> + Send>> {
        match self {
            Self::Closed { .. } => None,
            Self::Open {
                phases, arrivals, jobs, ..
            } => {
                let schedule = Schedule::new(phases.clone(), *arrivals, seed);
                Some(Box::new(schedule.take(jobs.map_or(usize::MAX, |jobs| jobs as usize))))
            }
            Self::Trace { beginnings, .. } => Some(Box::new(beginnings.clone().into_iter())),
        }
    }

    /// In words, for people.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Closed { in_flight, .. } => format!("{in_flight} in flight"),
            Self::Trace { beginnings, .. } => format!("a trace of {} jobs", beginnings.len()),
            Self::Open { phases, arrivals, .. } => {
                let phases: Vec<String> = phases.iter().map(phase_words).collect();
                format!("{} arrivals: {}", arrivals.as_str(), phases.join(", then "))
            }
        }
    }
}

fn phase_words(phase: &Phase) -> String {
    let rate = if (phase.from - phase.to).abs() < f64::EPSILON {
        format!("{}/s", phase.from)
    } else {
        format!("{} to {}/s", phase.from, phase.to)
    };
    let burst = match phase.burst {
        0 | 1 => String::new(),
        burst => format!(" in bursts of {burst}"),
    };
    if phase.duration == FOR_EVER {
        return rate + &burst;
    }
    format!("{rate}{burst} for {}", humantime::format_duration(phase.duration))
}

/// How long a phase is that only a number of jobs ends.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(1 << 40);
