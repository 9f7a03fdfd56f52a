//! One model's version in this worker: jobs wait in its batcher, executors take batches of them through the engine.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use gristmill_models::ModelVersion;
use gristmill_schemas::{
    JobResult, Tensor,
    lineage::BatchRecord,
    subject::{Queue, TenantGroup},
};
use gristmill_telemetry::{fail_points, shutdown::Shutdown};
use tokio::sync::{Notify, Semaphore};

use crate::{
    batcher::{Batcher, Decision, Piece, Ready},
    engine::{BatchItem, BatchReport, Engine, EngineStopped},
    held_job::{Added, Call, HeldJob, Permit},
    lease::JobAccount,
    metrics,
    progress::ProgressTeller,
    run_time::RunTime,
    settle::Settler,
};

/// Batches whose outcomes are on their way to the store while the engine goes on.
const COMMITS_IN_FLIGHT: usize = 4;
/// How often waiting jobs are looked at for expiry.
const SWEEP_INTERVAL: Duration = Duration::from_millis(250);

/// The metadata that makes a job poison, where the suite of faults says so.
const POISON: &str = "poison";

/// One version's line.
#[derive(Debug)]
pub(crate) struct Line {
    version: Arc<ModelVersion>,
    engine: Engine,
    settler: Settler,
    progress: ProgressTeller,
    batcher: Mutex<Batcher<Arc<HeldJob>>>,
    /// Something was pushed, or the end was asked for.
    changed: Notify,
    commits: Arc<Semaphore>,
    batches: AtomicU64,
    run_time: RunTime,
}

impl Line {
    pub(crate) fn new(version: Arc<ModelVersion>, engine: Engine, settler: Settler) -> Arc<Self> {
        let batcher = Mutex::new(Batcher::new(&version.manifest.batching));
        let commits = Arc::new(Semaphore::new(COMMITS_IN_FLIGHT));
        let batches = AtomicU64::new(0);
        let progress = ProgressTeller::start(settler.store.clone(), version.manifest.name.as_str().to_owned());
        Arc::new(Self {
            version,
            engine,
            settler,
            progress,
            batcher,
            changed: Notify::new(),
            commits,
            batches,
            run_time: RunTime::default(),
        })
    }

    fn model(&self) -> &str {
        self.version.manifest.name.as_str()
    }

    /// The queues it is served from.
    pub(crate) fn queues(&self) -> Vec<Queue> {
        Queue::of_version(&self.version.manifest.name, &self.version.manifest.version).collect()
    }

    /// Whether a batch of it takes no time to speak of.
    pub(crate) fn is_quick(&self) -> bool {
        self.run_time.is_quick()
    }

    /// Rows of a full batch.
    pub(crate) fn max_rows(&self) -> u32 {
        self.version.manifest.batching.max_batch_size
    }

    /// How many batches its engine runs at once.
    pub(crate) fn executors(&self) -> usize {
        self.engine.sessions()
    }

    fn batcher(&self) -> MutexGuard<'_, Batcher<Arc<HeldJob>>> {
        self.batcher.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a job wait for its batch. One that was delivered before may be what killed its worker, so it runs alone.
    pub(crate) fn push(&self, held: Arc<HeldJob>) {
        let ready = Ready {
            rows: held.rows(),
            tokens: self.engine.tokens(&held.job.inputs),
            lane: held.job.lane,
            group: TenantGroup::of(&held.job.tenant),
            solo: held.redelivered.is_some(),
            received: Instant::now(),
            item: held,
        };
        let mut batcher = self.batcher();
        batcher.push(ready);
        metrics::rows_waiting(self.model().to_owned()).set(batcher.rows() as f64);
        drop(batcher);
        self.changed.notify_waiters();
    }

    /// Gives back every job of which nothing was begun.
    pub(crate) async fn give_back(&self) {
        let drained = self.batcher().drain();
        let unbegun: Vec<Arc<HeldJob>> = drained
            .into_iter()
            .filter(|held| held.begin_claim() && held.end())
            .collect();
        // before the broker hands them to the next worker
        self.settler.note_unbegun(&unbegun).await;
        for held in unbegun {
            held.permit(Permit::PassOver);
            held.account(JobAccount::GivenBack).await;
        }
        self.changed.notify_waiters();
    }

    /// Ends waiting jobs whose deadline has passed, so that nobody hears of it only after the batch ahead.
    pub(crate) async fn expire_waiting(self: Arc<Self>, shutdown: Shutdown) {
        let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = sweep.tick() => self.expire().await,
                () = shutdown.requested() => return,
            }
        }
    }

    async fn expire(&self) {
        let mut ended = Vec::new();
        let expired = self.batcher().remove(|held| self.settler.is_expired(held));
        for piece in expired {
            let held = piece.item;
            if held.begin_claim() {
                held.permit(Permit::PassOver);
            }
            ended.extend(self.settler.end(&held, JobResult::Expired));
        }
        self.settler.commit(ended).await;
    }

    /// One executor: takes a batch whenever there is one, until the shutdown was requested and nothing waits.
    ///
    /// # Errors
    /// The engine cannot go on: the process has to end.
    pub(crate) async fn execute(self: Arc<Self>, shutdown: Shutdown) -> Result<(), EngineStopped> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let decision = self.batcher().next(Instant::now());
            match decision {
                Decision::Seal(pieces) => self.run(pieces).await?,
                Decision::WaitUntil(at) => tokio::select! {
                    () = tokio::time::sleep_until(at.into()) => {}
                    () = changed => {}
                },
                Decision::Empty if shutdown.is_requested() => return Ok(()),
                Decision::Empty => tokio::select! {
                    () = changed => {}
                    () = shutdown.requested() => {}
                },
            }
        }
    }

    /// Claims a sealed batch, runs what may run, and hands the outcomes on to be stored.
    async fn run(self: &Arc<Self>, pieces: Vec<Piece<Arc<HeldJob>>>) -> Result<(), EngineStopped> {
        metrics::rows_waiting(self.model().to_owned()).set(self.batcher().rows() as f64);
        for piece in pieces.iter().filter(|piece| piece.rows.end == piece.item.rows()) {
            piece.item.leave();
        }
        let pieces = self.claim(pieces).await;
        if pieces.is_empty() {
            return Ok(());
        }
        if pieces.iter().any(|piece| piece.item.job.metadata.contains_key(POISON)) {
            fail_points::die_at("worker-on-poison");
        }
        let items = pieces.iter().map(|piece| BatchItem { inputs: slice(piece) }).collect();
        let report = self.engine.run(items).await?;
        let room = Arc::clone(&self.commits).acquire_owned().await.expect("never closed");
        let line = Arc::clone(self);
        tokio::spawn(async move {
            line.take_results(pieces, report).await;
            drop(room);
        });
        Ok(())
    }

    /// The pieces whose jobs may run, after asking the store about those that nobody has asked about yet.
    async fn claim(&self, pieces: Vec<Piece<Arc<HeldJob>>>) -> Vec<Piece<Arc<HeldJob>>> {
        let fresh: Vec<_> = pieces
            .iter()
            .filter(|piece| piece.item.begin_claim())
            .map(|piece| Arc::clone(&piece.item))
            .collect();
        for held in &fresh {
            metrics::batch_wait_seconds(self.model().to_owned()).record(held.waited());
        }
        self.settler.claim(&fresh, self.is_quick()).await;
        let mut runnable = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let permit = piece.item.permitted().await;
            let later_slice = piece.rows.start > 0;
            if permit == Permit::PassOver || piece.item.has_ended() {
                continue;
            }
            if later_slice && self.settler.has_ended_meanwhile(&piece.item).await {
                self.drop_rest(&piece.item);
                continue;
            }
            runnable.push(piece);
        }
        runnable
    }

    async fn take_results(&self, pieces: Vec<Piece<Arc<HeldJob>>>, report: BatchReport) {
        let rows: u32 = pieces.iter().map(|piece| piece.rows.len() as u32).sum();
        let number = self.batches.fetch_add(1, Ordering::Relaxed);
        let model = self.model();
        self.run_time.note(report.elapsed);
        metrics::compute_seconds(model.to_owned()).record(report.elapsed);
        metrics::batch_rows(model.to_owned()).record(f64::from(rows));
        metrics::batch_jobs(model.to_owned()).record(pieces.len() as f64);
        metrics::executions(model.to_owned()).increment(report.calls.into());
        let id = format!("{}-{model}-{number}", self.settler.about.worker.id);
        let (mut position, mut ended) = (0, Vec::new());
        let jobs = pieces.len() as u32;
        for (piece, result) in pieces.into_iter().zip(report.results) {
            let job_rows = piece.rows.len() as u32;
            let batch = BatchRecord {
                id: id.clone(),
                jobs,
                rows,
                position,
                job_rows,
            };
            position += job_rows;
            piece.item.note_call(Call {
                batch,
                started: report.started,
                finished: report.finished,
            });
            ended.extend(self.take_result(&piece, result));
        }
        self.settler.commit(ended).await;
    }

    /// A piece's result: the job's outcome, if it was the last piece or failed.
    fn take_result(
        &self,
        piece: &Piece<Arc<HeldJob>>,
        result: Result<Vec<Tensor>, gristmill_schemas::Failure>,
    ) -> Option<crate::settle::Ended> {
        match result {
            Ok(outputs) => match piece.item.add_part(piece.rows.clone(), outputs) {
                Added::Whole(outputs) => self.settler.end(&piece.item, JobResult::Succeeded(outputs)),
                Added::Part { is_first } => {
                    if is_first {
                        self.progress.mention(&piece.item);
                    }
                    None
                }
            },
            Err(failure) => {
                self.drop_rest(&piece.item);
                self.settler.end(&piece.item, JobResult::Failed(failure))
            }
        }
    }

    /// Rows of an ended job that were not handed out yet need not run any more.
    fn drop_rest(&self, ended: &Arc<HeldJob>) {
        self.batcher().remove(|held| Arc::ptr_eq(held, ended));
    }

    /// Ends waiting for the engine: the process is about to end, and a run may not.
    pub(crate) fn abandon(&self) {
        self.engine.abandon();
    }

    /// Waits until every outcome is stored.
    pub(crate) async fn committed(&self) {
        let all = u32::try_from(COMMITS_IN_FLIGHT).expect("a small number");
        drop(self.commits.acquire_many(all).await);
    }
}

fn slice(piece: &Piece<Arc<HeldJob>>) -> Vec<Tensor> {
    let inputs = &piece.item.job.inputs;
    if piece.rows.len() as u64 == piece.item.job.rows() {
        return inputs.clone();
    }
    let rows = u64::from(piece.rows.start)..u64::from(piece.rows.end);
    inputs.iter().map(|input| input.slice_rows(rows.clone())).collect()
}
