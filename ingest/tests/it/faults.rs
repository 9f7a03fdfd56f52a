//! Servers that go away, clients that dawdle, and the end of the process.

use std::time::Duration;

use gristmill_schemas::{JobResult, JobState, api::JobView, key};
use reqwest::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    raw,
    stand::{Stand, job, problem, until},
};

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
        if id.bucket(key::BUCKETS) != followed.bucket(key::BUCKETS) {
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

#[tokio::test(flavor = "multi_thread")]
async fn body_that_does_not_arrive_is_not_waited_for() {
    let stand = Stand::with(&["--body-timeout", "100ms"]).await;
    let headers = [
        ("authorization", format!("Bearer {}", stand.key)),
        ("content-type", "application/json".to_owned()),
        ("content-length", "100".to_owned()),
    ];
    let headers: Vec<_> = headers
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    let address = stand.url.trim_start_matches("http://").parse().unwrap();
    let answer = tokio::task::spawn_blocking(move || raw::send(address, ("POST", "/v1/jobs"), &headers, b"{"));
    let answer = answer.await.unwrap();
    let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((answer.status, told["code"].as_str()), (408, Some("body_timeout")));
}

#[tokio::test]
async fn head_that_does_not_arrive_ends_the_connection() {
    let stand = Stand::with(&["--header-timeout", "100ms"]).await;
    let mut stream = TcpStream::connect(stand.url.trim_start_matches("http://"))
        .await
        .unwrap();
    stream.write_all(b"GET /v1/models HTTP/1.1\r\n").await.unwrap();
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    ended.expect("the server has ended the connection").unwrap();
}

#[tokio::test]
async fn requests_in_progress_are_bounded() {
    let stand = Stand::with(&["--max-requests", "1"]).await;
    let id = stand.submit(&job()).await;
    let waiting = tokio::spawn(stand.get(&format!("/v1/jobs/{id}?wait=30s")).send());
    stand.until_awaited(&id).await;
    problem(stand.get("/v1/models").send().await.unwrap(), 429, "overloaded").await;
    stand.settle(id, JobResult::Cancelled).await;
    assert_eq!(waiting.await.unwrap().unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn nearly_full_store_refuses_jobs_until_it_has_room_again() {
    let stand = Stand::start().await;
    stand.submit(&job()).await;
    assert_eq!(stand.envelopes().await, 1);
    let used = stand.store.memory().await.unwrap().used;
    stand.limit_store_memory(used + used / 100).await;
    // an answer without a job: what is submitted before the store was looked at again is accepted still
    until("noticed", async || {
        let text = stand.get_admin("/metrics").await;
        text.lines()
            .any(|line| line == format!("gristmill_store_max_bytes {}", used + used / 100))
    })
    .await;
    let refused = stand.post("/v1/jobs").json(&job()).send().await.unwrap();
    assert!(refused.headers().contains_key("retry-after"));
    problem(refused, 503, "store_full").await;
    stand.limit_store_memory(used * 10).await;
    until("taken again", async || {
        stand.post("/v1/jobs").json(&job()).send().await.unwrap().status() == StatusCode::ACCEPTED
    })
    .await;
    // nothing of what was refused is on the stream
    assert_eq!(stand.envelopes().await, 2);
}
