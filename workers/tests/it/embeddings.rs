//! minilm against embeddings that were computed apart from our code.

use std::{collections::BTreeMap, fs};

use gristmill_schemas::{FailureCode, Tensor};
use serde::Deserialize;

use crate::bench::{ItemResult, code, groupings, repository, run, served};

/// How far a value may be from the fixture's.
const TOLERANCE: f32 = 1e-3;

#[derive(Deserialize)]
struct Expected {
    embedding: Vec<f32>,
}

fn fixture() -> (BTreeMap<String, String>, BTreeMap<String, Expected>) {
    let read = |file: &str| fs::read(repository().join("e2e/fixtures/embeddings").join(file)).unwrap();
    (
        serde_json::from_slice(&read("sentences.json")).unwrap(),
        serde_json::from_slice(&read("expected.json")).unwrap(),
    )
}

fn texts(texts: &[&str]) -> Tensor {
    Tensor::from_elements("text", texts).unwrap()
}

fn assert_near(name: &str, actual: impl Iterator<Item = f32>, expected: &Expected) {
    let largest = actual
        .zip(&expected.embedding)
        .map(|(actual, expected)| (actual - expected).abs())
        .fold(0.0, f32::max);
    assert!(largest < TOLERANCE, "{name}: differs by {largest}");
}

fn embedding(result: &ItemResult) -> &Tensor {
    let [embedding] = &result.as_ref().unwrap()[..] else {
        panic!("one output")
    };
    assert_eq!((embedding.name(), embedding.shape()[1]), ("embedding", 384));
    embedding
}

#[tokio::test]
async fn every_sentence_has_its_embedding_in_any_grouping() {
    let (sentences, expected) = fixture();
    let engine = served("minilm", 1);
    for seed in 1..=3 {
        for group in groupings(sentences.keys().collect(), seed) {
            let inputs = group.iter().map(|name| texts(&[&sentences[*name]]));
            let report = run(&engine, inputs).await;
            for (name, result) in group.iter().zip(&report.results) {
                assert_near(name, embedding(result).f32_values(), &expected[*name]);
            }
        }
    }
}

#[tokio::test]
async fn rows_of_one_job_keep_their_order_beside_other_jobs() {
    let (sentences, expected) = fixture();
    let engine = served("minilm", 1);
    let jobs = [
        vec!["paragraph", "empty", "short"],
        vec!["one_word"],
        vec!["emoji", "question"],
    ];
    let inputs = jobs.iter().map(|names| {
        let rows: Vec<_> = names.iter().map(|name| sentences[*name].as_str()).collect();
        texts(&rows)
    });
    let report = run(&engine, inputs).await;
    for (names, result) in jobs.iter().zip(&report.results) {
        let tensor = embedding(result);
        assert_eq!(tensor.rows(), names.len() as u64);
        let values: Vec<_> = tensor.f32_values().collect();
        for (name, row) in names.iter().zip(values.chunks(384)) {
            assert_near(name, row.iter().copied(), &expected[*name]);
        }
    }
}

#[tokio::test]
async fn a_text_that_is_not_utf8_fails_alone() {
    let engine = served("minilm", 1);
    let broken = Tensor::from_elements("text", &[&b"sound"[..], b"not \xff sound"]).unwrap();
    let report = run(&engine, [texts(&["before"]), broken, texts(&["after"])]).await;
    let codes: Vec<_> = report.results.iter().map(code).collect();
    assert_eq!(codes, [None, Some(FailureCode::InputInvalid), None]);
    let failure = report.results[1].as_ref().unwrap_err();
    assert_eq!(failure.message, "the text in row 1 is not UTF-8");
    assert_eq!(report.calls, 1);
}

#[tokio::test]
async fn texts_over_the_batchs_tokens_go_in_several_runs() {
    let engine = served("minilm", 1);
    let long = "grain ".repeat(400);
    // 1024 tokens a run: four of 256, whatever the batcher thought of them
    let report = run(&engine, (0..6).map(|_| texts(&[&long]))).await;
    assert!(report.results.iter().all(Result::is_ok));
    assert_eq!(report.calls, 2);
}

#[test]
fn tokens_are_estimated_from_the_longest_row() {
    let engine = served("minilm", 1);
    let (sentences, _) = fixture();
    let estimate = |text: &str| engine.tokens(&[texts(&["a", text, "b"])]);
    assert_eq!(estimate(""), 3);
    assert_eq!(estimate(&sentences["very_long"]), 256);
    // 13 tokens of which 11 are Chinese characters
    assert!((11..=20).contains(&estimate(&sentences["chinese"])));
    assert!((8..=20).contains(&estimate(&sentences["short"])));
}
