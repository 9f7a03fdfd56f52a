//! The stream as it lies there: read without taking, and what a delete does to somebody who holds the envelope.

use std::time::Duration;

use gristmill_broker::{Backlog, Work};
use gristmill_schemas::Job;

use crate::{
    bench::{BrokerBench, ids, next, until, within},
    jobs::job,
};

/// Publishes jobs one by one, each in an envelope of its own.
async fn published(bench: &BrokerBench, jobs: usize) -> Vec<Job> {
    let mut published = Vec::new();
    for _ in 0..jobs {
        let job = job(1);
        let publish = bench.publisher.publish(job.clone(), Work::rows(8));
        within("the publish", publish).await.unwrap();
        published.push(job);
    }
    published
}

#[tokio::test]
async fn looking_takes_nothing_and_finds_what_is_left() {
    let bench = BrokerBench::start(&[]).await;
    let backlog = Backlog::new(&bench.broker);
    assert!(backlog.from(1).await.unwrap().is_none());
    let jobs = published(&bench, 3).await;
    backlog.delete(2).await.unwrap();
    let mut seen = Vec::new();
    let mut cursor = 1;
    while let Some(waiting) = backlog.from(cursor).await.unwrap() {
        seen.push(waiting.sequence);
        cursor = waiting.sequence + 1;
    }
    assert_eq!(seen, [1, 3]);
    assert!(backlog.at(2).await.unwrap().is_none());
    // what was looked at is there for the queue still
    assert!(backlog.at(1).await.unwrap().is_some());
    let consumer = bench.consumer(&jobs[0], Duration::from_secs(5)).await;
    let delivery = next(&consumer).await;
    assert_eq!((ids(&delivery), delivery.is_redelivered()), (vec![jobs[0].id], false));
    delivery.ack().await;
    // two at once may delete the same one
    backlog.delete(2).await.unwrap();
}

#[tokio::test]
async fn envelope_deleted_in_a_workers_hands_disturbs_neither_it_nor_the_queue() {
    let bench = BrokerBench::start(&[]).await;
    let jobs = published(&bench, 1).await;
    let consumer = bench.consumer(&jobs[0], Duration::from_secs(1)).await;
    let held = next(&consumer).await;
    let backlog = Backlog::new(&bench.broker);
    backlog.delete(1).await.unwrap();
    assert_eq!(bench.envelopes().await, 0);
    // it goes on as if nothing had happened: a sign of life, then its ack
    held.in_progress().unwrap().send().await;
    held.ack().await;
    // nothing comes again for one that is given back, nor for one that is never heard of again
    published(&bench, 1).await;
    let given_back = next(&consumer).await;
    published(&bench, 1).await;
    let forgotten = next(&consumer).await;
    backlog.delete(2).await.unwrap();
    backlog.delete(3).await.unwrap();
    given_back.nak(None).await;
    forgotten.abandon();
    let last = published(&bench, 1).await;
    let delivery = next(&consumer).await;
    assert_eq!((ids(&delivery), delivery.is_redelivered()), (vec![last[0].id], false));
    delivery.ack().await;
    until("nothing to be pending", async || {
        let (pending, in_flight) = bench.pending(&jobs[0]).await;
        (pending, in_flight) == (0, 0)
    })
    .await;
    assert_eq!(bench.envelopes().await, 0);
}

#[tokio::test]
async fn stream_tells_how_full_it_is() {
    let bench = BrokerBench::start(&["--stream-max-bytes", "20000"]).await;
    let backlog = Backlog::new(&bench.broker);
    assert_eq!(backlog.fullness().await.unwrap(), 0.0);
    published(&bench, 4).await;
    let full = backlog.fullness().await.unwrap();
    assert!((0.05..1.0).contains(&full), "{full}");
}
