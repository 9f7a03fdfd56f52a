//! What a fault has at hand while it is injected: the processes, how far the load has come, and a seed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::sleep;

use crate::{
    chaos::{
        caller::Caller,
        cluster::Cluster,
        history::{Call, End, History, Way},
        seed::Seed,
        workload::Progress,
    },
    wait,
};

/// Rounds of a fault in a small row and in a large one.
const ROUNDS: (u32, u32) = (2, 4);
/// From how many jobs on a row is large.
const LARGE: u64 = 1000;
/// How far a round may stray from its place in the load.
const JITTER: Duration = Duration::from_millis(400);

/// A row in progress.
#[derive(Debug)]
pub struct Scene {
    /// The processes.
    pub cluster: Cluster,
    /// How far the load has come.
    pub load: Arc<Progress>,
    /// The clients, for faults that are clients themselves.
    pub callers: Vec<Caller>,
    /// The history of the row.
    pub history: History,
    /// At least so many jobs come.
    pub jobs: u64,
    /// What decides where a fault has a choice.
    pub seed: Seed,
    /// Executions of single jobs that the fault has counted, by nonce.
    pub executions: BTreeMap<u64, u32>,
    pub(crate) injections: u64,
    pub(crate) first: Option<Duration>,
    notes: BTreeMap<&'static str, u64>,
}

impl Scene {
    /// A row that has just begun.
    #[must_use]
    pub fn new(
        cluster: Cluster,
        (load, callers): (Arc<Progress>, Vec<Caller>),
        history: History,
        (jobs, seed): (u64, Seed),
    ) -> Self {
        Self {
            cluster,
            load,
            callers,
            history,
            jobs,
            seed,
            executions: BTreeMap::new(),
            injections: 0,
            first: None,
            notes: BTreeMap::new(),
        }
    }

    /// How often a fault that can be repeated is to be injected.
    #[must_use]
    pub const fn rounds(&self) -> u32 {
        if self.jobs < LARGE { ROUNDS.0 } else { ROUNDS.1 }
    }

    /// Waits for the place of a round: the rounds divide the load evenly, by jobs accepted, and the seed moves each a bit.
    ///
    /// # Errors
    /// The load never comes so far.
    pub async fn until_round(&mut self, round: u32) -> anyhow::Result<()> {
        let share = u64::from(2 * round + 1) * 100 / u64::from(2 * self.rounds() + 1);
        self.until_accepted(share).await?;
        // the place of a fault is not a condition: there is nothing to wait for
        sleep(self.seed.between(Duration::ZERO, JITTER)).await;
        Ok(())
    }

    /// Waits until so many percent of the jobs are accepted.
    ///
    /// # Errors
    /// They never are.
    pub async fn until_accepted(&self, percent: u64) -> anyhow::Result<()> {
        let (load, wanted) = (&self.load, self.jobs * percent / 100);
        let what = format!("{wanted} jobs to be accepted");
        wait::until(&what, || async move { Ok((load.accepted() >= wanted).then_some(())) }).await
    }

    /// Counts an injection.
    pub fn injected(&mut self) {
        self.injections += 1;
        self.first.get_or_insert_with(|| self.history.now());
    }

    /// Calls to which no reply came, or that found nobody.
    #[must_use]
    pub fn calls_cut_off(&self) -> u64 {
        let ops = self.history.ops();
        let cut_off = |end: &End| match end {
            End::Info(_) => true,
            End::Fail(denial) => denial.status == 0,
            End::Ok(_) => false,
        };
        ops.iter().filter(|op| cut_off(&op.end)).count() as u64
    }

    /// Calls, but for open event streams, that took longer than a healthy pipeline lets anybody wait who did not ask to.
    #[must_use]
    pub fn slow_calls(&self) -> u64 {
        const SLOW: Duration = Duration::from_secs(4);
        let ops = self.history.ops();
        let slow = ops.iter().filter(|op| op.completed.saturating_sub(op.invoked) > SLOW);
        slow.filter(|op| matches!(op.call, Call::Submit { .. } | Call::Read { way: Way::Poll, .. }))
            .count() as u64
    }

    /// Calls that were refused for want of room.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        let ops = self.history.ops();
        let refused = |end: &End| matches!(end, End::Fail(denial) if matches!(denial.status, 429 | 503));
        ops.iter().filter(|op| refused(&op.end)).count() as u64
    }

    /// Submissions that were repeated under their key.
    #[must_use]
    pub fn keys_sent_again(&self) -> u64 {
        let mut sent: BTreeMap<String, u64> = BTreeMap::new();
        for op in self.history.ops() {
            if let Call::Submit { key: Some(key), .. } = op.call {
                *sent.entry(key).or_default() += 1;
            }
        }
        sent.values().filter(|times| **times > 1).count() as u64
    }

    /// Adds to a figure of the proof that cannot be had later.
    pub fn note(&mut self, name: &'static str, figure: u64) {
        *self.notes.entry(name).or_default() += figure;
    }

    /// What was noted under a name.
    #[must_use]
    pub fn noted(&self, name: &'static str) -> u64 {
        self.notes.get(name).copied().unwrap_or_default()
    }
}
