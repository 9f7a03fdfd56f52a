//! Catalogs of the small graphs that go wrong (models/tests/graphs), for stacks that are to meet them.

use std::{fs, path::Path};

use anyhow::Context;
use gristmill_schemas::{Datatype, Digest, InferRequest, Tensor};

/// One version of a model of a catalog.
struct Version {
    model: &'static str,
    version: &'static str,
    graph: &'static str,
    /// What it takes as x and gives as y.
    datatype: &'static str,
    shape: &'static str,
    max_rows: u64,
    max_runtime: &'static str,
    max_queue_delay: &'static str,
}

/// Of models that go wrong in one way each, and take and give as many INT64 as there are rows.
const VERSIONS: [Version; 4] = [
    // fails for every x that is not 0 to 15
    version("pick", "1", "pick", "10s"),
    // gives what the first would give for x modulo 16
    version("pick", "2", "pick_any", "10s"),
    // runs as many rounds as the largest x says
    version("spin", "1", "spin", "1s"),
    // allocates as many bytes as the largest x says
    version("allocate", "1", "allocate", "10s"),
];

/// Of the model that every chaos row asks, in an edition that some rows are poison to.
const POISONOUS: Version = Version {
    model: "identity",
    version: "1",
    graph: "poisonous",
    datatype: "FP32",
    shape: "[-1, -1]",
    max_rows: 512,
    max_runtime: "1s",
    max_queue_delay: "50ms",
};

const fn version(
    model: &'static str,
    version: &'static str,
    graph: &'static str,
    max_runtime: &'static str,
) -> Version {
    Version {
        model,
        version,
        graph,
        datatype: "INT64",
        shape: "[-1]",
        max_rows: 64,
        max_runtime,
        max_queue_delay: "20ms",
    }
}

/// Writes a catalog of models that go wrong in one way each into a folder and returns the flags that make an ingest or a
/// worker use it.
///
/// # Errors
/// A graph is not there, or the folder cannot be written.
pub fn install(dir: &Path) -> anyhow::Result<Vec<String>> {
    write(dir, &VERSIONS)
}

/// The same with a model named identity that is none for three rows in 500: those that begin with a number that is, modulo
/// 500, 101 (fails), 102 (never ends) or 103 (allocates without bound).
///
/// # Errors
/// As [`install`].
pub fn install_poisonous(dir: &Path) -> anyhow::Result<Vec<String>> {
    write(dir, &[POISONOUS])
}

fn write(dir: &Path, versions: &[Version]) -> anyhow::Result<Vec<String>> {
    let (models, artifacts) = (dir.join("models"), dir.join("artifacts"));
    fs::create_dir_all(artifacts.join("sha256"))?;
    for version in versions {
        let graphs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/graphs");
        let graph = graphs.join(format!("{}.onnx", version.graph));
        let content = fs::read(&graph).with_context(|| graph.display().to_string())?;
        let sha256 = Digest::of(&content).hex();
        fs::write(artifacts.join("sha256").join(&sha256), &content)?;
        let folder = models.join(version.model).join(version.version);
        fs::create_dir_all(&folder)?;
        let alias = "aliases = { default = \"1\" }\n";
        fs::write(models.join(version.model).join("model.toml"), alias)?;
        fs::write(
            folder.join("manifest.toml"),
            manifest(version, (&sha256, content.len())),
        )?;
    }
    let flag = |name: &str, path: &Path| [name.to_owned(), path.display().to_string()];
    Ok([flag("--models-dir", &models), flag("--artifacts-dir", &artifacts)].concat())
}

fn manifest(of: &Version, (sha256, bytes): (&str, usize)) -> String {
    let Version {
        model,
        version,
        datatype,
        shape,
        max_rows,
        max_runtime,
        max_queue_delay,
        ..
    } = of;
    let one = shape.replace("-1", "1");
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
datatype = "{datatype}"
shape = {shape}

[[outputs]]
name = "y"
datatype = "{datatype}"
shape = {shape}

[limits]
max_rows = {max_rows}
max_runtime = "{max_runtime}"

[batching]
max_batch_size = 16
max_queue_delay = "{max_queue_delay}"

[[example]]
name = "x"
datatype = "{datatype}"
shape = {one}
data = [1]
"#
    )
}

/// A request for one of the models that go wrong in one way.
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
