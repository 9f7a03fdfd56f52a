//! magika against what Google's own tool says of the same files.

use std::{collections::BTreeMap, fs};

use gristmill_schemas::{Datatype, Tensor};
use serde::Deserialize;

use crate::bench::{ItemResult, groupings, repository, run, served};

/// How far the score of a file that is run alone may be from the fixture's, which has six digits.
const ALONE: f32 = 1e-4;
/// The same in company: the graph computes files of a few bytes otherwise then (`models/magika/README.md`).
const IN_COMPANY: f32 = 0.03;

#[derive(Deserialize)]
struct Expected {
    label: String,
    score: f32,
    #[serde(default)]
    dl_label: Option<String>,
}

impl Expected {
    /// Whether the tool did not ask its model.
    fn bypassed(&self) -> bool {
        self.dl_label.as_deref() == Some("undefined")
    }
}

fn fixture() -> BTreeMap<String, Expected> {
    let path = repository().join("e2e/fixtures/filetypes/expected.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn content(name: &str) -> Vec<u8> {
    fs::read(repository().join("e2e/fixtures/filetypes/files").join(name)).unwrap()
}

fn job(names: &[&str]) -> Tensor {
    let contents: Vec<_> = names.iter().map(|name| content(name)).collect();
    Tensor::from_elements("content", &contents).unwrap()
}

/// Holds a job's result against the fixture, row by row.
fn assert_types(names: &[&str], result: &ItemResult, expected: &BTreeMap<String, Expected>, tolerance: f32) {
    let [label, score, scores] = &result.as_ref().unwrap()[..] else {
        panic!("three outputs")
    };
    assert_eq!(
        (label.datatype(), label.shape()),
        (Datatype::Bytes, &[names.len() as u64][..])
    );
    assert_eq!(scores.shape(), [names.len() as u64, 214]);
    let scores: Vec<_> = scores.f32_values().collect();
    let rows = label.elements().zip(score.f32_values()).zip(scores.chunks(214));
    for (name, ((label, score), scores)) in names.iter().zip(rows) {
        let expected = &expected[*name];
        assert_eq!(label, expected.label.as_bytes(), "{name}");
        assert!((score - expected.score).abs() < tolerance, "{name}: {score}");
        let largest = scores.iter().copied().fold(0.0, f32::max);
        assert_eq!(largest, if expected.bypassed() { 0.0 } else { score }, "{name}");
    }
}

#[tokio::test]
async fn every_file_has_its_type_in_any_grouping() {
    let expected = fixture();
    let engine = served("magika", 1);
    for seed in 1..=2 {
        for group in groupings(expected.keys().map(String::as_str).collect(), seed) {
            let report = run(&engine, group.iter().map(|name| job(&[name]))).await;
            for (name, result) in group.iter().zip(&report.results) {
                assert_types(&[name], result, &expected, IN_COMPANY);
            }
        }
    }
}

#[tokio::test]
async fn every_file_has_its_type_and_score_alone() {
    let expected = fixture();
    let engine = served("magika", 1);
    for name in expected.keys().map(String::as_str) {
        let report = run(&engine, [job(&[name])]).await;
        assert_types(&[name], &report.results[0], &expected, ALONE);
    }
}

#[tokio::test]
async fn a_job_of_many_files_has_its_types_in_order() {
    let expected = fixture();
    let names: Vec<_> = expected.keys().map(String::as_str).collect();
    let engine = served("magika", 1);
    let report = run(&engine, names.chunks(23).map(job)).await;
    for (names, result) in names.chunks(23).zip(&report.results) {
        assert_types(names, result, &expected, IN_COMPANY);
    }
    assert_eq!(report.calls, 1);
}

#[tokio::test]
async fn files_that_need_no_model_make_no_run() {
    let engine = served("magika", 1);
    let expected = fixture();
    let known: Vec<_> = expected.iter().filter(|(_, expected)| expected.bypassed()).collect();
    let names: Vec<_> = known.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.len() > 10, "{names:?}");
    let report = run(&engine, names.iter().map(|name| job(&[name]))).await;
    for (name, result) in names.iter().zip(&report.results) {
        assert_types(&[name], result, &expected, IN_COMPANY);
    }
    assert_eq!(report.calls, 0);
}
