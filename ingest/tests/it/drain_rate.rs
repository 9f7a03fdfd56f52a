//! What a slow worker means: deadlines it cannot meet, places in its queue. The test itself is the worker.

use std::time::Duration;

use gristmill_broker::{Broker, NatsArgs, QueueConsumer, ServerUrl, TenantSettings};
use gristmill_schemas::{
    JobId, Lane,
    api::JobView,
    subject::{Queue, TenantGroup},
};
use reqwest::{Response, StatusCode};
use serde_json::Value;

use crate::stand::{Stand, acme, job, problem, until};

/// Envelopes that wait when the worker begins.
const BACKLOG: usize = 150;
/// What the worker needs for one of them.
const WORK: Duration = Duration::from_millis(200);

async fn consumer(stand: &Stand) -> QueueConsumer {
    let nats_url = ServerUrl::new(stand.servers.nats.url());
    let broker = Broker::connect(&NatsArgs { nats_url }).await.unwrap();
    let queue = Queue {
        model: "identity".parse().unwrap(),
        version: "1".parse().unwrap(),
        lane: Lane::Interactive,
        group: TenantGroup::of(&acme()),
    };
    broker.consumer(&queue, Duration::from_secs(30)).await.unwrap()
}

async fn work_slowly(consumer: QueueConsumer) {
    let mut ticks = tokio::time::interval(WORK);
    loop {
        ticks.tick().await;
        let mut taken = Vec::new();
        let pulled = consumer.pull(1, WORK, |delivery| taken.push(delivery)).await;
        pulled.unwrap();
        for delivery in taken {
            delivery.ack().await;
        }
    }
}

async fn view(stand: &Stand, id: JobId) -> JobView {
    let answer = stand.get(&format!("/v1/jobs/{id}")).send().await.unwrap();
    answer.json().await.unwrap()
}

#[tokio::test]
async fn a_queued_job_tells_about_where_it_stands_and_once_a_rate_is_measured_when_it_begins() {
    let stand = Stand::start().await;
    let consumer = consumer(&stand).await;
    let first = stand.submit(&job()).await;
    until("the queue to be known", async || {
        view(&stand, first).await.position.is_some()
    })
    .await;
    // longer than from one look to the next: what comes in between counts as evenly spread
    for _ in 0..BACKLOG {
        stand.submit(&job()).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let last = stand.submit(&job()).await;
    until("the backlog to be counted", async || {
        let position = view(&stand, last).await.position.unwrap_or_default();
        (BACKLOG as u64 / 2..=1 + BACKLOG as u64).contains(&position)
    })
    .await;
    let before = view(&stand, first).await;
    assert!(before.position.unwrap() <= 1, "{before:?}");
    assert_eq!(before.estimated_start, None, "nobody works yet");
    let worker = tokio::spawn(work_slowly(consumer));
    until("a rate to be measured", async || {
        view(&stand, last).await.estimated_start.is_some()
    })
    .await;
    let estimated = view(&stand, last).await;
    worker.abort();
    assert!(
        (1..=BACKLOG as u64).contains(&estimated.position.unwrap()),
        "{estimated:?}"
    );
    assert!(estimated.estimated_start.unwrap() > estimated.created_at);
    // who has no room is told to come back by the same rate: a twentieth of the backlog takes more than the usual second
    let settings = TenantSettings {
        max_queued: Some(1),
        ..TenantSettings::default()
    };
    stand.store.put_tenant(&acme(), settings).await.unwrap();
    until("the tenant's own limit", async || {
        submit(&stand, "interactive", "10m").await.status() == StatusCode::TOO_MANY_REQUESTS
    })
    .await;
    let refused = problem(submit(&stand, "interactive", "10m").await, 429, "tenant_over_quota").await;
    assert_eq!(refused["limit"], "1 jobs");
    assert!(refused["retry_after_s"].as_u64().unwrap() > 1, "{refused}");
}

async fn submit(stand: &Stand, lane: &str, deadline: &str) -> Response {
    let mut body: Value = job();
    body["lane"] = lane.into();
    body["deadline"] = deadline.into();
    stand.post("/v1/jobs").json(&body).send().await.unwrap()
}

#[tokio::test]
async fn a_deadline_that_the_measured_drain_rate_cannot_meet_is_refused_and_leaves_no_job() {
    let stand = Stand::start().await;
    // however short the deadline and deep the backlog: nobody has measured a rate
    for _ in 0..BACKLOG {
        assert_eq!(
            submit(&stand, "interactive", "10m").await.status(),
            StatusCode::ACCEPTED
        );
    }
    assert_eq!(submit(&stand, "interactive", "1s").await.status(), StatusCode::ACCEPTED);
    let worker = tokio::spawn(work_slowly(consumer(&stand).await));
    until("a rate to be measured", async || {
        submit(&stand, "interactive", "1s").await.status() == StatusCode::SERVICE_UNAVAILABLE
    })
    .await;
    worker.abort();
    let before = stand.envelopes().await;
    let refused = problem(submit(&stand, "interactive", "1s").await, 503, "deadline_unmeetable").await;
    assert_eq!(refused["field"], "deadline");
    assert!(
        (1..=60).contains(&refused["retry_after_s"].as_u64().unwrap()),
        "{refused}"
    );
    assert!(stand.envelopes().await <= before, "a refused job is not on the stream");
    // one with time enough, and one of a queue where nothing waits
    assert_eq!(submit(&stand, "interactive", "6h").await.status(), StatusCode::ACCEPTED);
    assert_eq!(submit(&stand, "batch", "1s").await.status(), StatusCode::ACCEPTED);
}
