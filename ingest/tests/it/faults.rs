//! Servers that go away, and the end of the process.

use std::time::Duration;

use gristmill_schemas::{JobState, api::JobView, key};
use reqwest::StatusCode;

use crate::stand::{Stand, acme, job, problem, until};

#[tokio::test]
async fn without_the_store_jobs_are_accepted_still_and_reads_say_when_to_come_back() {
    let mut stand = Stand::start().await;
    let id = stand.submit(&job()).await;
    stand.servers.redis.kill().await.unwrap();
    let read = stand.get(&format!("/v1/jobs/{id}")).send().await.unwrap();
    problem(read, 503, "store_unavailable").await;
    let once = stand
        .post("/v1/jobs")
        .header("idempotency-key", "k")
        .json(&job())
        .send()
        .await
        .unwrap();
    problem(once, 503, "store_unavailable").await;
    stand.submit(&job()).await;
    until("not ready", async || !stand.is_ready().await).await;
    stand.servers.redis.restart().await.unwrap();
    until("ready again", async || stand.is_ready().await).await;
    let read = stand.get(&format!("/v1/jobs/{id}")).send().await.unwrap();
    assert_eq!(read.json::<JobView>().await.unwrap().status, JobState::Queued);
}

#[tokio::test]
async fn without_the_broker_nothing_is_accepted_and_with_it_again_everything_is() {
    let mut stand = Stand::with(&["--publish-timeout", "300ms"]).await;
    stand.servers.nats.kill().await.unwrap();
    until("noticed", async || !stand.is_ready().await).await;
    let refused = stand.post("/v1/jobs").json(&job()).send().await.unwrap();
    problem(refused, 503, "broker_unavailable").await;
    stand.servers.nats.restart().await.unwrap();
    until("ready again", async || stand.is_ready().await).await;
    until("accepts again", async || {
        stand.post("/v1/jobs").json(&job()).send().await.unwrap().status() == StatusCode::ACCEPTED
    })
    .await;
}

#[tokio::test]
async fn full_stream_says_so() {
    let stand = Stand::with(&["--stream-max-bytes", "2000"]).await;
    let mut last = None;
    for _ in 0..50 {
        let answer = stand.post("/v1/jobs").json(&job()).send().await.unwrap();
        if answer.status() != StatusCode::ACCEPTED {
            last = Some(answer);
            break;
        }
    }
    problem(last.unwrap(), 503, "stream_full").await;
}

#[tokio::test]
async fn shutdown_answers_those_who_wait_and_ends() {
    let stand = Stand::start().await;
    let followed = stand.submit(&job()).await;
    let mut events = stand.get(&format!("/v1/jobs/{followed}/events")).send().await.unwrap();
    events.chunk().await.unwrap().unwrap();
    // of another bucket, so that its own wait can be told from the stream's
    let awaited = loop {
        let id = stand.submit(&job()).await;
        if key::hints(&acme(), &id) != key::hints(&acme(), &followed) {
            break id;
        }
    };
    let waiting = tokio::spawn(stand.get(&format!("/v1/jobs/{awaited}?wait=30s")).send());
    stand.until_awaited(&awaited).await;
    stand.shutdown.request();
    let ended = async {
        let answer = waiting.await.unwrap().unwrap();
        assert_eq!(answer.json::<JobView>().await.unwrap().status, JobState::Queued);
        assert!(events.chunk().await.unwrap().is_none());
        stand.running.await.unwrap().unwrap();
    };
    tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap();
}
