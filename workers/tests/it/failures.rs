//! Whatever goes wrong in a batch goes wrong for one item.

use gristmill_schemas::{Datatype, FailureCode, Tensor};
use gristmill_workers::engine::EngineStopped;
use serde_json::json;

use crate::bench::{ItemResult, Small, code, int64, items, run, served};

fn int64s(result: &ItemResult) -> Vec<i64> {
    let data = result.as_ref().unwrap()[0].data();
    data.chunks_exact(8)
        .map(|chunk| i64::from_le_bytes(chunk.try_into().unwrap()))
        .collect()
}

#[tokio::test]
async fn one_culprit_among_sixteen_fails_alone() {
    let engine = Small::new("pick").load().unwrap();
    for culprit in [0, 7, 15] {
        let values: Vec<i64> = (0..16).map(|i| if i == culprit { 99 } else { i }).collect();
        let report = run(&engine, values.iter().map(|value| int64(&[*value]))).await;
        for (place, result) in report.results.iter().enumerate() {
            if place as i64 == culprit {
                let failure = result.as_ref().unwrap_err();
                assert_eq!(failure.code, FailureCode::InferenceFailed);
                assert!(failure.message.contains("out of"), "{}", failure.message);
                assert!(failure.message.chars().count() <= 200);
            } else {
                assert_eq!(int64s(result), [(place * place) as i64]);
            }
        }
        // 16, and twice 8, 4, 2, 1
        assert_eq!(report.calls, 9);
    }
}

#[tokio::test]
async fn when_all_fail_each_has_its_failure() {
    let engine = Small::new("pick").load().unwrap();
    let report = run(&engine, (0..5).map(|_| int64(&[3, 99]))).await;
    assert!(
        report
            .results
            .iter()
            .all(|result| code(result) == Some(FailureCode::InferenceFailed))
    );
    assert_eq!(report.calls, 9);
}

#[tokio::test]
async fn a_run_past_its_time_is_terminated_and_its_culprit_found() {
    let mut small = Small::new("spin");
    small.manifest["limits"]["max_runtime"] = json!("300ms");
    let engine = small.load().unwrap();
    let report = run(&engine, [1, i64::MAX, 3].map(|rounds| int64(&[rounds]))).await;
    let codes: Vec<_> = report.results.iter().map(code).collect();
    assert_eq!(codes, [None, Some(FailureCode::MaxRuntimeExceeded), None]);
    assert_eq!(int64s(&report.results[2]), [3]);
    // and the session goes on
    let report = run(&engine, [int64(&[5, 6])]).await;
    assert_eq!(int64s(&report.results[0]), [5, 6]);
}

#[tokio::test]
async fn a_second_session_runs_while_the_first_is_busy() {
    let mut small = Small::new("spin");
    small.manifest["limits"]["max_runtime"] = json!("5s");
    let engine = small.load_with(2).unwrap();
    assert_eq!(engine.sessions(), 2);
    let mut busy = Box::pin(engine.run(items([int64(&[i64::MAX])])));
    let report = tokio::select! {
        _ = &mut busy => panic!("the endless run ended first"),
        report = engine.run(items([int64(&[2])])) => report.unwrap(),
    };
    assert_eq!(int64s(&report.results[0]), [2]);
    let report = busy.await.unwrap();
    assert_eq!(code(&report.results[0]), Some(FailureCode::MaxRuntimeExceeded));
}

#[tokio::test]
async fn outputs_that_do_not_fit_the_rows_are_invalid() {
    let engine = Small::new("total").load().unwrap();
    let report = run(&engine, [int64(&[4]), int64(&[5, 6]), int64(&[7])]).await;
    let codes: Vec<_> = report.results.iter().map(code).collect();
    assert_eq!(codes, [None, Some(FailureCode::OutputInvalid), None]);
    assert_eq!(int64s(&report.results[0]), [4]);
}

#[tokio::test]
async fn outputs_are_held_against_the_manifest() {
    let mut small = every_width(json!([-1, 7]));
    small.example = vec![f32s(1, 7)];
    let engine = small.load().unwrap();
    let report = run(&engine, [f32s(2, 7), f32s(2, 6)]).await;
    let codes: Vec<_> = report.results.iter().map(code).collect();
    assert_eq!(codes, [None, Some(FailureCode::OutputInvalid)]);
}

#[tokio::test]
async fn items_of_different_widths_share_a_batch_but_no_run() {
    let engine = served("identity", 1);
    let inputs = [f32s(1, 3), f32s(2, 5), f32s(4, 3), f32s(1, 1)];
    let report = run(&engine, inputs.clone()).await;
    assert_eq!(report.calls, 3);
    for (input, result) in inputs.iter().zip(&report.results) {
        let [output] = &result.as_ref().unwrap()[..] else {
            panic!("one output")
        };
        assert_eq!((output.shape(), output.data()), (input.shape(), input.data()));
    }
}

#[tokio::test]
async fn a_batch_of_nothing_has_an_empty_report() {
    let report = run(&served("identity", 1), []).await;
    assert!(report.results.is_empty());
    assert_eq!(report.calls, 0);
}

#[tokio::test]
async fn a_thread_that_panics_stops_the_engine_and_hangs_nobody() {
    let engine = Small::new("pick").load_with(2).unwrap();
    // no signature admits a scalar
    let scalar = Tensor::new("x", Datatype::Int64, vec![], vec![0; 8]).unwrap();
    assert_eq!(engine.run(items([scalar])).await.unwrap_err(), EngineStopped::Died);
    while engine.run(items([int64(&[1])])).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(engine.run(items([int64(&[1])])).await.unwrap_err(), EngineStopped::Died);
}

/// FP32 [rows, width], counted up.
fn f32s(rows: u64, width: u64) -> Tensor {
    let values: Vec<f32> = (0..rows * width).map(|value| value as f32 / 4.0).collect();
    Tensor::from_f32("x", vec![rows, width], &values).unwrap()
}

/// The repository's identity graph under a manifest that promises an output of this shape.
fn every_width(shape: serde_json::Value) -> Small {
    let graph = std::fs::read(crate::bench::repository().join("models/identity/1/identity.onnx")).unwrap();
    let mut small = Small::new("pick");
    small.artifact("model", &graph);
    small.manifest["inputs"][0] = json!({"name": "x", "datatype": "FP32", "shape": [-1, -1]});
    small.manifest["outputs"][0] = json!({"name": "y", "datatype": "FP32", "shape": shape});
    small
}

#[test]
fn graph_with_a_tensor_in_another_file_is_refused_before_the_engine_sees_it() {
    let refused = Small::new("outside").load().unwrap_err().to_string();
    assert!(
        refused.contains("external data") && refused.contains("weights"),
        "{refused}"
    );
}
