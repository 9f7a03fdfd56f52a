//! What the jobs in flight write down together: the ledger, the times, and the first troubles.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::{
    latency::Latencies,
    ledger::{Counts, Ledger},
    report::Latency,
};

/// Troubles that are told one by one; all of them are counted.
const TOLD: usize = 10;

/// One notebook for all jobs in flight; nobody holds it across an await.
#[derive(Debug)]
pub(crate) struct Tally(Mutex<Pages>);

#[derive(Debug)]
struct Pages {
    ledger: Ledger,
    latencies: Latencies,
    troubles: Vec<String>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Pages {
            ledger: Ledger::default(),
            latencies: Latencies::new(),
            troubles: Vec::new(),
        }))
    }

    /// Writes in the ledger.
    pub(crate) fn with<T>(&self, write: impl FnOnce(&mut Ledger) -> T) -> T {
        write(&mut self.pages().ledger)
    }

    /// Notes the time from a job's first send to its result in hand.
    pub(crate) fn took(&self, time: Duration) {
        self.pages().latencies.record(time);
    }

    /// Notes what went wrong, if it is among the first.
    pub(crate) fn trouble(&self, trouble: fmt::Arguments<'_>) {
        let mut pages = self.pages();
        if pages.troubles.len() < TOLD {
            pages.troubles.push(trouble.to_string());
        }
    }

    /// All that was written down.
    pub(crate) fn read(&self) -> (Counts, Option<Latency>, Vec<String>) {
        let pages = self.pages();
        (pages.ledger.counts(), pages.latencies.summary(), pages.troubles.clone())
    }

    fn pages(&self) -> std::sync::MutexGuard<'_, Pages> {
        // a panic in between leaves a count that is off by one at most, and the report then says "unfinished"
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
