//! The engine: one loaded model version and the threads that run it in ONNX Runtime.
//!
//! Takes batches of inputs and gives back, for each item, its outputs or why it failed. Knows nothing of jobs, queues and
//! stores. Preprocessing, the run and postprocessing all happen on the session's thread, never on tokio's.
//!
//! A wrong item fails alone: one whose preprocessing refuses it is left out of the run; items whose rows have different
//! shapes go in different runs; a run that fails, or lasts longer than the manifest's `max_runtime`, is halved until the
//! culprit stands alone.

mod artifacts;
mod executor;
mod external_data;
mod grouping;
mod model;
mod postprocess;
mod preprocess;
mod runtime;
mod session;
mod stop;
mod values;
mod watchdog;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use gristmill_models::{ArtifactError, ArtifactStore, ModelVersion};
use gristmill_schemas::{Failure, Tensor};
use tokio::sync::{mpsc, oneshot};

use self::{
    model::LoadedModel,
    session::{Parts, Starting, Work},
    stop::Stop,
};
pub use self::{
    runtime::{EngineArgs, NO_REPORTS, Runtime},
    stop::EngineStopped,
};

/// Why a model cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// ONNX Runtime's library cannot be used.
    #[error("ONNX Runtime at {}: {problem}", path.display())]
    Library {
        /// Where it is, or was looked for.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// An artifact is not there or not what its digest says.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// An artifact is what its digest says, but not what its role needs.
    #[error("artifact {role}: {problem}")]
    Content {
        /// The artifact's role in the manifest.
        role: String,
        /// What is wrong.
        problem: String,
    },
    /// The graph is none, has tensors elsewhere, or ONNX Runtime refuses it.
    #[error("the graph cannot be loaded: {0}")]
    Graph(String),
    /// Manifest and graph contradict each other.
    #[error("manifest and graph do not fit: {0}")]
    Unfit(String),
    /// The manifest's example does not run.
    #[error("the manifest's example fails: {}: {}", .0.code, .0.message)]
    Example(Failure),
    /// A thread could not be started, or died before it was ready.
    #[error("a session's thread: {0}")]
    Thread(String),
}

impl EngineError {
    fn content(role: &str, problem: impl Into<String>) -> Self {
        Self::Content {
            role: role.to_owned(),
            problem: problem.into(),
        }
    }
}

/// One job, or a slice of one.
#[derive(Debug, Clone)]
pub struct BatchItem {
    /// Its inputs in the order of the signature, all with the same rows.
    pub inputs: Vec<Tensor>,
}

/// What came of a batch.
#[derive(Debug)]
pub struct BatchReport {
    /// Each item's outputs in the order of the signature, or why it failed; in the order of the items.
    pub results: Vec<Result<Vec<Tensor>, Failure>>,
    /// When a session's thread took the batch up.
    pub started: SystemTime,
    /// When the last result was there.
    pub finished: SystemTime,
    /// From one to the other, by a clock that cannot be set.
    pub elapsed: Duration,
    /// Runs of the graph: 1 where all items went together and none failed, 0 where none needed the graph.
    pub calls: u32,
}

/// A loaded model version, warm. Clones are the same one; its threads end with the last.
#[derive(Debug, Clone)]
pub struct Engine(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    model: Arc<LoadedModel>,
    /// Batches on their way to a free session; `None` only while this is dropped.
    work: Option<mpsc::Sender<Work>>,
    threads: Vec<JoinHandle<()>>,
    stop: Stop,
}

impl Engine {
    /// Reads a version's artifacts, builds its sessions and runs its example on each. Blocks while it does.
    ///
    /// # Errors
    /// [`EngineError`]: the version cannot be served.
    pub fn load(
        runtime: &Runtime,
        version: &Arc<ModelVersion>,
        store: &ArtifactStore,
        args: &EngineArgs,
    ) -> Result<Self, EngineError> {
        let model = Arc::new(LoadedModel::load(version, store)?);
        // a free executor takes a batch at once, so one place is enough
        let (work, queue) = mpsc::channel(1);
        let queue = Arc::new(Mutex::new(queue));
        let stop = Stop::default();
        let spawn = |number| {
            let parts = Parts {
                runtime: runtime.clone(),
                model: Arc::clone(&model),
                threads: args.session_threads,
                queue: Arc::clone(&queue),
                stop: stop.clone(),
            };
            Starting::spawn(parts, number)
        };
        let starting: Vec<_> = (0..args.sessions).map(spawn).collect::<Result<_, _>>()?;
        let threads = starting.into_iter().map(Starting::ready).collect::<Result<_, _>>()?;
        Ok(Self(Arc::new(Inner {
            model,
            work: Some(work),
            threads,
            stop,
        })))
    }

    /// The number of batches it can run at the same time.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.0.threads.len()
    }

    /// About how many tokens the longest row of these inputs has; 1 where the model does not count tokens.
    #[must_use]
    pub fn tokens(&self, inputs: &[Tensor]) -> u32 {
        self.0.model.preprocessor.tokens(inputs)
    }

    /// Runs a batch on the next free session.
    ///
    /// # Errors
    /// [`EngineStopped`]: this and every later batch can have no report.
    pub async fn run(&self, items: Vec<BatchItem>) -> Result<BatchReport, EngineStopped> {
        let reported = async {
            let (answer, report) = oneshot::channel();
            let sender = self.0.work.as_ref()?;
            sender.send(Work { items, answer }).await.ok()?;
            report.await.ok()
        };
        tokio::select! {
            biased;
            report = reported => report.ok_or_else(|| self.0.stop.reason()),
            reason = self.0.stop.stopped() => Err(reason),
        }
    }
}

impl Engine {
    /// Runs nothing more, and is not waited for when it is dropped: for a process that is about to end.
    pub fn abandon(&self) {
        self.0.stop.stop(EngineStopped::Abandoned);
    }
}

impl Drop for Inner {
    /// Lets the threads end and waits for them, so that ONNX Runtime is not unloaded under a run.
    fn drop(&mut self) {
        self.work = None;
        if self.stop.is_stopped() {
            return;
        }
        for thread in self.threads.drain(..) {
            // a panic was reported by `stop` already
            thread.join().ok();
        }
    }
}
