//! Which jobs are being run, as workers report.

use gristmill_schemas::{JobId, Lane, RunningJob, Timestamp, key};

use crate::{
    bench::{StoreBench, until, within},
    jobs::{id, tenant},
};

fn job(id: JobId, attempt: u32, claimed_at: u64) -> RunningJob {
    RunningJob {
        id,
        model: "identity".parse().unwrap(),
        version: "1".parse().unwrap(),
        lane: Lane::Interactive,
        worker: format!("mill-{attempt}"),
        attempt,
        claimed_at: Timestamp::from_micros(claimed_at),
        metadata: [].into(),
    }
}

async fn running(bench: &StoreBench) -> Vec<RunningJob> {
    within("what runs", bench.store.running(&tenant())).await.unwrap()
}

#[tokio::test]
async fn what_is_reported_is_listed_once_by_its_newest_attempt() {
    let bench = StoreBench::start().await;
    let (first, second) = (job(id(), 1, 7), job(id(), 1, 8));
    let again = job(first.id, 2, 9);
    let reports = [&first, &second, &again].map(|job| (tenant(), job.clone()));
    bench.store.report_running(&reports).await.unwrap();
    assert_eq!(running(&bench).await, [again, second]);
    assert_eq!(bench.store.running(&"other".parse().unwrap()).await, Ok(Vec::new()));
    assert_eq!(bench.store.report_running(&[]).await, Ok(()));
}

#[tokio::test]
async fn what_is_reported_no_more_is_forgotten_beside_what_is_and_leaves_nothing() {
    let bench = StoreBench::start().await;
    // of one bucket, so that one report sees to the other
    let gone = job(id(), 1, 7);
    let bucket = gone.id.bucket(key::BUCKETS);
    let beside = std::iter::repeat_with(id)
        .find(|id| id.bucket(key::BUCKETS) == bucket)
        .unwrap();
    let stays = (tenant(), job(beside, 1, 8));
    bench.store.report_running(&[(tenant(), gone)]).await.unwrap();
    until("the dead worker's job to be forgotten", async || {
        bench.store.report_running(std::slice::from_ref(&stays)).await.unwrap();
        running(&bench).await == [stays.1.clone()]
    })
    .await;
    until("nothing to be left", async || bench.ask::<u64>("DBSIZE").await == 0).await;
}

#[tokio::test]
async fn old_report_does_not_count_even_where_a_later_one_keeps_the_bucket() {
    let bench = StoreBench::start().await;
    let old = job(id(), 1, 7);
    let key = key::running(&tenant(), old.id.bucket(key::BUCKETS));
    let seconds: Vec<String> = bench.ask("TIME").await;
    let six_seconds_ago = (seconds[0].parse::<u64>().unwrap() - 6) * 1000;
    let mut add = redis::cmd("ZADD");
    add.arg(&key).arg(six_seconds_ago).arg(old.to_text());
    let _: u64 = add.query_async(&mut bench.raw().await).await.unwrap();
    assert!(running(&bench).await.is_empty());
}

#[tokio::test]
async fn report_of_many_jobs_of_one_bucket_is_kept_whole_and_some_of_it_is_shown() {
    let bench = StoreBench::start().await;
    let ids = std::iter::repeat_with(id)
        .filter(|id| id.bucket(key::BUCKETS) == 3)
        .take(1200);
    let reports: Vec<_> = (0..).zip(ids).map(|(at, id)| (tenant(), job(id, 1, at))).collect();
    bench.store.report_running(&reports).await.unwrap();
    let key = key::running(&tenant(), 3);
    assert_eq!(bench.ask::<u64>(&format!("ZCARD {key}")).await, 1200);
    let listed = running(&bench).await;
    assert_eq!(listed.len(), 200);
    assert!(listed.iter().map(|job| job.claimed_at).rev().is_sorted());
}
