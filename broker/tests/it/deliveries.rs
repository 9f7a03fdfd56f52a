//! An envelope in somebody's hands: kept, given back, forgotten, lost.

use std::time::Duration;

use gristmill_broker::{Delivery, QueueConsumer, Work};
use gristmill_schemas::Job;

use crate::{
    bench::{BrokerBench, DEADLINE, ids, next, until, within},
    jobs::job,
};

async fn published(bench: &BrokerBench) -> Job {
    let job = job(1);
    let publish = bench.publisher.publish(job.clone(), Work::rows(8));
    within("the publish", publish).await.unwrap();
    job
}

async fn held(bench: &BrokerBench, ack_wait: Duration) -> (Job, QueueConsumer, Delivery) {
    let job = published(bench).await;
    let consumer = bench.consumer(&job, ack_wait).await;
    let delivery = next(&consumer).await;
    (job, consumer, delivery)
}

#[tokio::test]
async fn delivery_without_a_sign_of_life_comes_again() {
    let bench = BrokerBench::start(&[]).await;
    let (job, consumer, first) = held(&bench, Duration::from_millis(500)).await;
    assert!(!first.is_redelivered());
    let second = next(&consumer).await;
    assert!(second.is_redelivered());
    assert_eq!(ids(&second), [job.id]);
    assert_eq!(first.published_at(), second.published_at());
    first.abandon();
    second.ack().await;
    until("an empty stream", async || bench.envelopes().await == 0).await;
}

#[tokio::test]
async fn delivery_with_signs_of_life_does_not_come_again() {
    let bench = BrokerBench::start(&[]).await;
    let (_, consumer, delivery) = held(&bench, Duration::from_secs(2)).await;
    let in_progress = delivery.in_progress().unwrap();
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let alive = async {
        loop {
            ticks.tick().await;
            in_progress.send().await;
        }
    };
    // two and a half times as long as it would take to come again
    let again = consumer.pull(1, Duration::from_secs(5), |again| {
        again.abandon();
        panic!("delivered again");
    });
    tokio::select! {
        pulled = again => pulled.unwrap(),
        () = alive => {}
    }
    delivery.ack().await;
    until("an empty stream", async || bench.envelopes().await == 0).await;
}

#[tokio::test]
async fn delivery_given_back_comes_again_at_once() {
    let bench = BrokerBench::start(&[]).await;
    let (job, consumer, first) = held(&bench, Duration::from_secs(3600)).await;
    first.nak(None).await;
    let second = next(&consumer).await;
    assert!(second.is_redelivered());
    assert_eq!(ids(&second), [job.id]);
    second.nak(Some(Duration::from_millis(300))).await;
    next(&consumer).await.ack().await;
}

#[tokio::test]
async fn delivery_that_is_terminated_is_forgotten() {
    let bench = BrokerBench::start(&[]).await;
    let (_, _, delivery) = held(&bench, DEADLINE).await;
    delivery.term().await;
    until("an empty stream", async || bench.envelopes().await == 0).await;
}

#[tokio::test]
async fn delivery_dropped_unsettled_is_counted_and_comes_again() {
    let recorded = gristmill_telemetry::metrics::install().unwrap();
    let count = || {
        let text = recorded.render();
        let line = text
            .lines()
            .find(|line| line.starts_with("gristmill_deliveries_unsettled_total"));
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    };
    let bench = BrokerBench::start(&[]).await;
    let (_, consumer, delivery) = held(&bench, Duration::from_millis(500)).await;
    let before: u64 = count();
    drop(delivery);
    assert_eq!(count(), before + 1);
    let again = next(&consumer).await;
    assert!(again.is_redelivered());
    again.ack().await;
}

#[tokio::test]
async fn pull_ends_with_its_connection_and_the_next_one_finds_what_was_published() {
    let mut bench = BrokerBench::start(&["--publish-timeout", "50s"]).await;
    // so long that a delivery to nobody would not come again within this test
    let consumer = bench.consumer(&job(1), Duration::from_secs(3600)).await;
    let (pulled, killed) = tokio::join!(
        within(
            "the pull's end",
            consumer.pull(1, Duration::from_secs(3600), Delivery::abandon)
        ),
        bench.server.kill(),
    );
    pulled.unwrap();
    killed.unwrap();
    until("the loss", async || !bench.broker.is_connected()).await;
    let pulling = tokio::spawn(async move { next(&consumer).await });
    bench.server.restart().await.unwrap();
    let job = published(&bench).await;
    let delivery = within("the delivery", pulling).await.unwrap();
    assert_eq!(ids(&delivery), [job.id]);
    assert!(!delivery.is_redelivered());
    delivery.ack().await;
}

#[tokio::test]
async fn consumer_takes_its_own_queue_only() {
    let bench = BrokerBench::start(&[]).await;
    let other = Job {
        model: "other".parse().unwrap(),
        ..job(1)
    };
    within("the publish", bench.publisher.publish(other, Work::rows(8)))
        .await
        .unwrap();
    let (job, _, delivery) = held(&bench, DEADLINE).await;
    assert_eq!(ids(&delivery), [job.id]);
    delivery.ack().await;
    until("the other job alone", async || bench.envelopes().await == 1).await;
}
