//! What the engine's tests stand on: the one runtime, the repository's models, models made of the small graphs, and
//! batches in random groupings.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use gristmill_models::{ArtifactStore, Catalog, ModelVersion};
use gristmill_schemas::{Datatype, Digest, Failure, FailureCode, Tensor};
use gristmill_workers::engine::{BatchItem, BatchReport, Engine, EngineArgs, EngineError, Runtime};
use serde_json::{Value, json};

/// What an item came to.
pub(crate) type ItemResult = Result<Vec<Tensor>, Failure>;

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

pub(crate) fn args(sessions: usize) -> EngineArgs {
    EngineArgs {
        onnxruntime: None,
        sessions,
        session_threads: 1,
    }
}

pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::load(&args(1)).expect("`make setup` was run"))
}

/// One of the repository's models.
pub(crate) fn served(name: &str, sessions: usize) -> Engine {
    let catalog = Catalog::read(&repository().join("models")).unwrap();
    let version = catalog.resolve(&name.parse().unwrap(), None).unwrap();
    let store = ArtifactStore::new(repository().join(".gristmill/artifacts"));
    Engine::load(runtime(), &version, &store, &args(sessions)).unwrap()
}

/// A model made of one of the small graphs. It takes and gives INT64 [n], named x and y, until told otherwise.
pub(crate) struct Small {
    pub(crate) manifest: Value,
    pub(crate) example: Vec<Tensor>,
    artifacts: tempfile::TempDir,
}

impl Small {
    pub(crate) fn new(graph: &str) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../models/tests/graphs/{graph}.onnx"));
        let graph_bytes = fs::read(file).unwrap();
        let artifacts = tempfile::tempdir().unwrap();
        let sha256 = store(artifacts.path(), &graph_bytes);
        let manifest = json!({
            "schema_version": 1, "name": graph, "version": "1", "description": "A small graph.",
            "artifacts": {"model": {"sha256": sha256, "bytes": graph_bytes.len()}},
            "inputs": [{"name": "x", "datatype": "INT64", "shape": [-1]}],
            "outputs": [{"name": "y", "datatype": "INT64", "shape": [-1]}],
            "limits": {"max_rows": 64, "max_runtime": "30s"},
            "batching": {"max_batch_size": 16, "max_queue_delay": "1ms"},
        });
        Self {
            manifest,
            example: vec![int64(&[1])],
            artifacts,
        }
    }

    /// Adds an artifact.
    pub(crate) fn artifact(&mut self, role: &str, content: &[u8]) {
        let sha256 = store(self.artifacts.path(), content);
        self.manifest["artifacts"][role] = json!({"sha256": sha256, "bytes": content.len()});
    }

    pub(crate) fn load(&self) -> Result<Engine, EngineError> {
        self.load_with(1)
    }

    pub(crate) fn load_with(&self, sessions: usize) -> Result<Engine, EngineError> {
        let version = ModelVersion {
            manifest: serde_json::from_value(self.manifest.clone()).unwrap(),
            example: self.example.clone(),
        };
        let store = ArtifactStore::new(self.artifacts.path());
        Engine::load(runtime(), &Arc::new(version), &store, &args(sessions))
    }
}

fn store(artifacts: &Path, content: &[u8]) -> String {
    let digest = Digest::of(content);
    let path = ArtifactStore::new(artifacts).path(digest);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
    digest.hex()
}

/// `x` INT64 [n].
pub(crate) fn int64(values: &[i64]) -> Tensor {
    let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Tensor::new("x", Datatype::Int64, vec![values.len() as u64], data).unwrap()
}

/// One item an input.
pub(crate) fn items(inputs: impl IntoIterator<Item = Tensor>) -> Vec<BatchItem> {
    inputs
        .into_iter()
        .map(|input| BatchItem { inputs: vec![input] })
        .collect()
}

pub(crate) async fn run(engine: &Engine, inputs: impl IntoIterator<Item = Tensor>) -> BatchReport {
    engine.run(items(inputs)).await.unwrap()
}

pub(crate) fn code(result: &ItemResult) -> Option<FailureCode> {
    result.as_ref().err().map(|failure| failure.code)
}

/// `names` in an order and in groups of 1 to 8 that follow from the seed.
pub(crate) fn groupings<T>(mut names: Vec<T>, seed: u64) -> Vec<Vec<T>> {
    // xorshift: any number but 0 begins a long sequence
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut below = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    let mut groups = Vec::new();
    while !names.is_empty() {
        let size = 1 + below(8.min(names.len()));
        groups.push((0..size).map(|_| names.swap_remove(below(names.len()))).collect());
    }
    groups
}
