//! A job while this worker holds it: whether it may run, what its slices have given so far, and what its lineage will say.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use gristmill_schemas::{
    Digest, Failure, FailureCode, Job, JobResult, JobState, Lineage, Outcome, Progress, Tensor, Timestamp,
    lineage::{BatchRecord, ModelRecord, Stages, WorkerRecord},
    progress::MAX_OUTPUTS,
};
use tokio::sync::SetOnce;

use crate::lease::{JobAccount, Lease};

/// Whether a job may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permit {
    /// It may; this is the attempt's number and fence.
    Run {
        /// From 1.
        attempt: u32,
    },
    /// It has ended, here or elsewhere.
    PassOver,
}

/// One job of a held envelope.
#[derive(Debug)]
pub(crate) struct HeldJob {
    pub(crate) job: Job,
    /// For a job that was delivered before: the token of this worker's claim of it.
    pub(crate) redelivered: Option<u64>,
    pub(crate) published_at: Timestamp,
    pub(crate) received_at: Timestamp,
    lease: Arc<Lease>,
    /// Set by the first executor that comes to it, which alone asks the store.
    claiming: AtomicBool,
    permit: SetOnce<Permit>,
    /// Whether its last row has left the batcher.
    left: AtomicBool,
    ended: AtomicBool,
    run: Mutex<Run>,
}

/// What its engine calls have given so far.
#[derive(Debug, Default)]
struct Run {
    claimed_at: Option<Timestamp>,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    batches: Vec<BatchRecord>,
    rows_done: u32,
    /// Outputs by the row they begin at.
    parts: BTreeMap<u32, Vec<Tensor>>,
    /// What nobody was told yet, in the order in which it was run.
    untold: Vec<Progress>,
}

/// What comes of some of a job's rows.
#[derive(Debug)]
pub(crate) enum Added {
    /// No row is missing: the outputs of all.
    Whole(Vec<Tensor>),
    /// Rows are missing, and there is something to tell.
    Part {
        /// Whether there was nothing to tell before.
        is_first: bool,
    },
}

/// One engine call, as a job's lineage tells it.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) batch: BatchRecord,
    pub(crate) started: SystemTime,
    pub(crate) finished: SystemTime,
}

/// What stands in every lineage record this worker writes about one model.
#[derive(Debug)]
pub(crate) struct Provenancer {
    pub(crate) worker: WorkerRecord,
    pub(crate) model: ModelRecord,
    pub(crate) max_outcome_bytes: usize,
}

impl HeldJob {
    pub(crate) fn new(
        job: Job,
        lease: Arc<Lease>,
        times: (Timestamp, Timestamp),
        redelivered: Option<u64>,
    ) -> Arc<Self> {
        let (published_at, received_at) = times;
        Arc::new(Self {
            job,
            redelivered,
            published_at,
            received_at,
            lease,
            claiming: AtomicBool::new(false),
            permit: SetOnce::new(),
            left: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            run: Mutex::default(),
        })
    }

    /// The rows to be run.
    pub(crate) fn rows(&self) -> u32 {
        u32::try_from(self.job.rows()).unwrap_or(u32::MAX)
    }

    /// When it expires, by the broker's clock.
    pub(crate) fn deadline(&self) -> Timestamp {
        self.published_at.plus(self.job.id.time_to_live().into())
    }

    /// True for the one caller who is to claim it.
    pub(crate) fn begin_claim(&self) -> bool {
        !self.claiming.swap(true, Ordering::AcqRel)
    }

    /// Its last row has left the batcher; counted once.
    pub(crate) fn leave(&self) {
        if !self.left.swap(true, Ordering::AcqRel) {
            self.lease.job_left();
        }
    }

    /// Says whether it may run; once.
    pub(crate) fn permit(&self, permit: Permit) {
        self.run().claimed_at = Some(SystemTime::now().into());
        // only the one who began the claim gets here
        let _ = self.permit.set(permit);
    }

    /// Waits for whoever claims it.
    pub(crate) async fn permitted(&self) -> Permit {
        *self.permit.wait().await
    }

    /// The attempt's number, once it may run.
    pub(crate) fn attempt(&self) -> u32 {
        match self.permit.get() {
            Some(Permit::Run { attempt }) => *attempt,
            Some(Permit::PassOver) | None => 0,
        }
    }

    /// When it was claimed, if it was and has not ended.
    pub(crate) fn running_since(&self) -> Option<Timestamp> {
        let may_run = matches!(self.permit.get(), Some(Permit::Run { .. }));
        (may_run && !self.has_ended()).then(|| self.run().claimed_at).flatten()
    }

    /// True for the one caller who ends it; everybody else leaves it alone from then on.
    pub(crate) fn end(&self) -> bool {
        !self.ended.swap(true, Ordering::AcqRel)
    }

    /// Whether somebody has ended it.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Accounts for it to its envelope; once, by whoever ended it.
    pub(crate) async fn account(&self, account: JobAccount) {
        self.leave();
        self.lease.account(account).await;
    }

    /// Notes an engine call it was in.
    pub(crate) fn note_call(&self, call: Call) {
        let mut run = self.run();
        let (started, finished) = (Timestamp::from(call.started), Timestamp::from(call.finished));
        run.started_at = Some(run.started_at.map_or(started, |earlier| earlier.min(started)));
        run.finished_at = Some(run.finished_at.map_or(finished, |earlier| earlier.max(finished)));
        run.batches.push(call.batch);
    }

    /// Adds the outputs of some of its rows; all of them together once no row is missing.
    pub(crate) fn add_part(&self, rows: Range<u32>, outputs: Vec<Tensor>) -> Added {
        let (attempt, rows_total) = (self.attempt(), self.rows());
        let mut run = self.run();
        run.rows_done += rows.end - rows.start;
        run.parts.insert(rows.start, outputs);
        if run.rows_done < rows_total {
            let outputs = &run.parts[&rows.start];
            let bytes: usize = outputs.iter().map(|output| output.data().len()).sum();
            let progress = Progress {
                attempt,
                from_row: rows.start,
                rows: rows.end - rows.start,
                rows_done: run.rows_done,
                rows_total,
                outputs: (bytes <= MAX_OUTPUTS).then(|| outputs.clone()),
            };
            run.untold.push(progress);
            return Added::Part {
                is_first: run.untold.len() == 1,
            };
        }
        // whoever is not told yet is told the outcome
        run.untold.clear();
        let parts: Vec<Vec<Tensor>> = std::mem::take(&mut run.parts).into_values().collect();
        let outputs = parts.first().map_or(0, Vec::len);
        let joined = |output: usize| {
            let pieces: Vec<Tensor> = parts.iter().map(|part| part[output].clone()).collect();
            Tensor::concat_rows(&pieces)
        };
        Added::Whole((0..outputs).map(joined).collect())
    }

    /// What nobody was told yet.
    pub(crate) fn take_untold(&self) -> Vec<Progress> {
        std::mem::take(&mut self.run().untold)
    }

    /// How it ended and the whole story of it.
    pub(crate) fn finish(&self, result: JobResult, about: &Provenancer) -> (Outcome, Lineage) {
        let result = bounded(result, about.max_outcome_bytes);
        let run = self.run();
        let job = &self.job;
        let state = match result {
            JobResult::Succeeded(_) => JobState::Succeeded,
            JobResult::Failed(_) => JobState::Failed,
            JobResult::Expired => JobState::Expired,
            JobResult::Cancelled => JobState::Cancelled,
        };
        let lineage = Lineage {
            output_digest: match &result {
                JobResult::Succeeded(outputs) => Some(Digest::of_tensors(outputs)),
                JobResult::Failed(_) | JobResult::Expired | JobResult::Cancelled => None,
            },
            failure: match &result {
                JobResult::Failed(failure) => Some(failure.clone()),
                JobResult::Succeeded(_) | JobResult::Expired | JobResult::Cancelled => None,
            },
            model: Some(about.model.clone()),
            batches: run.batches.clone(),
            worker: Some(about.worker.clone()),
            attempt: self.attempt(),
            stages: Stages {
                published_at: Some(self.published_at),
                received_at: Some(self.received_at),
                claimed_at: run.claimed_at,
                compute_started_at: run.started_at,
                compute_finished_at: run.finished_at,
                ..Stages::accepted(job.id.accepted_at())
            },
            ..Lineage::of_job(job, state)
        };
        (Outcome::new(job.id, result), lineage)
    }

    /// From its arrival here until now.
    pub(crate) fn waited(&self) -> Duration {
        Timestamp::from(SystemTime::now()).since(self.received_at)
    }

    fn run(&self) -> std::sync::MutexGuard<'_, Run> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bounded(result: JobResult, max_bytes: usize) -> JobResult {
    match &result {
        JobResult::Succeeded(outputs)
            if outputs.iter().map(|output| output.data().len()).sum::<usize>() > max_bytes =>
        {
            let message = format!("the outputs are larger than {max_bytes} bytes");
            JobResult::Failed(Failure::new(FailureCode::OutputTooLarge, message))
        }
        JobResult::Succeeded(_) | JobResult::Failed(_) | JobResult::Expired | JobResult::Cancelled => result,
    }
}
