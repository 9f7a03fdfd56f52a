//! A catalog of the small graphs that go wrong in one way each (models/tests/graphs), for stacks that are to meet them.
//! Each takes and gives as many INT64 as there are rows, named x and y.

use std::{fs, path::Path};

use anyhow::Context;
use gristmill_schemas::{Datatype, Digest, InferRequest, Tensor};

/// Model, version, graph, and how long one run may take.
const VERSIONS: [(&str, &str, &str, &str); 4] = [
    // fails for every x that is not 0 to 15
    ("pick", "1", "pick", "10s"),
    // gives what the first would give for x modulo 16
    ("pick", "2", "pick_any", "10s"),
    // runs as many rounds as the largest x says
    ("spin", "1", "spin", "1s"),
    // allocates as many bytes as the largest x says
    ("allocate", "1", "allocate", "10s"),
];

/// Writes the catalog into a folder and returns the flags that make an ingest or a worker use it.
///
/// # Errors
/// A graph is not there, or the folder cannot be written.
pub fn install(dir: &Path) -> anyhow::Result<Vec<String>> {
    let (models, artifacts) = (dir.join("models"), dir.join("artifacts"));
    fs::create_dir_all(artifacts.join("sha256"))?;
    for (model, version, graph, max_runtime) in VERSIONS {
        let graph = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../models/tests/graphs/{graph}.onnx"));
        let content = fs::read(&graph).with_context(|| graph.display().to_string())?;
        let sha256 = Digest::of(&content).hex();
        fs::write(artifacts.join("sha256").join(&sha256), &content)?;
        let folder = models.join(model).join(version);
        fs::create_dir_all(&folder)?;
        let alias = "aliases = { default = \"1\" }\n";
        fs::write(models.join(model).join("model.toml"), alias)?;
        let manifest = manifest((model, version), (&sha256, content.len()), max_runtime);
        fs::write(folder.join("manifest.toml"), manifest)?;
    }
    let flag = |name: &str, path: &Path| [name.to_owned(), path.display().to_string()];
    Ok([flag("--models-dir", &models), flag("--artifacts-dir", &artifacts)].concat())
}

fn manifest((model, version): (&str, &str), (sha256, bytes): (&str, usize), max_runtime: &str) -> String {
    format!(
        r#"schema_version = 1
name = "{model}"
version = "{version}"
description = "A small graph that can go wrong."

[artifacts.model]
sha256 = "{sha256}"
bytes = {bytes}

[[inputs]]
name = "x"
datatype = "INT64"
shape = [-1]

[[outputs]]
name = "y"
datatype = "INT64"
shape = [-1]

[limits]
max_rows = 64
max_runtime = "{max_runtime}"

[batching]
max_batch_size = 16
max_queue_delay = "20ms"

[[example]]
name = "x"
datatype = "INT64"
shape = [1]
data = [1]
"#
    )
}

/// A request for one of these models.
///
/// # Panics
/// The model's name is none.
#[must_use]
pub fn request(model: &str, values: &[i64]) -> InferRequest {
    let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let x = Tensor::new("x", Datatype::Int64, vec![values.len() as u64], data).expect("eight bytes an element");
    InferRequest::new(model.parse().expect("a model's name"), vec![x])
}

/// The values of an answer.
#[must_use]
pub fn values(outputs: &[Tensor]) -> Vec<i64> {
    let data = outputs.first().map_or(&[][..], |output| output.data());
    let words = data.as_chunks::<8>().0;
    words.iter().map(|word| i64::from_le_bytes(*word)).collect()
}
