//! Every result explains itself.

use gristmill_e2e::{Stack, binary};
use gristmill_schemas::{Digest, InferRequest, JobState, Provenance, Tensor};
use reqwest::Method;

use crate::identity;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lineage_tells_who_what_which_where_when_and_what_came_out() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let worker = stack
        .worker("worker", &["--model", "minilm", "--model", "identity"])
        .await?;
    let client = stack.client("auditor").await?;
    let parent = client.submit(&identity(&[1.0]), 10).await?.id;
    let input = Tensor::from_elements("text", &["where does this come from?"])?;
    let mut request = InferRequest::new("minilm".parse()?, vec![input.clone()]);
    request.provenance = Provenance {
        dataset: Some("letters-2026".to_owned()),
        feature_version: Some("7".to_owned()),
        parent_jobs: vec![parent],
    };
    request.metadata.insert("ticket".to_owned(), "GM-1".to_owned());
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let call = client
        .request(Method::POST, "/v1/jobs")
        .header("content-type", "application/json");
    let reply = call
        .header("prefer", "wait=30")
        .header("traceparent", trace)
        .body(request.to_json())
        .send()
        .await?;
    let view: serde_json::Value = reply.error_for_status()?.json().await?;
    let id = view["id"].as_str().unwrap_or_default().to_owned();
    assert_eq!(view["status"], "succeeded");

    let lineage = client.lineage(&id).await?;
    let outputs = client.result(&id).await?;
    assert_eq!(lineage.job_id.to_string(), id);
    assert_eq!(lineage.state, JobState::Succeeded);
    assert_eq!(lineage.tenant.as_str(), "auditor");
    assert!(lineage.submitted_by.is_some());
    assert_eq!(lineage.provenance, request.provenance);
    assert_eq!(lineage.metadata["ticket"], "GM-1");
    assert_eq!(
        lineage.traceparent.map(|trace| trace.trace_id()).as_deref(),
        Some("4bf92f3577b34da6a3ce929d0e0e4736")
    );
    assert_eq!(lineage.input_digest, Some(Digest::of_tensors(&[input])));
    assert_eq!(lineage.output_digest, Some(Digest::of_tensors(&outputs)));
    assert_eq!(lineage.attempt, 1);

    let model = lineage.model.expect("which model");
    let graph = binary::repository()
        .join(".gristmill/artifacts/sha256")
        .join(model.artifact.hex());
    assert_eq!(Digest::of(&std::fs::read(graph)?), model.artifact);
    assert_eq!((model.name.as_str(), model.version.as_str()), ("minilm", "1"));
    assert!(model.companions.contains_key("tokenizer"));
    assert!(model.preprocess.contains("tokenize") && model.postprocess.contains("mean_pool"));

    let [batch] = lineage.batches.as_slice() else {
        panic!("one engine call: {:?}", lineage.batches)
    };
    assert_eq!((batch.jobs, batch.rows, batch.position, batch.job_rows), (1, 1, 0, 1));
    assert!(!batch.id.is_empty());
    let ran = lineage.worker.expect("which worker");
    assert!(ran.id.contains(&worker.pid().to_string()), "{}", ran.id);
    assert!(ran.runtime.starts_with("onnxruntime 1."), "{}", ran.runtime);

    let stages = lineage.stages;
    let ordered = [
        stages.received_at,
        stages.claimed_at,
        stages.compute_started_at,
        stages.compute_finished_at,
    ];
    assert!(ordered.iter().all(Option::is_some) && ordered.is_sorted(), "{stages:?}");
    assert!(stages.published_at.is_some() && stages.committed_at.is_some());
    Ok(())
}
