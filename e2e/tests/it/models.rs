//! Real files and sentences through the whole pipeline, held against what others computed.

use std::collections::BTreeMap;

use gristmill_e2e::{Stack, binary};
use gristmill_schemas::{InferRequest, Tensor};
use serde::Deserialize;

fn fixture(path: &str) -> Vec<u8> {
    std::fs::read(binary::repository().join("e2e/fixtures").join(path)).unwrap()
}

#[derive(Deserialize)]
struct FileType {
    label: String,
    score: f32,
}

#[derive(Deserialize)]
struct Embedded {
    embedding: Vec<f32>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn file_types_agree_with_googles_tool() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let _worker = stack.worker("worker", &["--model", "magika"]).await?;
    let client = stack.client("files").await?;
    let expected: BTreeMap<String, FileType> = serde_json::from_slice(&fixture("filetypes/expected.json"))?;
    let labels: std::collections::BTreeSet<_> = expected.values().map(|file| file.label.as_str()).collect();
    assert!(
        expected.len() >= 60 && labels.len() >= 30,
        "{} files of {} types",
        expected.len(),
        labels.len()
    );

    // one job of all files: more rows than a batch, so that it runs in slices and is put together again
    let contents: Vec<Vec<u8>> = expected
        .keys()
        .map(|name| fixture(&format!("filetypes/files/{name}")))
        .collect();
    let request = InferRequest::new("magika".parse()?, vec![Tensor::from_elements("content", &contents)?]);
    let outputs = client.infer(&request).await?;

    let scores: Vec<f32> = outputs[1].f32_values().collect();
    assert_eq!(outputs[2].shape()[0], expected.len() as u64);
    for ((name, file), (label, score)) in expected.iter().zip(outputs[0].elements().zip(scores)) {
        assert_eq!(String::from_utf8_lossy(&label), file.label, "{name}");
        // scores of tiny files differ by up to 0.021 with what they are batched with (models/magika/README.md)
        assert!(
            (score - file.score).abs() < 0.03,
            "{name}: {score} instead of {}",
            file.score
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embeddings_agree_with_an_independent_computation() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let _worker = stack.worker("worker", &["--model", "minilm"]).await?;
    let client = stack.client("texts").await?;
    let sentences: BTreeMap<String, String> = serde_json::from_slice(&fixture("embeddings/sentences.json"))?;
    let expected: BTreeMap<String, Embedded> = serde_json::from_slice(&fixture("embeddings/expected.json"))?;
    let texts: Vec<&String> = sentences.values().collect();
    let together = InferRequest::new("minilm".parse()?, vec![Tensor::from_elements("text", &texts)?]);
    let outputs = client.infer(&together).await?;
    let values: Vec<f32> = outputs[0].f32_values().collect();
    for ((name, text), row) in sentences.iter().zip(values.chunks(384)) {
        let alone = InferRequest::new("minilm".parse()?, vec![Tensor::from_elements("text", &[text])?]);
        let alone: Vec<f32> = client.infer(&alone).await?[0].f32_values().collect();
        for (at, want) in expected[name].embedding.iter().enumerate() {
            assert!(
                (row[at] - want).abs() < 1e-3,
                "{name} in a batch, element {at}: {} instead of {want}",
                row[at]
            );
            assert!(
                (alone[at] - want).abs() < 1e-3,
                "{name} alone, element {at}: {} instead of {want}",
                alone[at]
            );
        }
    }
    Ok(())
}
