//! What the jobs in flight write down together: the ledger, the times, the seconds, and the first troubles.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::{latency::Latencies, ledger::Ledger, timeline::Timeline};

/// Troubles that are told one by one; all of them are counted.
const TOLD: usize = 10;

/// One notebook for all jobs in flight; nobody holds it across an await.
#[derive(Debug)]
pub(crate) struct Tally(Mutex<Pages>);

/// What is in it.
#[derive(Debug)]
pub(crate) struct Pages {
    pub(crate) ledger: Ledger,
    pub(crate) latencies: Latencies,
    pub(crate) timeline: Timeline,
    pub(crate) troubles: Vec<String>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Pages {
            ledger: Ledger::default(),
            latencies: Latencies::new(),
            timeline: Timeline::new(),
            troubles: Vec::new(),
        }))
    }

    /// Writes in the ledger.
    pub(crate) fn with<T>(&self, write: impl FnOnce(&mut Ledger) -> T) -> T {
        write(&mut self.pages().ledger)
    }

    /// A job's story is over, at a time counted from the load's beginning: after so long, if it came to its end.
    pub(crate) fn over(&self, at: Duration, took: Option<Duration>, is_error: bool) {
        let mut pages = self.pages();
        if let Some(took) = took {
            pages.latencies.record(took);
        }
        let in_flight = pages.ledger.in_flight();
        pages.timeline.note(at, took, is_error, in_flight);
    }

    /// Notes what went wrong, if it is among the first.
    pub(crate) fn trouble(&self, trouble: fmt::Arguments<'_>) {
        let mut pages = self.pages();
        if pages.troubles.len() < TOLD {
            pages.troubles.push(trouble.to_string());
        }
    }

    /// All that was written down.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Pages) -> T) -> T {
        read(&self.pages())
    }

    fn pages(&self) -> std::sync::MutexGuard<'_, Pages> {
        // a panic in between leaves a count that is off by one at most, and the report then says "unfinished"
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
