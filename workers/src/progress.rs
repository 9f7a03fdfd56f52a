//! Tells what the rows of long jobs have given while the rest of them still runs. It stands beside the way of outcomes and never
//! in it: what cannot be told is in the outcome all the same, so nothing is tried again.

use std::{
    ops::Range,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use gristmill_broker::{RowsRun, Store, store_memory::StoreMemory};
use gristmill_schemas::Progress;
use tokio::sync::mpsc;

use crate::{held_job::HeldJob, metrics};

/// The least time between two rounds: slices that end meanwhile are told together.
const PAUSE: Duration = Duration::from_millis(20);
/// Jobs whose rows are told together at most.
const JOBS_AT_ONCE: usize = 64;
/// Bytes of outputs in one call of the store: claims and commits wait behind it.
const BYTES_AT_ONCE: usize = 256 << 10;
/// Outputs are told while less than this share of the store's memory is used: the rest is for outcomes, which hold them anyway.
const ROOM: f64 = 0.8;
/// How often the store is asked for that, and the part of what is left that is told meanwhile: others tell, too.
const ROOM_INTERVAL: Duration = Duration::from_secs(1);
const PART_OF_ROOM: f64 = 0.1;

/// Where an executor leaves jobs that have more to tell. What they have to tell they keep themselves, so that nothing waits here
/// but a mention for each held job.
#[derive(Debug)]
pub(crate) struct ProgressTeller(mpsc::UnboundedSender<Weak<HeldJob>>);

impl ProgressTeller {
    /// Starts the task that tells; it ends when this is dropped.
    pub(crate) fn start(store: Store, model: String) -> Self {
        let (mentions, mentioned) = mpsc::unbounded_channel();
        let task = Task {
            store,
            model,
            asked: None,
            room: 0,
        };
        tokio::spawn(task.run(mentioned));
        Self(mentions)
    }

    /// This job has something to tell, and had nothing before.
    pub(crate) fn mention(&self, held: &Arc<HeldJob>) {
        // the task lives as long as this
        let _ = self.0.send(Arc::downgrade(held));
    }
}

type Untold = (Arc<HeldJob>, Progress);

/// The task that tells.
struct Task {
    store: Store,
    model: String,
    /// When the store was asked whether it has room.
    asked: Option<Instant>,
    /// Bytes of outputs that may be told until it is asked again.
    room: usize,
}

impl Task {
    async fn run(mut self, mut mentioned: mpsc::UnboundedReceiver<Weak<HeldJob>>) {
        let mut jobs = Vec::new();
        while mentioned.recv_many(&mut jobs, JOBS_AT_ONCE).await > 0 {
            // one that is held no more has ended
            let held = jobs.drain(..).filter_map(|held| held.upgrade());
            let mut untold: Vec<Untold> = held.flat_map(untold).collect();
            for part in parts(&untold) {
                self.look_for_room().await;
                self.tell(&mut untold[part]).await;
            }
            drop(untold);
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn look_for_room(&mut self) {
        if self.asked.is_none_or(|asked| asked.elapsed() >= ROOM_INTERVAL) {
            self.room = self.store.memory().await.map_or(0, room);
            self.asked = Some(Instant::now());
        }
    }

    async fn tell(&mut self, part: &mut [Untold]) {
        for (_, progress) in part.iter_mut() {
            let bytes = bytes(progress);
            if bytes > self.room {
                progress.outputs = None;
            } else {
                self.room -= bytes;
            }
        }
        let rows: Vec<_> = part.iter().map(|(held, progress)| rows_run(held, progress)).collect();
        if let Err(error) = self.store.tell_progress(&rows).await {
            metrics::progress_lost(self.model.clone()).increment(rows.len() as u64);
            tracing::debug!(%error, "progress is not told");
        }
    }
}

/// Of a store without a limit there is always enough.
fn room(memory: StoreMemory) -> usize {
    match memory.max {
        0 => usize::MAX,
        max => ((max as f64 * ROOM - memory.used as f64) * PART_OF_ROOM).max(0.0) as usize,
    }
}

fn untold(held: Arc<HeldJob>) -> Vec<Untold> {
    let rows = held.take_untold().into_iter();
    rows.map(|rows| (Arc::clone(&held), rows)).collect()
}

fn rows_run<'a>(held: &'a HeldJob, progress: &'a Progress) -> RowsRun<'a> {
    RowsRun {
        tenant: &held.job.tenant,
        id: &held.job.id,
        progress,
    }
}

/// Of the outputs' data.
fn bytes(progress: &Progress) -> usize {
    let outputs = progress.outputs.iter().flatten();
    outputs.map(|tensor| tensor.data().len()).sum()
}

/// Parts of about [`BYTES_AT_ONCE`], in their order.
fn parts<T>(untold: &[(T, Progress)]) -> Vec<Range<usize>> {
    let (mut parts, mut from, mut sum) = (Vec::new(), 0, 0);
    for (at, (_, progress)) in untold.iter().enumerate() {
        let more = bytes(progress);
        if sum + more > BYTES_AT_ONCE && at > from {
            parts.push(from..at);
            (from, sum) = (at, 0);
        }
        sum += more;
    }
    if from < untold.len() {
        parts.push(from..untold.len());
    }
    parts
}

#[cfg(test)]
mod tests {
    use gristmill_schemas::Tensor;

    use super::*;

    fn rows(values: usize) -> ((), Progress) {
        let outputs = Tensor::from_f32("y", vec![values as u64], &vec![0.5; values]).unwrap();
        let progress = Progress {
            attempt: 1,
            from_row: 0,
            rows: 1,
            rows_done: 1,
            rows_total: 2,
            outputs: Some(vec![outputs]),
        };
        ((), progress)
    }

    #[test]
    fn outputs_take_a_part_of_what_is_free_beyond_a_fifth_of_the_store() {
        let memory = |used, max| StoreMemory { used, max };
        assert_eq!(room(memory(300, 1000)), 50);
        assert_eq!([800, 801, 2000].map(|used| room(memory(used, 1000))), [0; 3]);
        assert_eq!(room(memory(1 << 40, 0)), usize::MAX);
    }

    #[test]
    fn what_is_told_together_is_bounded_by_its_bytes_and_none_is_left_out() {
        assert!(parts::<()>(&[]).is_empty());
        let third = BYTES_AT_ONCE / 4 / 3;
        let untold: Vec<_> = [third, third, third, 1, BYTES_AT_ONCE / 2, 1].map(rows).into();
        assert_eq!(parts(&untold), [0..4, 4..5, 5..6]);
    }
}
