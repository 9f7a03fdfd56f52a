//! An envelope while this worker holds it: kept alive, and settled once each of its jobs is accounted for.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use gristmill_broker::{Delivery, delivery::InProgress};
use gristmill_telemetry::fail_points;
use tokio::sync::OwnedSemaphorePermit;

use crate::{held_job::HeldJob, metrics};

/// All envelopes this worker holds, so that somebody can report that they are alive.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    next: u64,
    signs: HashMap<u64, InProgress>,
    jobs: HashMap<u64, Vec<Weak<HeldJob>>>,
}

impl Leases {
    fn add(&self, sign: Option<InProgress>) -> u64 {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.next += 1;
        let number = held.next;
        held.signs.extend(sign.map(|sign| (number, sign)));
        metrics::envelopes_held().set(held.signs.len() as f64);
        number
    }

    fn remove(&self, number: u64) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.signs.remove(&number);
        held.jobs.remove(&number);
        metrics::envelopes_held().set(held.signs.len() as f64);
    }

    /// All jobs that are held.
    pub(crate) fn jobs(&self) -> Vec<Arc<HeldJob>> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.jobs.values().flatten().filter_map(Weak::upgrade).collect()
    }

    /// A sign of life for each.
    pub(crate) fn signs(&self) -> Vec<InProgress> {
        self.held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .signs
            .values()
            .cloned()
            .collect()
    }
}

/// What became of one job of an envelope, as far as the envelope is concerned.
///
/// In the order of what the envelope needs: if one job has to be taken again, so has the envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum JobAccount {
    /// It is terminal.
    Terminal,
    /// A newer attempt, with its own delivery, is in charge of it.
    Superseded,
    /// It was not begun: somebody has to take it again.
    GivenBack,
    /// Its record cannot be read here, perhaps written by a newer build: somebody may take it again, later.
    Unreadable,
}

/// How long an envelope with a job that cannot be read here is left alone.
const UNREADABLE_DELAY: Duration = Duration::from_secs(30);

/// One held envelope. It is acked when all its jobs are terminal, given back when one has to be taken again.
#[derive(Debug)]
pub(crate) struct Lease {
    leases: Arc<Leases>,
    number: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    delivery: Option<Delivery>,
    unaccounted: usize,
    waiting: usize,
    /// The account that says most about what the envelope needs.
    worst: JobAccount,
    /// The place in the queue's prefetch; free once every job has begun.
    place: Option<OwnedSemaphorePermit>,
}

impl Lease {
    /// Holds a delivery of so many jobs.
    pub(crate) fn new(leases: &Arc<Leases>, delivery: Delivery, jobs: usize, place: OwnedSemaphorePermit) -> Arc<Self> {
        let number = leases.add(delivery.in_progress());
        let state = State {
            delivery: Some(delivery),
            unaccounted: jobs,
            waiting: jobs,
            worst: JobAccount::Terminal,
            place: Some(place),
        };
        Arc::new(Self {
            leases: Arc::clone(leases),
            number,
            state: Mutex::new(state),
        })
    }

    /// These are its jobs.
    pub(crate) fn holds(&self, jobs: &[Arc<HeldJob>]) {
        let mut held = self.leases.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.jobs.insert(self.number, jobs.iter().map(Arc::downgrade).collect());
    }

    /// One job has left the batcher, to its last row. Once all have, the next envelope of the queue may come.
    pub(crate) fn job_left(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting = state.waiting.saturating_sub(1);
        if state.waiting == 0 {
            state.place = None;
        }
    }

    /// One job is accounted for; the last one settles the envelope.
    pub(crate) async fn account(&self, account: JobAccount) {
        let settled = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.unaccounted -= 1;
            state.worst = state.worst.max(account);
            if state.unaccounted > 0 {
                return;
            }
            state.place = None;
            state.delivery.take().map(|delivery| (delivery, state.worst))
        };
        self.leases.remove(self.number);
        match settled {
            None => {}
            Some((delivery, JobAccount::Terminal)) => {
                fail_points::die_at("worker-before-ack");
                delivery.ack().await;
            }
            Some((delivery, JobAccount::Superseded)) => delivery.abandon(),
            Some((delivery, JobAccount::GivenBack)) => delivery.nak(None).await,
            Some((delivery, JobAccount::Unreadable)) => delivery.nak(Some(UNREADABLE_DELAY)).await,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.leases.remove(self.number);
    }
}
