//! The count of a tenant's jobs without an end.

use std::{collections::HashMap, time::Duration};

use gristmill_broker::queued::Place;
use gristmill_schemas::{JobId, JobResult, Timestamp};

use crate::{
    bench::StoreBench,
    jobs::{ended, failure, id, id_of, success, tenant},
};

async fn accept(bench: &StoreBench, ids: &[JobId]) {
    let mut places: HashMap<Place, u64> = HashMap::new();
    for id in ids {
        *places.entry(Place::of(id)).or_default() += 1;
    }
    bench
        .store
        .add_queued(&tenant(), &places, Duration::from_secs(3600))
        .await
        .unwrap();
}

async fn queued(bench: &StoreBench, later: Duration) -> u64 {
    let now = Timestamp::from(std::time::SystemTime::now()).plus(later);
    bench.store.queued(&tenant(), now).await.unwrap()
}

#[tokio::test]
async fn every_end_takes_its_job_off_the_count_once() {
    let bench = StoreBench::start().await;
    let ids: Vec<JobId> = (0..6).map(|_| id()).collect();
    accept(&bench, &ids).await;
    assert_eq!(queued(&bench, Duration::ZERO).await, 6);
    let ends = [
        success(ids[0]),
        failure(ids[1]),
        ended(ids[2], JobResult::Cancelled),
        ended(ids[3], JobResult::Expired),
    ];
    for (left, (outcome, lineage)) in (2..6).rev().zip(&ends) {
        for _ in 0..2 {
            bench.store.settle(&tenant(), outcome, lineage).await.unwrap();
        }
        assert_eq!(queued(&bench, Duration::ZERO).await, left);
    }
    // somebody else's end is not counted here
    let other = "other".parse().unwrap();
    let (outcome, lineage) = success(id_of(&other));
    bench.store.settle(&other, &outcome, &lineage).await.unwrap();
    assert_eq!(queued(&bench, Duration::ZERO).await, 2);
}

#[tokio::test]
async fn end_that_is_counted_before_its_beginning_leaves_nothing() {
    let bench = StoreBench::start().await;
    let quick = id();
    let (outcome, lineage) = success(quick);
    bench.store.settle(&tenant(), &outcome, &lineage).await.unwrap();
    assert_eq!(queued(&bench, Duration::ZERO).await, 0);
    accept(&bench, &[quick]).await;
    assert_eq!(queued(&bench, Duration::ZERO).await, 0);
}

#[tokio::test]
async fn what_nobody_takes_off_is_forgotten_once_its_deadline_is_past() {
    let bench = StoreBench::start().await;
    accept(&bench, &[id(), id(), id()]).await;
    // they live for a minute; the slot is a minute, and the grace is one
    assert_eq!(queued(&bench, Duration::from_secs(30)).await, 3);
    assert_eq!(queued(&bench, Duration::from_secs(200)).await, 0);
    assert_eq!(queued(&bench, Duration::ZERO).await, 0, "it stays forgotten");
}
