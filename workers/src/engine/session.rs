//! The threads of an engine: each owns one session, takes batches from the queue that all share, and answers each over its
//! own channel. A thread that panics stops the engine; nobody waits for an answer that will not come.

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc as blocking},
    thread::{self, JoinHandle},
    time::{Instant, SystemTime},
};

use gristmill_telemetry::fail_points;
use tokio::sync::{mpsc, oneshot};

use super::{
    BatchItem, BatchReport, EngineError,
    executor::Executor,
    model::LoadedModel,
    runtime::Runtime,
    stop::{Stop, StopOnPanic},
    watchdog::Watchdog,
};

/// A batch and where its report goes.
pub(super) struct Work {
    pub(super) items: Vec<BatchItem>,
    pub(super) answer: oneshot::Sender<BatchReport>,
}

/// The queue's end that the threads share.
pub(super) type Queue = Arc<Mutex<mpsc::Receiver<Work>>>;

/// What a session's thread is made of.
pub(super) struct Parts {
    pub(super) runtime: Runtime,
    pub(super) model: Arc<LoadedModel>,
    pub(super) threads: usize,
    pub(super) queue: Queue,
    pub(super) stop: Stop,
}

/// A session's thread on its way to being ready.
pub(super) struct Starting {
    thread: JoinHandle<()>,
    ready: blocking::Receiver<Result<(), EngineError>>,
}

impl Starting {
    /// Starts the thread with the given number.
    pub(super) fn spawn(parts: Parts, number: usize) -> Result<Self, EngineError> {
        let (announce, ready) = blocking::channel();
        // Linux shows the first 15 bytes of a thread's name
        let name = format!("ort-{number}-{}", parts.model.manifest().name);
        let thread = thread::Builder::new()
            .name(name)
            .spawn(move || serve(parts, number, &announce))
            .map_err(|error| EngineError::Thread(error.to_string()))?;
        Ok(Self { thread, ready })
    }

    /// Waits until the session is warm.
    pub(super) fn ready(self) -> Result<JoinHandle<()>, EngineError> {
        let died = |_| Err(EngineError::Thread("it panicked while it built its session".to_owned()));
        self.ready.recv().unwrap_or_else(died).map(|()| self.thread)
    }
}

fn serve(parts: Parts, number: usize, announce: &blocking::Sender<Result<(), EngineError>>) {
    let _stop = StopOnPanic(parts.stop.clone());
    let queue = Arc::clone(&parts.queue);
    let executor = warm(parts, number);
    let (executor, report) = match executor {
        Ok(executor) => (Some(executor), Ok(())),
        Err(error) => (None, Err(error)),
    };
    // the engine may have given up on another session's error
    if announce.send(report).is_ok()
        && let Some(mut executor) = executor
    {
        while let Some(work) = next(&queue) {
            answer(&mut executor, work);
        }
    }
}

fn warm(parts: Parts, number: usize) -> Result<Executor, EngineError> {
    let max_runtime = parts.model.manifest().limits.max_runtime.as_duration();
    let name = format!("ort-{number}-watch");
    let watchdog =
        Watchdog::spawn(name, max_runtime, parts.stop).map_err(|error| EngineError::Thread(error.to_string()))?;
    let mut executor = Executor::new(&parts.runtime, parts.model, parts.threads, watchdog)?;
    executor.warm_up()?;
    Ok(executor)
}

/// The next batch; `None` when the engine was dropped. One thread waits in the channel, the others for the lock.
fn next(queue: &Queue) -> Option<Work> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv()
}

fn answer(executor: &mut Executor, work: Work) {
    let (started, clock) = (SystemTime::now(), Instant::now());
    let (results, calls) = fail_points::as_one_thread("bug-heartbeat-on-inference-thread", || {
        fail_points::pause_at("worker-slow-run");
        executor.run(work.items)
    });
    let report = BatchReport {
        results,
        started,
        elapsed: clock.elapsed(),
        finished: SystemTime::now(),
        calls,
    };
    // whoever asked may have gone: then nobody wants the report
    work.answer.send(report).ok();
}
