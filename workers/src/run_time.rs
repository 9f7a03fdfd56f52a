//! How long a model's batches run here, as measured: what is worth doing around a run depends on it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// About what it takes to ask the store something. A batch that runs for less is run before it would be known whether its
/// jobs are still wanted, and several envelopes of it may wait here without keeping other workers from anything.
const QUICK: Duration = Duration::from_millis(1);
/// One part in so many of the mean is the newest run.
const WEIGHT: u64 = 8;

/// The mean time of a batch's run. Nothing is quick before it was measured.
#[derive(Debug, Default)]
pub(crate) struct RunTime {
    /// In nanoseconds; 0 before the first run.
    mean: AtomicU64,
}

impl RunTime {
    /// A batch ran for so long.
    pub(crate) fn note(&self, run: Duration) {
        let run = u64::try_from(run.as_nanos()).unwrap_or(u64::MAX / WEIGHT).max(1);
        let _ = self.mean.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |mean| {
            Some(if mean == 0 {
                run
            } else {
                mean - mean / WEIGHT + run / WEIGHT
            })
        });
    }

    /// Whether a batch takes no longer than a question to the store.
    pub(crate) fn is_quick(&self) -> bool {
        let mean = self.mean.load(Ordering::Relaxed);
        mean > 0 && Duration::from_nanos(mean) < QUICK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_quick_until_measured_and_a_slow_spell_shows() {
        let time = RunTime::default();
        assert!(!time.is_quick());
        time.note(Duration::from_micros(50));
        assert!(time.is_quick());
        time.note(Duration::from_micros(900));
        assert!(time.is_quick());
        (0..3).for_each(|_| time.note(Duration::from_millis(20)));
        assert!(!time.is_quick());
        (0..60).for_each(|_| time.note(Duration::from_micros(50)));
        assert!(time.is_quick());
    }
}
