//! From the caller's hand onto the stream, or a clear word that it is not there.

use std::{collections::BTreeSet, pin::Pin, time::Duration};

use futures_util::{FutureExt, future::join_all};
use gristmill_broker::{PublishError, Work};
use gristmill_schemas::{Job, JobId};
use gristmill_servers::Signal;

use crate::{
    bench::{BrokerBench, DEADLINE, ids, next, until, within},
    jobs::{job, job_of_bytes},
};

const MANY_ROWS: Work = Work::rows(1000);

type Publish<'b> = Pin<Box<dyn Future<Output = Result<(), PublishError>> + 'b>>;

/// Hands a job in and does not wait for what becomes of it yet.
fn hand_in<'b>(bench: &'b BrokerBench, job: &Job, work: Work) -> Publish<'b> {
    let mut publish: Publish<'_> = Box::pin(bench.publisher.publish(job.clone(), work));
    assert!(
        (&mut publish).now_or_never().is_none(),
        "answered before the broker was asked"
    );
    publish
}

/// Publishes jobs that all wait while a first publish is in flight; what each envelope then held.
async fn packed(bench: &BrokerBench, work: Work, jobs: &[Job]) -> Vec<Vec<JobId>> {
    let in_flight = job(1);
    bench.server.signal(Signal::SIGSTOP).unwrap();
    let mut publishes = vec![hand_in(bench, &in_flight, work)];
    // the lane takes the first one, and lets everybody else who is ready hand in theirs before it fills the envelope
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
    publishes.extend(jobs.iter().map(|job| hand_in(bench, job, work)));
    bench.server.signal(Signal::SIGCONT).unwrap();
    for published in within("every publish", join_all(publishes)).await {
        published.unwrap();
    }
    let consumer = bench.consumer(&in_flight, DEADLINE).await;
    let (mut envelopes, mut seen) = (Vec::new(), 0);
    while seen < jobs.len() + 1 {
        let delivery = next(&consumer).await;
        let held = ids(&delivery);
        seen += held.len();
        envelopes.push(held);
        delivery.ack().await;
    }
    let order: Vec<JobId> = envelopes.iter().flatten().copied().collect();
    let handed_in: Vec<JobId> = [&in_flight].into_iter().chain(jobs).map(|job| job.id).collect();
    assert_eq!(order, handed_in, "out of order");
    envelopes
}

fn sizes(envelopes: &[Vec<JobId>]) -> Vec<usize> {
    envelopes.iter().map(Vec::len).collect()
}

#[tokio::test]
async fn acked_job_is_gone_from_the_stream() {
    let bench = BrokerBench::start(&[]).await;
    let job = job(3);
    within("the publish", bench.publisher.publish(job.clone(), MANY_ROWS))
        .await
        .unwrap();
    assert_eq!(bench.envelopes().await, 1);
    let delivery = next(&bench.consumer(&job, DEADLINE).await).await;
    assert_eq!(
        gristmill_schemas::Envelope::decode(delivery.payload()).unwrap().jobs,
        [job]
    );
    assert!(!delivery.is_redelivered());
    delivery.ack().await;
    until("an empty stream", async || bench.envelopes().await == 0).await;
}

#[tokio::test]
async fn jobs_that_wait_share_an_envelope_and_keep_their_order() {
    let bench = BrokerBench::start(&[]).await;
    let jobs: Vec<Job> = (0..100).map(|_| job(1)).collect();
    let envelopes = packed(&bench, MANY_ROWS, &jobs).await;
    assert_eq!(sizes(&envelopes), [1, 64, 36]);
}

#[tokio::test]
async fn envelope_holds_no_more_jobs_than_configured() {
    let bench = BrokerBench::start(&["--envelope-max-jobs", "4"]).await;
    let jobs: Vec<Job> = (0..9).map(|_| job(1)).collect();
    assert_eq!(sizes(&packed(&bench, MANY_ROWS, &jobs).await), [1, 4, 4, 1]);
}

#[tokio::test]
async fn envelope_holds_no_more_bytes_than_configured_and_a_larger_job_travels_alone() {
    let bench = BrokerBench::start(&["--envelope-max-bytes", "250000"]).await;
    let jobs = [100_000, 100_000, 100_000, 400_000, 1000, 1000].map(job_of_bytes);
    assert_eq!(sizes(&packed(&bench, MANY_ROWS, &jobs).await), [1, 2, 1, 1, 2]);
}

#[tokio::test]
async fn words_of_the_caller_count_towards_an_envelopes_bytes() {
    let bench = BrokerBench::start(&["--envelope-max-bytes", "20000"]).await;
    let wordy = || Job {
        metadata: (0..16).map(|pair| (format!("{pair:0>256}"), "w".repeat(256))).collect(),
        ..job(1)
    };
    let jobs: Vec<Job> = (0..4).map(|_| wordy()).collect();
    assert_eq!(sizes(&packed(&bench, MANY_ROWS, &jobs).await), [1, 2, 2]);
}

#[tokio::test]
async fn envelope_holds_about_a_batch_of_rows_and_a_larger_job_travels_alone() {
    let bench = BrokerBench::start(&[]).await;
    let jobs = [3, 3, 3, 20, 8, 1].map(job);
    assert_eq!(sizes(&packed(&bench, Work::rows(8), &jobs).await), [1, 2, 1, 1, 1, 1]);
}

#[tokio::test]
async fn broker_killed_and_restarted_in_time_is_not_noticed_by_the_caller() {
    let mut bench = BrokerBench::start(&["--publish-timeout", "50s"]).await;
    let (publisher, job) = (bench.publisher.clone(), job(1));
    // in flight when the broker dies
    bench.server.signal(Signal::SIGSTOP).unwrap();
    let mut publish = Box::pin(publisher.publish(job.clone(), MANY_ROWS));
    assert!((&mut publish).now_or_never().is_none());
    bench.server.kill().await.unwrap();
    bench.server.restart().await.unwrap();
    within("the publish", publish).await.unwrap();
    let delivery = next(&bench.consumer(&job, DEADLINE).await).await;
    assert_eq!(ids(&delivery), [job.id]);
    delivery.ack().await;
}

#[tokio::test]
async fn broker_that_stays_away_is_said_to_every_caller_in_time() {
    let mut bench = BrokerBench::start(&["--publish-timeout", "1s", "--envelope-max-jobs", "1"]).await;
    bench.server.kill().await.unwrap();
    // many times the deadline of this test, if each waited for those before it
    let jobs: Vec<Job> = (0..200).map(|_| job(1)).collect();
    let publishes = jobs.iter().map(|job| bench.publisher.publish(job.clone(), MANY_ROWS));
    for published in within("every answer", join_all(publishes)).await {
        let error = published.unwrap_err();
        assert!(
            matches!(error, PublishError::Unavailable | PublishError::Unknown),
            "{error}"
        );
    }
}

#[tokio::test]
async fn broker_that_is_silent_leaves_the_fate_unknown_and_is_not_flooded() {
    let bench = BrokerBench::start(&["--publish-timeout", "1s"]).await;
    bench.server.signal(Signal::SIGSTOP).unwrap();
    let published = within("the answer", bench.publisher.publish(job(1), MANY_ROWS)).await;
    assert_eq!(published, Err(PublishError::Unknown));
    bench.server.signal(Signal::SIGCONT).unwrap();
    // what is published after it stands behind all that was sent before
    let last = job(1);
    within("the next publish", bench.publisher.publish(last, MANY_ROWS))
        .await
        .unwrap();
    assert!(bench.envelopes().await <= 2, "{}", bench.envelopes().await);
}

#[tokio::test]
async fn full_stream_refuses_and_takes_again_once_there_is_room() {
    let bench = BrokerBench::start(&["--stream-max-bytes", "100000"]).await;
    let mut accepted = BTreeSet::new();
    let refused = within("a refusal", async {
        loop {
            let job = job_of_bytes(20_000);
            match bench.publisher.publish(job.clone(), MANY_ROWS).await {
                Ok(()) => accepted.insert(job.id),
                Err(error) => return error,
            };
        }
    })
    .await;
    assert_eq!(refused, PublishError::StreamFull);
    assert_eq!(bench.envelopes().await, u64::try_from(accepted.len()).unwrap());
    let delivery = next(&bench.consumer(&job(1), DEADLINE).await).await;
    assert!(accepted.contains(&ids(&delivery)[0]));
    delivery.ack().await;
    within("a publish after an ack", async {
        while bench.publisher.publish(job_of_bytes(20_000), MANY_ROWS).await.is_err() {}
    })
    .await;
}

#[tokio::test]
async fn job_beyond_the_brokers_limit_is_too_large_and_stays_off_the_stream() {
    let bench = BrokerBench::start(&[]).await;
    let limit = bench.broker.max_payload();
    let published = within("the answer", bench.publisher.publish(job_of_bytes(limit), MANY_ROWS)).await;
    assert_eq!(published, Err(PublishError::TooLarge { limit }));
    let fits = job_of_bytes(limit - 4096);
    within("a job that fits", bench.publisher.publish(fits, MANY_ROWS))
        .await
        .unwrap();
    assert_eq!(bench.envelopes().await, 1);
}

#[tokio::test]
async fn what_waits_in_this_process_is_bounded() {
    let bench = BrokerBench::start(&["--publish-buffer-bytes", "250000"]).await;
    bench.server.signal(Signal::SIGSTOP).unwrap();
    let waiting: Vec<_> = [100_000, 100_000]
        .map(|bytes| hand_in(&bench, &job_of_bytes(bytes), MANY_ROWS))
        .into();
    let third = bench.publisher.publish(job_of_bytes(240_000), MANY_ROWS).await;
    assert_eq!(third, Err(PublishError::Overloaded));
    bench.server.signal(Signal::SIGCONT).unwrap();
    for published in within("those that wait", join_all(waiting)).await {
        published.unwrap();
    }
    within("room again", bench.publisher.publish(job_of_bytes(240_000), MANY_ROWS))
        .await
        .unwrap();
}

#[tokio::test]
async fn request_in_progress_at_the_shutdown_still_has_its_job_published() {
    let bench = BrokerBench::start(&[]).await;
    within("a first publish", bench.publisher.publish(job(1), MANY_ROWS))
        .await
        .unwrap();
    bench.shutdown.drain(Duration::from_secs(30)).await.unwrap();
    within("a late publish", bench.publisher.publish(job(1), MANY_ROWS))
        .await
        .unwrap();
    assert_eq!(bench.envelopes().await, 2);
    bench.shutdown.drain(Duration::from_secs(30)).await.unwrap();
}

#[tokio::test]
async fn clock_is_the_brokers() {
    let bench = BrokerBench::start(&[]).await;
    let clock = bench.broker.clock();
    let (job, before) = (job(1), clock.now());
    within("the publish", bench.publisher.publish(job.clone(), MANY_ROWS))
        .await
        .unwrap();
    let after = clock.now();
    let delivery = next(&bench.consumer(&job, DEADLINE).await).await;
    // its error is at most the round trip of its sample
    let slack = Duration::from_secs(2);
    let stored = delivery.published_at();
    assert!(
        before <= stored.plus(slack) && stored <= after.plus(slack),
        "{before} {stored} {after}"
    );
    delivery.ack().await;
}
