//! Tells what the rows of long jobs have given while the rest of them still runs. It stands beside the way of outcomes and never
//! in it: what cannot be told is in the outcome all the same, so nothing is tried again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use gristmill_broker::{RowsRun, Store, store_memory::StoreMemory};
use gristmill_schemas::Progress;
use tokio::sync::mpsc;

use crate::{held_job::HeldJob, metrics};

/// The least time between two calls of the store: slices that end meanwhile are told together.
const PAUSE: Duration = Duration::from_millis(20);
/// Jobs whose rows are told together at most.
const JOBS_AT_ONCE: usize = 64;
/// Bytes of outputs in one call of the store.
const BYTES_AT_ONCE: usize = 4 << 20;
/// Outputs are told while less than this share of the store's memory is used: the rest is for outcomes, which hold them anyway.
const ROOM: f64 = 0.8;
/// How often the store is asked for that.
const ROOM_INTERVAL: Duration = Duration::from_secs(1);

/// Where an executor leaves jobs that have more to tell. What they have to tell they keep themselves, so that nothing waits here
/// but a mention for each held job.
#[derive(Debug)]
pub(crate) struct ProgressTeller(mpsc::UnboundedSender<Arc<HeldJob>>);

impl ProgressTeller {
    /// Starts the task that tells; it ends when this is dropped.
    pub(crate) fn start(store: Store, model: String) -> Self {
        let (mentions, mentioned) = mpsc::unbounded_channel();
        let task = Task {
            store,
            model,
            asked: None,
            has_room: false,
        };
        tokio::spawn(task.run(mentioned));
        Self(mentions)
    }

    /// This job has something to tell, and had nothing before.
    pub(crate) fn mention(&self, held: &Arc<HeldJob>) {
        // the task lives as long as this
        let _ = self.0.send(Arc::clone(held));
    }
}

/// The task that tells.
struct Task {
    store: Store,
    model: String,
    /// When the store was asked whether it has room.
    asked: Option<Instant>,
    has_room: bool,
}

impl Task {
    async fn run(mut self, mut mentioned: mpsc::UnboundedReceiver<Arc<HeldJob>>) {
        let mut jobs = Vec::new();
        while mentioned.recv_many(&mut jobs, JOBS_AT_ONCE).await > 0 {
            self.look_for_room().await;
            let untold: Vec<_> = jobs.drain(..).flat_map(|held| self.untold(&held)).collect();
            for part in parts(&untold) {
                self.tell(part).await;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn look_for_room(&mut self) {
        if self.asked.is_none_or(|asked| asked.elapsed() >= ROOM_INTERVAL) {
            self.has_room = self.store.memory().await.is_ok_and(has_room);
            self.asked = Some(Instant::now());
        }
    }

    fn untold(&self, held: &Arc<HeldJob>) -> Vec<(Arc<HeldJob>, Progress)> {
        let told = |mut progress: Progress| {
            progress.outputs = progress.outputs.filter(|_| self.has_room);
            (Arc::clone(held), progress)
        };
        held.take_untold().into_iter().map(told).collect()
    }

    async fn tell(&self, part: &[(Arc<HeldJob>, Progress)]) {
        let rows: Vec<_> = part.iter().map(|(held, progress)| rows_run(held, progress)).collect();
        if let Err(error) = self.store.tell_progress(&rows).await {
            metrics::progress_lost(self.model.clone()).increment(rows.len() as u64);
            tracing::debug!(%error, "progress is not told");
        }
    }
}

/// Of a store without a limit there is always some.
fn has_room(memory: StoreMemory) -> bool {
    memory.max == 0 || (memory.used as f64) < memory.max as f64 * ROOM
}

fn rows_run<'a>(held: &'a HeldJob, progress: &'a Progress) -> RowsRun<'a> {
    RowsRun {
        tenant: &held.job.tenant,
        id: &held.job.id,
        progress,
    }
}

/// Parts of about [`BYTES_AT_ONCE`], in their order.
fn parts<T>(untold: &[(T, Progress)]) -> Vec<&[(T, Progress)]> {
    let (mut parts, mut from, mut bytes) = (Vec::new(), 0, 0);
    for (at, (_, progress)) in untold.iter().enumerate() {
        let more: usize = progress
            .outputs
            .iter()
            .flatten()
            .map(|tensor| tensor.data().len())
            .sum();
        if bytes + more > BYTES_AT_ONCE && at > from {
            parts.push(&untold[from..at]);
            (from, bytes) = (at, 0);
        }
        bytes += more;
    }
    parts.extend(untold.get(from..).filter(|rest| !rest.is_empty()));
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
    fn outputs_are_told_while_a_fifth_of_the_store_is_free_or_nothing_bounds_it() {
        let memory = |used, max| StoreMemory { used, max };
        assert!(has_room(memory(799, 1000)) && !has_room(memory(800, 1000)));
        assert!(has_room(memory(1 << 40, 0)));
    }

    #[test]
    fn what_is_told_together_is_bounded_by_its_bytes_and_none_is_left_out() {
        assert!(parts::<()>(&[]).is_empty());
        let third = BYTES_AT_ONCE / 4 / 3;
        let untold: Vec<_> = [third, third, third, 1, BYTES_AT_ONCE / 2, 1].map(rows).into();
        let lengths: Vec<usize> = parts(&untold).iter().map(|part| part.len()).collect();
        assert_eq!(lengths, [4, 1, 1]);
    }
}
