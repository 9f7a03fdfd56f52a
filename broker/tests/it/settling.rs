//! One outcome a job: the first, whole or not at all, and for good.

use std::time::Duration;

use futures_util::{StreamExt, future::join_all};
use gristmill_broker::{ClaimRequest, Settled, Settlement, StoreError, events::Buckets};
use gristmill_schemas::{
    Cursor, Datatype, JobEvent, JobId, JobResult, JobState, Lineage, Outcome, Position, Retention, Tensor, Timestamp,
    key,
};
use redis::streams::StreamRangeReply;

use crate::{
    bench::{StoreBench, store_at, within},
    jobs::{ended, failure, id, success, tenant},
};

async fn settle(bench: &StoreBench, ended: &(Outcome, Lineage), fence: Option<u32>) -> Result<Settled, StoreError> {
    let settlement = Settlement {
        tenant: &tenant(),
        outcome: &ended.0,
        lineage: &ended.1,
        fence,
        within: None,
        input: None,
    };
    let settled = within("the settlement", bench.store.settle_all(&[settlement])).await;
    settled.unwrap().remove(0)
}

async fn succeed_within(bench: &StoreBench, id: JobId, within: Duration) -> Settled {
    let (outcome, lineage) = success(id);
    let settlement = Settlement {
        tenant: &tenant(),
        outcome: &outcome,
        lineage: &lineage,
        fence: None,
        within: Some(within),
        input: None,
    };
    let settled = bench.store.settle_all(&[settlement]).await;
    settled.unwrap().remove(0).unwrap()
}

#[tokio::test]
async fn success_that_the_store_gets_to_too_late_is_none_and_the_job_may_end_otherwise() {
    let bench = StoreBench::start().await;
    let [late, in_time] = [id(), id()];
    // by which its clock is learned
    reclaim(&bench, &late).await;
    let mut raw = bench.raw().await;
    let pause = redis::cmd("CLIENT").arg(&["PAUSE", "1500", "WRITE"]).to_owned();
    pause.exec_async(&mut raw).await.unwrap();
    assert_eq!(
        succeed_within(&bench, late, Duration::from_millis(100)).await,
        Settled::Late
    );
    assert_eq!(
        bench
            .store
            .read(&tenant(), &late)
            .await
            .unwrap()
            .map(|record| record.ended.state),
        None
    );
    let expired = ended(late, JobResult::Expired);
    assert_eq!(settle(&bench, &expired, None).await, Ok(Settled::Won));
    assert_eq!(
        succeed_within(&bench, in_time, Duration::from_secs(60)).await,
        Settled::Won
    );
}

/// Each claim its own token.
static TOKENS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

async fn reclaim(bench: &StoreBench, id: &JobId) {
    let request = ClaimRequest {
        tenant: &tenant(),
        id,
        redelivered: Some(TOKENS.fetch_add(1, std::sync::atomic::Ordering::Relaxed)),
    };
    bench.store.claim(&[request]).await.unwrap();
}

#[tokio::test]
async fn first_of_sixteen_racing_settlers_wins_and_all_others_learn_its_state() {
    let bench = StoreBench::start().await;
    let url = bench.server.url();
    for _ in 0..20 {
        let id = id();
        let racers = (0..16).map(|racer| {
            let (outcome, lineage) = match racer % 4 {
                0 => success(id),
                1 => failure(id),
                2 => ended(id, JobResult::Cancelled),
                _ => ended(id, JobResult::Expired),
            };
            let store = store_at(&url);
            tokio::spawn(async move {
                (
                    outcome.state(),
                    store.settle(&tenant(), &outcome, &lineage).await.unwrap(),
                )
            })
        });
        let settled: Vec<(JobState, Settled)> = within("all racers", join_all(racers))
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let winners: Vec<_> = settled.iter().filter(|(_, settled)| *settled == Settled::Won).collect();
        assert_eq!(winners.len(), 1, "{settled:?}");
        let state = winners[0].0;
        let losers = settled.iter().filter(|(_, settled)| *settled == Settled::Lost(state));
        assert_eq!(losers.count(), 15, "{settled:?}");
        let record = bench.store.read(&tenant(), &id).await.unwrap().unwrap();
        assert_eq!(
            (record.ended.state, record.ended.outcome().unwrap().state()),
            (state, state)
        );
    }
}

#[tokio::test]
async fn failure_of_an_outdated_attempt_is_refused_and_its_success_is_welcome() {
    let bench = StoreBench::start().await;
    let id = id();
    reclaim(&bench, &id).await;
    assert_eq!(settle(&bench, &failure(id), Some(1)).await, Ok(Settled::Stale));
    assert_eq!(bench.store.state(&tenant(), &id).await, Ok(None));
    assert_eq!(settle(&bench, &success(id), None).await, Ok(Settled::Won));
    let late = settle(&bench, &failure(id), Some(2)).await;
    assert_eq!(late, Ok(Settled::Lost(JobState::Succeeded)));
}

#[tokio::test]
async fn failure_of_the_attempt_in_charge_is_taken() {
    let bench = StoreBench::start().await;
    let (first, second) = (id(), id());
    assert_eq!(settle(&bench, &failure(first), Some(1)).await, Ok(Settled::Won));
    reclaim(&bench, &second).await;
    assert_eq!(settle(&bench, &failure(second), Some(2)).await, Ok(Settled::Won));
}

#[tokio::test]
async fn settlements_of_one_pipeline_stand_each_for_itself() {
    let bench = StoreBench::start().await;
    let (tenant, ids) = (tenant(), [id(), id(), id()]);
    settle(&bench, &ended(ids[1], JobResult::Cancelled), None)
        .await
        .unwrap();
    reclaim(&bench, &ids[2]).await;
    let ended = [success(ids[0]), success(ids[1]), failure(ids[2])];
    let settlements: Vec<Settlement<'_>> = ended
        .iter()
        .map(|(outcome, lineage)| Settlement {
            tenant: &tenant,
            outcome,
            lineage,
            fence: (outcome.state() == JobState::Failed).then_some(1),
            within: None,
            input: None,
        })
        .collect();
    let settled = bench.store.settle_all(&settlements).await.unwrap();
    let expected = [
        Ok(Settled::Won),
        Ok(Settled::Lost(JobState::Cancelled)),
        Ok(Settled::Stale),
    ];
    assert_eq!(settled, expected);
    assert_eq!(bench.store.settle_all(&[]).await, Ok(vec![]));
}

#[tokio::test]
async fn outcome_survives_a_killed_store_which_then_takes_the_next() {
    let mut bench = StoreBench::start().await;
    let (before, after) = (success(id()), success(id()));
    assert_eq!(settle(&bench, &before, None).await, Ok(Settled::Won));
    let written = bench.store.read(&tenant(), &before.0.job_id).await.unwrap().unwrap();
    bench.server.kill().await.unwrap();
    bench.server.restart().await.unwrap();
    let read = bench.store.read(&tenant(), &before.0.job_id).await.unwrap().unwrap();
    assert_eq!(read.ended.outcome, written.ended.outcome);
    assert_eq!(read.lineage, written.lineage);
    assert_eq!(read.ended.committed_at, written.ended.committed_at);
    // it has forgotten the scripts
    assert_eq!(settle(&bench, &after, None).await, Ok(Settled::Won));
    let again = settle(&bench, &before, None).await;
    assert_eq!(again, Ok(Settled::Lost(JobState::Succeeded)));
    reclaim(&bench, &id()).await;
}

#[tokio::test]
async fn record_holds_what_was_written_and_when() {
    let bench = StoreBench::start().await;
    let (outcome, lineage) = success(id());
    let seconds = |(seconds, micros): (u64, u64)| Timestamp::from_micros(seconds * 1_000_000 + micros);
    let before = seconds(bench.ask("TIME").await);
    settle(&bench, &(outcome.clone(), lineage.clone()), None).await.unwrap();
    let after = seconds(bench.ask("TIME").await);
    let record = bench.store.read(&tenant(), &outcome.job_id).await.unwrap().unwrap();
    assert_eq!(record.ended.state, JobState::Succeeded);
    assert_eq!(record.ended.outcome().unwrap(), outcome);
    assert!(before <= record.ended.committed_at && record.ended.committed_at <= after);
    let read = record.lineage().unwrap();
    assert_eq!(read.stages.committed_at, Some(record.ended.committed_at));
    let mut without = read;
    without.stages.committed_at = None;
    assert_eq!(without, lineage);
}

#[tokio::test]
async fn commit_leaves_outcome_event_and_hint_and_all_keys_expire() {
    let bench = StoreBench::start().await;
    let (tenant, id) = (tenant(), id());
    let client = redis::Client::open(bench.server.url()).unwrap();
    let mut hints = client.get_async_pubsub().await.unwrap();
    hints
        .subscribe(key::hints(&tenant, id.bucket(key::BUCKETS)))
        .await
        .unwrap();
    let (outcome, mut lineage) = success(id);
    lineage.metadata = [("run".to_owned(), "7".to_owned())].into();
    settle(&bench, &(outcome, lineage.clone()), None).await.unwrap();
    let hint = within("the hint", async { hints.on_message().next().await.unwrap() }).await;
    let record = bench.store.read(&tenant, &id).await.unwrap().unwrap();
    let mut told = format!("{id} {} succeeded ", record.ended.committed_at.as_micros()).into_bytes();
    told.extend_from_slice(&record.ended.outcome);
    assert_eq!(hint.get_payload_bytes(), told);
    let events = key::events(&tenant, id.bucket(key::BUCKETS));
    let stream: StreamRangeReply = bench.ask(&format!("XRANGE {events} - +")).await;
    let [event] = &stream.ids[..] else { panic!("{stream:?}") };
    assert_eq!(event.get::<String>("id"), Some(id.to_string()));
    assert_eq!(event.get::<String>("state").as_deref(), Some("succeeded"));
    let told = JobEvent::of(&lineage);
    let fields: Vec<_> = event_fields(event);
    assert_eq!(JobEvent::from_fields(&fields), Some(told));
    let queued = key::queued(&tenant, id.bucket(key::BUCKETS));
    let retention = i64::try_from(id.retention().as_duration().as_millis()).unwrap();
    for name in [key::job(&tenant, &id), events, queued] {
        let left: i64 = bench.ask(&format!("PTTL {name}")).await;
        assert!(0 < left && left <= retention, "{name}: {left}");
    }
    // the window is remembered longer, so that nobody takes events that are gone for events that never were
    let window = key::events_window(&tenant, id.bucket(key::BUCKETS));
    assert!(bench.ask::<i64>(&format!("PTTL {window}")).await > retention);
    assert_eq!(bench.ask::<u64>("DBSIZE").await, 4);
}

fn event_fields(event: &redis::streams::StreamId) -> Vec<(String, String)> {
    let field = |name: &&str| Some(((*name).to_owned(), event.get::<String>(name)?));
    gristmill_schemas::event::FIELDS.iter().filter_map(field).collect()
}

#[tokio::test]
async fn events_are_trimmed_past_their_retention_and_the_window_says_so() {
    let bench = StoreBench::start().await;
    let (tenant, id) = (tenant(), id());
    let bucket = id.bucket(key::BUCKETS);
    let events = key::events(&tenant, bucket);
    let retention = id.retention().as_duration().as_millis() as u64;
    let (seconds, _): (u64, u64) = bench.ask("TIME").await;
    let old = (seconds * 1000).saturating_sub(2 * retention);
    // whole nodes of the stream are trimmed, and one holds 100 entries at most
    for number in 0..300 {
        bench
            .ask::<String>(&format!("XADD {events} {} id x state x", old + number))
            .await;
    }
    settle(&bench, &success(id), None).await.unwrap();
    let left: u64 = bench.ask(&format!("XLEN {events}")).await;
    assert!(left <= 101, "{left}");
    let read = async |millis| {
        let position = Position { millis, sequence: 0 };
        let cursor = Cursor([position; key::BUCKETS as usize]);
        let reads = bench
            .store
            .events_after(&tenant, &cursor, Buckets::one(bucket), 1000)
            .await;
        reads.unwrap().remove(0)
    };
    let gap = read(old)
        .await
        .window
        .gap(Position {
            millis: old,
            sequence: 0,
        })
        .unwrap();
    assert!(gap.millis + 1 >= seconds * 1000 - retention, "{gap}");
    let fresh = Position {
        millis: gap.millis + 1,
        sequence: 0,
    };
    let fresh_read = read(fresh.millis).await;
    assert_eq!(fresh_read.window.gap(fresh), None);
    let ids: Vec<_> = fresh_read
        .events
        .iter()
        .filter_map(|(_, event)| Some(event.as_ref()?.id))
        .collect();
    assert_eq!(ids, [id]);
    // once the stream is gone, whatever came before its last event may be missing
    bench.ask::<u64>(&format!("DEL {events}")).await;
    assert!(read(fresh.millis).await.window.gap(fresh).is_some());
    let end = bench.store.events_end(&tenant).await.unwrap();
    assert!(end.0.iter().all(|position| position.millis > gap.millis));
}

#[tokio::test]
async fn listener_where_nothing_came_is_in_the_window_of_the_shortest_retention() {
    let bench = StoreBench::start().await;
    let (tenant, id) = (tenant(), id());
    let bucket = id.bucket(key::BUCKETS);
    let silent = bench.store.events_end(&tenant).await.unwrap();
    let kept = Retention::from_minutes(1).unwrap().as_duration().as_millis() as u64;
    // as a commit leaves it that comes a quarter of a minute later, when the listener looks again at the latest
    let (seconds, _): (u64, u64) = bench.ask("TIME").await;
    let from = (seconds + 15) * 1000 - kept;
    let window = key::events_window(&tenant, bucket);
    bench
        .ask::<u64>(&format!("HSET {window} from {from} last {}", from + kept))
        .await;
    bench
        .ask::<String>(&format!("XADD {} * id x state x", key::events(&tenant, bucket)))
        .await;
    let read = bench
        .store
        .events_after(&tenant, &silent, Buckets::one(bucket), 10)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(read.window.gap(silent.0[usize::from(bucket)]), None);
}

#[tokio::test]
async fn hint_of_a_long_outcome_is_the_id_alone() {
    let bench = StoreBench::start().await;
    let (tenant, id) = (tenant(), id());
    let client = redis::Client::open(bench.server.url()).unwrap();
    let mut hints = client.get_async_pubsub().await.unwrap();
    hints
        .subscribe(key::hints(&tenant, id.bucket(key::BUCKETS)))
        .await
        .unwrap();
    let long = Tensor::new("y", Datatype::Uint8, vec![1, 5000], vec![7; 5000]).unwrap();
    let outcome = Outcome::new(id, JobResult::Succeeded(vec![long]));
    let lineage = success(id).1;
    assert_eq!(bench.store.settle(&tenant, &outcome, &lineage).await, Ok(Settled::Won));
    let hint = within("the hint", async { hints.on_message().next().await.unwrap() }).await;
    assert_eq!(hint.get_payload_bytes(), id.to_string().as_bytes());
}

#[tokio::test]
async fn settlement_that_loses_leaves_no_event() {
    let bench = StoreBench::start().await;
    let (tenant, id) = (tenant(), id());
    settle(&bench, &success(id), None).await.unwrap();
    settle(&bench, &ended(id, JobResult::Cancelled), None).await.unwrap();
    assert_eq!(
        bench
            .ask::<u64>(&format!("XLEN {}", key::events(&tenant, id.bucket(key::BUCKETS))))
            .await,
        1
    );
}

#[tokio::test]
async fn store_without_memory_refuses_whole_and_takes_again_once_there_is_room() {
    let bench = StoreBench::with_memory(4 << 20).await;
    let mut raw = bench.raw().await;
    // to the last byte: what is refused because it is large leaves room for what is small
    for size in [64 << 10, 1 << 10, 1] {
        let filler = vec![b'x'; size];
        within("a full store", async {
            for number in 0.. {
                let mut set = redis::cmd("SET");
                set.arg(format!("filler:{size}:{number}")).arg(&filler);
                if let Err(error) = set.query_async::<()>(&mut raw).await {
                    return assert_eq!(error.code(), Some("OOM"));
                }
            }
        })
        .await;
    }
    let (tenant, id) = (tenant(), id());
    let full = StoreError::Full("OOM".to_owned());
    assert!(!bench.store.writable().await);
    assert_eq!(settle(&bench, &success(id), None).await, Err(full.clone()));
    let request = ClaimRequest {
        tenant: &tenant,
        id: &id,
        redelivered: Some(TOKENS.fetch_add(1, std::sync::atomic::Ordering::Relaxed)),
    };
    assert_eq!(bench.store.claim(&[request]).await, Ok(vec![Err(full.clone())]));
    let keys = gristmill_schemas::JobIdKeys::new([(1, [1; 32])].into()).unwrap();
    assert_eq!(bench.store.register_job_id_keys(&keys).await, Err(full));
    for name in [key::job(&tenant, &id), key::events(&tenant, id.bucket(key::BUCKETS))] {
        assert_eq!(bench.ask::<u64>(&format!("EXISTS {name}")).await, 0, "{name}");
    }
    assert_eq!(bench.store.state(&tenant, &id).await, Ok(None), "reads are answered");
    bench.ask::<()>("CONFIG SET maxmemory 0").await;
    assert!(bench.store.writable().await);
    assert_eq!(settle(&bench, &success(id), None).await, Ok(Settled::Won));
}

#[tokio::test]
async fn lineage_is_completed_for_an_ended_job_and_for_no_other() {
    let bench = StoreBench::start().await;
    let (cancelled, unknown) = (id(), id());
    let (outcome, short) = ended(cancelled, JobResult::Cancelled);
    assert_eq!(settle(&bench, &(outcome.clone(), short), None).await, Ok(Settled::Won));
    let (_, whole) = success(cancelled);
    let (_, nobodys) = success(unknown);
    for lineage in [&whole, &nobodys] {
        within("the lineage", bench.store.complete_lineage(lineage))
            .await
            .unwrap();
    }
    let record = bench.store.read(&tenant(), &cancelled).await.unwrap().unwrap();
    assert_eq!(record.lineage, whole.encode());
    assert_eq!(record.ended.outcome().unwrap(), outcome);
    assert!(bench.store.read(&tenant(), &unknown).await.unwrap().is_none());
}

#[tokio::test]
async fn dead_letter_is_listed_once_and_is_off_the_list_once_buried() {
    let bench = StoreBench::start().await;
    let (failed, other, cancelled) = (id(), id(), id());
    for ended in [
        &failure(failed),
        &failure(other),
        &ended(cancelled, JobResult::Cancelled),
    ] {
        assert_eq!(settle(&bench, ended, None).await, Ok(Settled::Won));
    }
    assert_eq!(
        settle(&bench, &failure(failed), None).await,
        Ok(Settled::Lost(JobState::Failed))
    );
    let list = async || {
        let places = within("the list", bench.store.dead_letters(&tenant(), None, 10))
            .await
            .unwrap();
        places.into_iter().map(|place| place.id).collect::<Vec<_>>()
    };
    assert_eq!(list().await, [other, failed]);
    let records = bench.store.dead_letter_records(&tenant(), &[failed, cancelled]).await;
    let records = records.unwrap();
    let record = records[0].as_ref().unwrap();
    assert_eq!((record.input, record.redriven_as), (None, None));
    assert!(records[1].is_none());
    for (redriven_as, taken) in [(Some(&other), Some(None)), (None, None)] {
        assert_eq!(bench.store.bury(&tenant(), &failed, redriven_as).await, Ok(taken));
    }
    assert_eq!(list().await, [other]);
    let records = bench.store.dead_letter_records(&tenant(), &[failed]).await.unwrap();
    assert_eq!(records[0].as_ref().unwrap().redriven_as, Some(other));
}
