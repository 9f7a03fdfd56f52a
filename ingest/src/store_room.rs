//! Whether the store has room for more outcomes. Every accepted job will need some, so submissions are refused a while before
//! it is full: what was accepted by then still fits in.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use gristmill_broker::store_memory::StoreMemory;
use gristmill_schemas::{Refusal, RefusalCode};

use crate::metrics;

/// How much of the store must be free again, beyond the limit, before submissions are taken again: a share of all of it. It
/// keeps the answer from changing with every outcome that is forgotten.
const RELIEF: f64 = 0.05;

/// What is known of it. Clones are the same.
#[derive(Debug, Clone)]
pub struct StoreRoom {
    full: Arc<AtomicBool>,
    limit: f64,
}

impl StoreRoom {
    /// Room until this share of the store's memory is used.
    #[must_use]
    pub fn new(limit: f64) -> Self {
        Self {
            full: Arc::default(),
            limit,
        }
    }

    /// Takes note of what the store uses.
    pub(crate) fn note(&self, memory: StoreMemory) {
        metrics::store_used_bytes().set(memory.used as f64);
        metrics::store_max_bytes().set(memory.max as f64);
        let was = self.full.load(Ordering::Relaxed);
        let is = is_full(was, memory, self.limit);
        self.full.store(is, Ordering::Relaxed);
        if is && !was {
            tracing::error!(
                store.used_bytes = memory.used,
                store.max_bytes = memory.max,
                "the store is nearly full: submissions are refused until outcomes are forgotten or it is given more memory"
            );
        } else if was && !is {
            tracing::warn!("the store has room again: submissions are taken");
        }
    }

    /// Lets a submission pass while there is room.
    ///
    /// # Errors
    /// `store_full`.
    pub fn check(&self) -> Result<(), Refusal> {
        if !self.full.load(Ordering::Relaxed) {
            return Ok(());
        }
        let refusal = Refusal::new(RefusalCode::StoreFull, "the store is nearly full of outcomes");
        Err(refusal.limit(format_args!("{:.0} % of the store's memory", self.limit * 100.0)))
    }
}

fn is_full(was: bool, memory: StoreMemory, limit: f64) -> bool {
    if memory.max == 0 {
        return false;
    }
    let used = memory.used as f64 / memory.max as f64;
    used >= if was { limit - RELIEF } else { limit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_full_at_the_limit_and_until_well_below() {
        let memory = |used| StoreMemory { used, max: 1000 };
        for (was, used, is) in [
            (false, 899, false),
            (false, 900, true),
            (true, 899, true),
            (true, 851, true),
            (true, 849, false),
        ] {
            assert_eq!(is_full(was, memory(used), 0.9), is, "{was} {used}");
        }
        let unbounded = StoreMemory { used: 1 << 40, max: 0 };
        assert!(!is_full(false, unbounded, 0.9));
    }
}
