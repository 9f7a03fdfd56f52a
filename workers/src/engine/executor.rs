//! Runs batches on one ONNX Runtime session: prepare, group, run, split, check. A wrong item fails alone.

use std::sync::Arc;

use gristmill_schemas::{Failure, FailureCode, Tensor};
use ort::session::{RunOptions, Session, SessionOutputs, builder::GraphOptimizationLevel};

use super::{
    BatchItem, EngineError,
    grouping::{self, Placed},
    model::LoadedModel,
    preprocess::Prepared,
    runtime::Runtime,
    watchdog::Watchdog,
};

/// How much of ONNX Runtime's message a failure shows, in characters.
const MESSAGE: usize = 200;

/// What an item came to.
pub(super) type ItemResult = Result<Vec<Tensor>, Failure>;

/// A session with all it needs; owned by one thread.
pub(super) struct Executor {
    model: Arc<LoadedModel>,
    session: Session,
    watchdog: Watchdog,
    /// Runs of the graph so far.
    calls: u32,
}

impl Executor {
    /// Builds a session of the model's graph.
    pub(super) fn new(
        runtime: &Runtime,
        model: Arc<LoadedModel>,
        threads: usize,
        watchdog: Watchdog,
    ) -> Result<Self, EngineError> {
        let session = session(runtime, &model.graph, threads).map_err(|error| EngineError::Graph(error.to_string()))?;
        model.check_graph(session.inputs(), session.outputs())?;
        Ok(Self {
            model,
            session,
            watchdog,
            calls: 0,
        })
    }

    /// Runs the manifest's example: the session is warm after it, and known to work.
    pub(super) fn warm_up(&mut self) -> Result<(), EngineError> {
        let inputs = self.model.version.example.clone();
        match self.run(vec![BatchItem { inputs }]).0.pop() {
            Some(Err(failure)) => Err(EngineError::Example(failure)),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    /// Runs a batch: one result an item, in their order, and the number of runs of the graph.
    pub(super) fn run(&mut self, items: Vec<BatchItem>) -> (Vec<ItemResult>, u32) {
        self.calls = 0;
        let mut results = Vec::with_capacity(items.len());
        let mut sound = Vec::with_capacity(items.len());
        for (place, item) in items.into_iter().enumerate() {
            match self.model.preprocessor.prepare(item.inputs) {
                Ok(prepared) => {
                    sound.push((place, prepared));
                    results.push(Ok(Vec::new()));
                }
                Err(failure) => results.push(Err(failure)),
            }
        }
        for run in grouping::runs(sound, self.model.manifest().batching.max_batch_tokens) {
            self.attempt(&run, &mut results);
        }
        (results, self.calls)
    }

    /// Runs some items together; if that fails, each half on its own, until the culprit stands alone. At most twice as
    /// many runs as items.
    fn attempt(&mut self, items: &[Placed], results: &mut [ItemResult]) {
        match (self.call(items), items) {
            (Ok(outputs), _) => {
                for ((place, item), outputs) in items.iter().zip(outputs) {
                    results[*place] = self.model.check(outputs, item.rows() as u64);
                }
            }
            (Err(failure), [(place, _)]) => results[*place] = Err(failure),
            (Err(_), _) => {
                let (left, right) = items.split_at(items.len() / 2);
                self.attempt(left, results);
                self.attempt(right, results);
            }
        }
    }

    fn call(&mut self, items: &[Placed]) -> Result<Vec<Vec<Tensor>>, Failure> {
        let items: Vec<&Prepared> = items.iter().map(|(_, item)| item).collect();
        let model = Arc::clone(&self.model);
        let feed = model.preprocessor.feed(&items).map_err(|error| failed(&error))?;
        let finish =
            |outputs: Option<&SessionOutputs<'_>>| model.postprocessor.finish(model.manifest(), &items, outputs);
        if feed.is_empty() {
            return finish(None);
        }
        self.calls += 1;
        let session = &mut self.session;
        let run = |options: &RunOptions| {
            let outputs: ort::Result<SessionOutputs<'_>> = session.run_with_options(feed, options);
            outputs.map(|outputs| finish(Some(&outputs)))
        };
        match self.watchdog.watch(run).map_err(|error| failed(&error))? {
            (Ok(finished), _) => finished,
            (Err(_), true) => {
                let max_runtime = model.manifest().limits.max_runtime;
                let message = format!("the run took longer than {max_runtime} and was terminated");
                Err(Failure::new(FailureCode::MaxRuntimeExceeded, message))
            }
            (Err(error), false) => Err(failed(&error)),
        }
    }
}

fn session(runtime: &Runtime, graph: &[u8], threads: usize) -> ort::Result<Session> {
    // spinning threads would take the cores from those that keep deliveries alive
    Session::builder(runtime.environment())?
        .with_intra_threads(threads)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .commit_from_memory(graph)
}

fn failed(error: &ort::Error) -> Failure {
    let message: String = error.to_string().chars().take(MESSAGE).collect();
    Failure::new(FailureCode::InferenceFailed, message)
}
