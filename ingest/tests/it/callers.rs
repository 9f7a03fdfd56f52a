//! API keys and tenants.

use gristmill_schemas::Timestamp;
use reqwest::StatusCode;

use crate::stand::{Stand, job, problem, until};

#[tokio::test]
async fn revoked_key_is_refused_without_a_restart() {
    let stand = Stand::start().await;
    let key = stand.key_of("other").await;
    let asks = || {
        stand
            .http
            .get(format!("{}/v1/models", stand.url))
            .bearer_auth(key.reveal())
    };
    assert_eq!(asks().send().await.unwrap().status(), StatusCode::OK);
    assert!(
        stand
            .store
            .revoke_api_key(&key.id, Timestamp::from_millis(1))
            .await
            .unwrap()
    );
    until("revoked", async || {
        asks().send().await.unwrap().status() == StatusCode::UNAUTHORIZED
    })
    .await;
    let answer = asks().send().await.unwrap();
    assert_eq!(answer.headers()["www-authenticate"], "Bearer");
    problem(answer, 401, "unauthenticated").await;
}

#[tokio::test]
async fn key_may_come_in_the_other_header() {
    let stand = Stand::start().await;
    let asks = stand
        .http
        .get(format!("{}/v1/models", stand.url))
        .header("x-api-key", &stand.key);
    assert_eq!(asks.send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn tenants_cannot_see_or_cancel_each_others_jobs() {
    let stand = Stand::start().await;
    let id = stand.submit(&job()).await;
    let other = stand.key_of("other").await.reveal();
    let url = format!("{}/v1/jobs/{id}", stand.url);
    let read = stand.http.get(&url).bearer_auth(&other).send().await.unwrap();
    let foreign = problem(read, 404, "job_not_found").await;
    let cancel = stand
        .http
        .post(format!("{url}/cancel"))
        .bearer_auth(&other)
        .send()
        .await
        .unwrap();
    problem(cancel, 404, "job_not_found").await;
    let nonsense = stand.get("/v1/jobs/nonsense").send().await.unwrap();
    assert_eq!(problem(nonsense, 404, "job_not_found").await, foreign);
}
