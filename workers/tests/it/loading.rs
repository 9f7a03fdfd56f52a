//! What is refused before a model is ready.

use std::path::PathBuf;

use gristmill_models::ArtifactError;
use gristmill_workers::engine::{EngineArgs, EngineError, Runtime};
use serde_json::json;

use crate::bench::{Small, args, int64, runtime};

fn refusal(change: impl FnOnce(&mut Small)) -> String {
    let mut small = Small::new("pick");
    change(&mut small);
    small.load().unwrap_err().to_string()
}

#[test]
fn the_runtime_tells_its_version() {
    assert_eq!(runtime().version(), "onnxruntime 1.31.1");
    assert_eq!(runtime().provider(), "cpu");
}

#[test]
fn a_library_that_is_not_there_is_named() {
    let args = EngineArgs {
        onnxruntime: Some(PathBuf::from("nowhere/libonnxruntime.so")),
        ..args(1)
    };
    let error = Runtime::load(&args).unwrap_err().to_string();
    assert_eq!(
        error,
        "ONNX Runtime at nowhere/libonnxruntime.so: there is no such file"
    );
}

#[test]
fn a_process_has_one_runtime_however_often_it_is_asked_for() {
    runtime();
    assert_eq!(Runtime::load(&args(1)).unwrap().version(), runtime().version());
}

#[test]
fn a_missing_artifact_is_refused() {
    let mut small = Small::new("pick");
    small.manifest["artifacts"]["model"]["sha256"] = json!("00".repeat(32));
    let error = small.load().unwrap_err();
    assert!(
        matches!(error, EngineError::Artifact(ArtifactError::Missing { .. })),
        "{error}"
    );
}

#[test]
fn a_file_that_is_no_graph_is_refused() {
    let refusal = refusal(|small| small.artifact("model", b"not a graph"));
    assert!(refusal.starts_with("the graph cannot be loaded"), "{refusal}");
}

#[test]
fn an_input_that_the_graph_does_not_have_is_refused() {
    let refusal = refusal(|small| small.manifest["inputs"][0]["name"] = json!("z"));
    assert_eq!(refusal, "manifest and graph do not fit: the graph has no input \"z\"");
}

#[test]
fn an_input_that_gets_nothing_is_refused() {
    let mut small = Small::new("every_datatype");
    small.manifest["inputs"][0] = json!({"name": "x_int64", "datatype": "INT64", "shape": [-1, 2]});
    let refusal = small.load().unwrap_err().to_string();
    assert_eq!(
        refusal,
        "manifest and graph do not fit: the graph's input \"x_bool\" would get nothing"
    );
}

#[test]
fn an_output_of_another_datatype_is_refused() {
    let refusal = refusal(|small| small.manifest["outputs"][0]["datatype"] = json!("FP32"));
    assert!(refusal.contains("the graph's output \"y\" is"), "{refusal}");
}

#[test]
fn an_example_that_fails_is_refused() {
    let refusal = refusal(|small| small.example = vec![int64(&[99])]);
    assert!(
        refusal.starts_with("the manifest's example fails: inference_failed"),
        "{refusal}"
    );
}

#[test]
fn a_tokenizer_that_is_none_is_refused() {
    let refusal = refusal(|small| {
        small.artifact("tokenizer", b"{}");
        small.manifest["preprocess"] = json!({"kind": "tokenize", "max_tokens": 16});
    });
    assert!(refusal.starts_with("artifact tokenizer: "), "{refusal}");
}

#[test]
fn postprocessing_that_does_not_go_with_the_preprocessing_is_refused() {
    let refusal = refusal(|small| small.manifest["postprocess"] = json!({"kind": "mean_pool", "normalize": "l2"}));
    assert!(refusal.contains("does not go with"), "{refusal}");
}
