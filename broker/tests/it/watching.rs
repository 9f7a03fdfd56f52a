//! Waiting for outcomes: none is missed, whatever happens to the connection, and nobody is left waiting or remembered.

use std::time::Duration;

use futures_util::future::join_all;
use gristmill_broker::{Expected, Settled, Store, StoreError, Watch};
use gristmill_schemas::{JobId, JobState, TenantId, key};
use gristmill_telemetry::Shutdown;
use tokio::task::JoinHandle;

use crate::{
    bench::{DEADLINE, StoreBench, until, within},
    jobs::{id, id_of, success, tenant},
};

type Waited = Result<Option<JobState>, StoreError>;

const SUCCEEDED: Waited = Ok(Some(JobState::Succeeded));

async fn ended(watch: &Watch, tenant: &TenantId, id: &JobId, limit: Duration) -> Waited {
    let ended = watch.ended(tenant, id, limit).await;
    ended.map(|record| record.map(|record| record.state))
}

fn watch(bench: &StoreBench) -> Watch {
    Watch::start(&bench.store, &Shutdown::new())
}

/// Waits in the background, much longer than the test may take.
fn waiter(watch: &Watch, tenant: &TenantId, id: JobId) -> JoinHandle<Waited> {
    let (watch, tenant) = (watch.clone(), tenant.clone());
    tokio::spawn(async move { ended(&watch, &tenant, &id, DEADLINE * 2).await })
}

async fn settle(store: &Store, tenant: &TenantId, id: JobId) {
    let (outcome, lineage) = success(id);
    let settled = within("the settlement", store.settle(tenant, &outcome, &lineage)).await;
    assert_eq!(settled, Ok(Settled::Won));
}

/// Until somebody listens to the hints of a job.
async fn subscribed(bench: &StoreBench, tenant: &TenantId, id: &JobId) {
    let channel = key::hints(tenant, id.bucket(key::BUCKETS));
    until("the subscription", async || {
        let (_, listeners): (String, u64) = bench.ask(&format!("PUBSUB NUMSUB {channel}")).await;
        listeners > 0
    })
    .await;
}

/// One who waits for a job that is not published yet, on a channel that is listened to: he has nothing to read first.
async fn expected(watch: &Watch, tenant: &TenantId, id: &JobId) -> Expected {
    until("the channel to be listened to", async || {
        format!("{:?}", watch.expect(tenant, id)).contains("may_have_ended: false")
    })
    .await;
    watch.expect(tenant, id)
}

fn assert_nobody_is_remembered(watch: &Watch) {
    let shown = format!("{watch:?}");
    assert!(shown.contains("waiting: Mutex { data: {}"), "{shown}");
}

#[tokio::test]
async fn job_settled_before_is_seen_at_once() {
    let bench = StoreBench::start().await;
    let (watch, tenant, id) = (watch(&bench), tenant(), id());
    settle(&bench.store, &tenant, id).await;
    assert_eq!(
        within("the wait", ended(&watch, &tenant, &id, DEADLINE * 2)).await,
        SUCCEEDED
    );
    assert_eq!(ended(&watch, &tenant, &id, Duration::ZERO).await, SUCCEEDED);
    assert_nobody_is_remembered(&watch);
}

#[tokio::test]
async fn job_settled_meanwhile_wakes_its_waiter() {
    let bench = StoreBench::start().await;
    let (watch, tenant, id) = (watch(&bench), tenant(), id());
    let waiting = waiter(&watch, &tenant, id);
    subscribed(&bench, &tenant, &id).await;
    settle(&bench.store, &tenant, id).await;
    assert_eq!(within("the waiter", waiting).await.unwrap(), SUCCEEDED);
    assert_nobody_is_remembered(&watch);
}

#[tokio::test]
async fn job_settled_at_the_moment_of_the_wait_is_not_missed() {
    let bench = StoreBench::start().await;
    let (watch, tenant) = (watch(&bench), tenant());
    for _ in 0..100 {
        let id = id();
        let waiting = waiter(&watch, &tenant, id);
        settle(&bench.store, &tenant, id).await;
        assert_eq!(within("the waiter", waiting).await.unwrap(), SUCCEEDED);
    }
    assert_nobody_is_remembered(&watch);
}

#[tokio::test]
async fn limit_ends_a_wait_without_an_outcome_and_the_next_wait_still_works() {
    let bench = StoreBench::start().await;
    let (watch, tenant, id) = (watch(&bench), tenant(), id());
    for limit in [0, 10, 300].map(Duration::from_millis) {
        assert_eq!(within("the limit", ended(&watch, &tenant, &id, limit)).await, Ok(None));
    }
    assert_nobody_is_remembered(&watch);
    let waiting = waiter(&watch, &tenant, id);
    settle(&bench.store, &tenant, id).await;
    assert_eq!(within("the waiter", waiting).await.unwrap(), SUCCEEDED);
}

#[tokio::test]
async fn waiter_that_goes_away_is_not_remembered_and_takes_nobody_along() {
    let bench = StoreBench::start().await;
    let (watch, tenant, id) = (watch(&bench), tenant(), id());
    let (leaving, staying) = (waiter(&watch, &tenant, id), waiter(&watch, &tenant, id));
    subscribed(&bench, &tenant, &id).await;
    leaving.abort();
    assert!(leaving.await.unwrap_err().is_cancelled());
    settle(&bench.store, &tenant, id).await;
    assert_eq!(within("who stays", staying).await.unwrap(), SUCCEEDED);
    assert_nobody_is_remembered(&watch);
}

#[tokio::test]
async fn job_settled_while_the_hints_are_cut_off_is_seen_all_the_same() {
    let bench = StoreBench::start().await;
    let (watch, tenant) = (watch(&bench), tenant());
    for _ in 0..5 {
        let id = id();
        let waiting = waiter(&watch, &tenant, id);
        subscribed(&bench, &tenant, &id).await;
        bench.ask::<u64>("CLIENT KILL TYPE pubsub").await;
        settle(&bench.store, &tenant, id).await;
        assert_eq!(within("the waiter", waiting).await.unwrap(), SUCCEEDED);
    }
    assert_nobody_is_remembered(&watch);
}

#[tokio::test]
async fn who_waits_since_before_the_publish_gets_a_short_outcome_without_asking_the_store() {
    let bench = StoreBench::start().await;
    let (watch, tenant, id) = (watch(&bench), tenant(), id());
    let mut expected = expected(&watch, &tenant, &id).await;
    bench.ask::<String>("CONFIG RESETSTAT").await;
    settle(&bench.store, &tenant, id).await;
    let ended = within("the end", expected.ended(DEADLINE * 2)).await.unwrap().unwrap();
    assert_eq!(ended.outcome().unwrap(), success(id).0);
    let asked: String = bench.ask("INFO commandstats").await;
    assert!(!asked.contains("cmdstat_hmget"), "{asked}");
    drop(expected);
    assert_nobody_is_remembered(&watch);
}

#[tokio::test]
async fn who_waits_since_before_the_publish_misses_no_end_while_the_hints_are_cut_off() {
    let bench = StoreBench::start().await;
    let (watch, tenant) = (watch(&bench), tenant());
    for _ in 0..5 {
        let id = id();
        let mut expected = expected(&watch, &tenant, &id).await;
        bench.ask::<u64>("CLIENT KILL TYPE pubsub").await;
        settle(&bench.store, &tenant, id).await;
        let ended = within("the end", expected.ended(DEADLINE * 2)).await.unwrap();
        assert_eq!(ended.map(|ended| ended.state), Some(JobState::Succeeded));
    }
    assert_nobody_is_remembered(&watch);
}

#[tokio::test]
async fn waiter_outlives_a_restart_of_the_store() {
    let mut bench = StoreBench::start().await;
    let (watch, tenant, id) = (watch(&bench), tenant(), id());
    let waiting = waiter(&watch, &tenant, id);
    subscribed(&bench, &tenant, &id).await;
    bench.server.kill().await.unwrap();
    bench.server.restart().await.unwrap();
    subscribed(&bench, &tenant, &id).await;
    assert!(!waiting.is_finished());
    settle(&bench.store, &tenant, id).await;
    assert_eq!(within("the waiter", waiting).await.unwrap(), SUCCEEDED);
    assert_nobody_is_remembered(&watch);
}

#[tokio::test]
async fn store_that_stays_away_is_an_error_at_the_limit() {
    let mut bench = StoreBench::start().await;
    let (watch, tenant, id) = (watch(&bench), tenant(), id());
    bench.server.kill().await.unwrap();
    let waited = within("the limit", ended(&watch, &tenant, &id, Duration::from_millis(500))).await;
    assert!(matches!(waited, Err(StoreError::Unavailable(_))), "{waited:?}");
    assert_nobody_is_remembered(&watch);
}

#[tokio::test]
async fn thousand_waiters_on_one_job_all_wake() {
    let bench = StoreBench::start().await;
    let (watch, tenant, id) = (watch(&bench), tenant(), id());
    let waiting: Vec<_> = (0..1000).map(|_| waiter(&watch, &tenant, id)).collect();
    subscribed(&bench, &tenant, &id).await;
    settle(&bench.store, &tenant, id).await;
    for waited in within("all waiters", join_all(waiting)).await {
        assert_eq!(waited.unwrap(), SUCCEEDED);
    }
    assert_nobody_is_remembered(&watch);
}

#[tokio::test]
async fn thousand_waiters_on_jobs_of_many_tenants_all_wake() {
    let bench = StoreBench::start().await;
    let watch = watch(&bench);
    let jobs: Vec<(TenantId, JobId)> = (0..1000)
        .map(|number| {
            let tenant: TenantId = format!("t{}", number % 250).parse().unwrap();
            let id = id_of(&tenant);
            (tenant, id)
        })
        .collect();
    let waiting: Vec<_> = jobs.iter().map(|(tenant, id)| waiter(&watch, tenant, *id)).collect();
    // in the middle of their subscriptions
    bench.ask::<u64>("CLIENT KILL TYPE pubsub").await;
    join_all(jobs.iter().map(|(tenant, id)| settle(&bench.store, tenant, *id))).await;
    for waited in within("all waiters", join_all(waiting)).await {
        assert_eq!(waited.unwrap(), SUCCEEDED);
    }
    assert_nobody_is_remembered(&watch);
}
