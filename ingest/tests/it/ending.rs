//! How jobs end without a worker: cancelled, expired, forgotten.

use std::time::Duration;

use gristmill_broker::TenantSettings;
use gristmill_schemas::{
    Failure, FailureCode, JobIdKeys, JobResult, JobState, Lineage, Retention, api::JobView, job_id::Mint, key,
};
use reqwest::StatusCode;
use serde_json::json;

use crate::stand::{JOB_ID_KEY, Stand, acme, job, mint, problem, signed, until};

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
async fn tenants_own_retention_is_that_of_jobs_accepted_from_then_on() {
    let stand = Stand::start().await;
    let before = stand.submit(&job()).await;
    assert_eq!(before.retention().to_string(), "1day", "the server's");
    let settings = TenantSettings {
        retention: Some("2h".parse().unwrap()),
        ..TenantSettings::default()
    };
    stand.store.put_tenant(&acme(), settings).await.unwrap();
    until("the tenant's retention to be known", async || {
        stand.submit(&job()).await.retention().to_string() == "2h"
    })
    .await;
    let after = stand.submit(&job()).await;
    for (id, kept) in [(before, 24 * 3600), (after, 2 * 3600)] {
        let failure = Failure::new(FailureCode::InferenceFailed, "the graph refused it");
        stand.settle(id, JobResult::Failed(failure)).await;
        let answer = stand.ask_store(&format!("TTL {}", key::job(&acme(), &id))).await;
        let left: i64 = answer.lines().next().unwrap()[1..].parse().unwrap();
        assert!((kept - 60..=kept).contains(&left), "{left} of {kept}");
    }
    // a job must end before it is forgotten
    let mut long = job();
    long["deadline"] = json!("3h");
    let refused = stand.post("/v1/jobs").json(&long).send().await.unwrap();
    let told = problem(refused, 400, "deadline_out_of_range").await;
    assert_eq!(told["limit"], "100ms to 1h 59m 30s");
    // what was accepted is kept as it was promised, whatever is set since
    stand
        .store
        .put_tenant(&acme(), TenantSettings::default())
        .await
        .unwrap();
    let keys = JobIdKeys::new([(1, JOB_ID_KEY)].into()).unwrap();
    let mint = |hours: u64| Mint {
        retention: Retention::from_minutes(120).unwrap(),
        ..mint(Duration::from_secs(3600 * hours))
    };
    for (hours, gone) in [(1, false), (3, true)] {
        let id = keys.mint(&acme(), mint(hours));
        let answer = stand.get(&format!("/v1/jobs/{id}")).send().await.unwrap();
        assert_eq!(answer.status() == StatusCode::GONE, gone, "after {hours} h");
    }
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
