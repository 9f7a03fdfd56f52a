//! How jobs end without a worker: cancelled, expired, forgotten.

use std::time::Duration;

use gristmill_schemas::{Failure, FailureCode, JobResult, JobState, Lineage, api::JobView};
use reqwest::StatusCode;
use serde_json::json;

use crate::stand::{Stand, job, problem, signed};

#[tokio::test]
async fn cancel_ends_a_job_once() {
    let stand = Stand::start().await;
    let id = stand.submit(&job()).await;
    let cancel = async || stand.post(&format!("/v1/jobs/{id}/cancel")).send().await.unwrap();
    let cancelled = cancel().await;
    assert_eq!(cancelled.status(), StatusCode::OK);
    assert_eq!(cancelled.json::<JobView>().await.unwrap().status, JobState::Cancelled);
    let told = problem(cancel().await, 409, "already_terminal").await;
    assert!(told["detail"].as_str().unwrap().contains("cancelled"), "{told}");
    let result = stand.get(&format!("/v1/jobs/{id}/result")).send().await.unwrap();
    problem(result, 409, "not_succeeded").await;
    let lineage = stand.get(&format!("/v1/jobs/{id}/lineage")).send().await.unwrap();
    let lineage: Lineage = lineage.json().await.unwrap();
    assert_eq!((lineage.state, lineage.job_id), (JobState::Cancelled, id));
    assert!(lineage.stages.committed_at.is_some());
}

#[tokio::test]
async fn cancel_after_the_end_names_the_end() {
    let stand = Stand::start().await;
    let id = stand.submit(&job()).await;
    let failure = Failure::new(FailureCode::InferenceFailed, "the graph refused it");
    stand.settle(id, JobResult::Failed(failure.clone())).await;
    let cancel = stand.post(&format!("/v1/jobs/{id}/cancel")).send().await.unwrap();
    let told = problem(cancel, 409, "already_terminal").await;
    assert!(told["detail"].as_str().unwrap().contains("failed"), "{told}");
    let view: JobView = stand
        .get(&format!("/v1/jobs/{id}"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!((view.status, view.failure), (JobState::Failed, Some(failure)));
}

#[tokio::test]
async fn job_past_deadline_and_grace_is_expired_by_whoever_waits_for_it() {
    let stand = Stand::with(&["--expiry-grace", "50ms"]).await;
    let mut short = job();
    short["deadline"] = json!("100ms");
    let id = stand.submit(&short).await;
    let view = stand.get(&format!("/v1/jobs/{id}?wait=30s")).send().await.unwrap();
    let view: JobView = view.json().await.unwrap();
    assert_eq!(view.status, JobState::Expired);
    assert!(view.completed_at.unwrap() > view.deadline);
    let cancel = stand.post(&format!("/v1/jobs/{id}/cancel")).send().await.unwrap();
    let told = problem(cancel, 409, "already_terminal").await;
    assert!(told["detail"].as_str().unwrap().contains("expired"), "{told}");
}

#[tokio::test]
async fn job_past_its_retention_is_gone_and_one_past_its_deadline_is_not() {
    let stand = Stand::start().await;
    let hours = |hours: u64| Duration::from_secs(3600 * hours);
    let old = signed("acme", hours(25));
    problem(
        stand.get(&format!("/v1/jobs/{old}")).send().await.unwrap(),
        410,
        "job_gone",
    )
    .await;
    let late = signed("acme", hours(1));
    let view = stand.get(&format!("/v1/jobs/{late}")).send().await.unwrap();
    assert_eq!(view.json::<JobView>().await.unwrap().status, JobState::Expired);
}
