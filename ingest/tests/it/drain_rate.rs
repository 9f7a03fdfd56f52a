//! Deadlines that a slow worker cannot meet. The test itself is the worker.

use std::time::Duration;

use gristmill_broker::{Broker, NatsArgs, QueueConsumer};
use gristmill_schemas::{
    Lane,
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
    let nats_url = stand.servers.nats.url().into();
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
