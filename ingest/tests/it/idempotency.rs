//! The same key and body mean the same job.

use gristmill_broker::Begun;
use gristmill_schemas::{Digest, InferRequest, JobResult, JobState, Tensor, api::JobView};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::stand::{Stand, acme, job, problem, signed};

async fn submit(stand: &Stand, key: &str, body: &Value) -> Response {
    stand
        .post("/v1/jobs")
        .header("idempotency-key", key)
        .json(body)
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn same_key_and_body_are_the_same_job_as_it_stands() {
    let stand = Stand::start().await;
    let first = submit(&stand, "order-1", &job()).await;
    assert!(!first.headers().contains_key("idempotency-replayed"));
    let first: JobView = first.json().await.unwrap();

    let again = submit(&stand, "order-1", &job()).await;
    assert_eq!(again.status(), StatusCode::ACCEPTED);
    assert_eq!(again.headers()["idempotency-replayed"], "true");
    assert_eq!(again.json::<JobView>().await.unwrap().id, first.id);
    assert_eq!(stand.envelopes().await, 1);

    let output = Tensor::from_f32("y", vec![1], &[1.0]).unwrap();
    stand.settle(first.id, JobResult::Succeeded(vec![output])).await;
    let ended = submit(&stand, "order-1", &job()).await;
    assert_eq!(ended.status(), StatusCode::OK);
    let ended: JobView = ended.json().await.unwrap();
    assert_eq!(
        (ended.id, ended.status, ended.outputs.unwrap().len()),
        (first.id, JobState::Succeeded, 1)
    );
}

#[tokio::test]
async fn another_body_under_a_used_key_is_refused_and_another_key_is_another_job() {
    let stand = Stand::start().await;
    let first: JobView = submit(&stand, "order-1", &job()).await.json().await.unwrap();
    let mut other = job();
    other["inputs"][0]["data"] = json!([1, 2, 4]);
    problem(submit(&stand, "order-1", &other).await, 422, "idempotency_mismatch").await;
    let second: JobView = submit(&stand, "order-2", &job()).await.json().await.unwrap();
    assert_ne!(first.id, second.id);
    assert_eq!(stand.envelopes().await, 2);
}

#[tokio::test]
async fn key_of_one_tenant_means_nothing_to_another() {
    let stand = Stand::start().await;
    let first: JobView = submit(&stand, "order-1", &job()).await.json().await.unwrap();
    let other = stand.key_of("other").await;
    let request = stand
        .http
        .post(format!("{}/v1/jobs", stand.url))
        .bearer_auth(other.reveal());
    let answer = request
        .header("idempotency-key", "order-1")
        .json(&job())
        .send()
        .await
        .unwrap();
    assert!(!answer.headers().contains_key("idempotency-replayed"));
    assert_ne!(answer.json::<JobView>().await.unwrap().id, first.id);
}

#[tokio::test]
async fn job_whose_publish_had_an_unknown_fate_is_published_again_under_its_id() {
    let stand = Stand::start().await;
    let request = InferRequest::from_json(job().to_string().as_bytes(), 1 << 20).unwrap();
    let body = Digest::of(&request.to_msgpack());
    let id = signed("acme", std::time::Duration::ZERO);
    let begun = stand.store.idempotency_begin(&acme(), "order-1", (body, id)).await;
    assert_eq!(begun.unwrap(), Begun::New);

    let answer = submit(&stand, "order-1", &job()).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    assert_eq!(answer.json::<JobView>().await.unwrap().id, id);
    assert_eq!(stand.envelopes().await, 1);
    let begun = stand.store.idempotency_begin(&acme(), "order-1", (body, id)).await;
    assert_eq!(begun.unwrap(), Begun::Confirmed(id));
}
