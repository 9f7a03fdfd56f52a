//! An envelope while this worker holds it: kept alive, and settled once each of its jobs is accounted for.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use gristmill_broker::{Delivery, delivery::InProgress};
use tokio::sync::OwnedSemaphorePermit;

use crate::metrics;

/// All envelopes this worker holds, so that somebody can report that they are alive.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    next: u64,
    signs: HashMap<u64, InProgress>,
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
        metrics::envelopes_held().set(held.signs.len() as f64);
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobAccount {
    /// It is terminal.
    Terminal,
    /// It was not begun, or its outcome could not be stored: somebody has to take it again.
    GivenBack,
    /// A newer attempt, with its own delivery, is in charge of it.
    Superseded,
}

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
    unbegun: usize,
    given_back: bool,
    superseded: bool,
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
            unbegun: jobs,
            given_back: false,
            superseded: false,
            place: Some(place),
        };
        Arc::new(Self {
            leases: Arc::clone(leases),
            number,
            state: Mutex::new(state),
        })
    }

    /// One job has left the batcher. Once all have, the next envelope of the queue may come.
    pub(crate) fn begun(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.unbegun = state.unbegun.saturating_sub(1);
        if state.unbegun == 0 {
            state.place = None;
        }
    }

    /// One job is accounted for; the last one settles the envelope.
    pub(crate) async fn account(&self, account: JobAccount) {
        let settled = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.unaccounted -= 1;
            state.given_back |= account == JobAccount::GivenBack;
            state.superseded |= account == JobAccount::Superseded;
            if state.unaccounted > 0 {
                return;
            }
            state.place = None;
            state
                .delivery
                .take()
                .map(|delivery| (delivery, state.given_back, state.superseded))
        };
        self.leases.remove(self.number);
        match settled {
            None => {}
            Some((delivery, true, _)) => delivery.nak(None).await,
            Some((delivery, false, true)) => delivery.abandon(),
            Some((delivery, false, false)) => delivery.ack().await,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.leases.remove(self.number);
    }
}
