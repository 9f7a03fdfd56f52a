//! What rows of a job gave while the rest of it runs: told once, in order, by the newest attempt, and not for ever.

use gristmill_broker::{Claim, ClaimRequest, RowsRun, StoreError, Watch};
use gristmill_schemas::{JobId, Lineage, Position, Progress, RowsDone, Tensor, key, lineage::BatchRecord};
use gristmill_telemetry::Shutdown;

use crate::{
    bench::{DEADLINE, StoreBench, within},
    jobs::{failure, id, success, tenant},
};

/// Two of eight rows, after which so many are done.
fn rows(attempt: u32, rows_done: u32) -> Progress {
    let value = (attempt * 100 + rows_done) as f32;
    Progress {
        attempt,
        from_row: rows_done - 2,
        rows: 2,
        rows_done,
        rows_total: 8,
        outputs: Some(vec![Tensor::from_f32("y", vec![2, 1], &[value, value]).unwrap()]),
    }
}

async fn tell(bench: &StoreBench, id: &JobId, told: &[Progress]) {
    let tenant = tenant();
    let rows: Vec<_> = told
        .iter()
        .map(|progress| RowsRun {
            tenant: &tenant,
            id,
            progress,
        })
        .collect();
    assert_eq!(within("progress", bench.store.tell_progress(&rows)).await, Ok(()));
}

async fn told(bench: &StoreBench, id: &JobId, after: Position) -> Vec<(Position, Progress)> {
    let read = within("progress", bench.store.progress_after(&tenant(), id, after, 100)).await;
    let read = read.unwrap().into_iter();
    read.map(|(position, progress)| (position, progress.expect("one of ours")))
        .collect()
}

async fn all(bench: &StoreBench, id: &JobId) -> Vec<Progress> {
    let told = told(bench, id, Position::default()).await.into_iter();
    told.map(|(_, progress)| progress).collect()
}

async fn second_attempt(bench: &StoreBench, id: &JobId) {
    let tenant = tenant();
    let request = ClaimRequest {
        tenant: &tenant,
        id,
        redelivered: Some(1),
    };
    let claims = bench.store.claim(&[request]).await.unwrap();
    assert_eq!(claims, [Ok(Claim::Run { attempt: 2 })]);
}

#[tokio::test]
async fn rows_are_told_in_order_and_once_and_read_on_from_a_position() {
    let (bench, id) = (StoreBench::start().await, id());
    let parts = [rows(1, 2), rows(1, 4), rows(1, 6)];
    tell(&bench, &id, &parts[..2]).await;
    // a call that is made again, because its answer was lost
    tell(&bench, &id, &parts[..2]).await;
    tell(&bench, &id, &parts[2..]).await;
    assert_eq!(all(&bench, &id).await, parts);
    let (first, _) = told(&bench, &id, Position::default()).await[0];
    let rest: Vec<_> = told(&bench, &id, first)
        .await
        .into_iter()
        .map(|(_, rows)| rows)
        .collect();
    assert_eq!(rest, parts[1..]);
    let known = bench.store.known(&tenant(), &id).await;
    let Ok(gristmill_broker::Known::Unended(so_far)) = known else {
        panic!("{known:?}");
    };
    assert_eq!(so_far, RowsDone::from_field("1 6 8"));
    for key in [key::progress(&tenant(), &id), key::job(&tenant(), &id)] {
        assert!(
            bench.ask::<i64>(&format!("PTTL {key}")).await > 0,
            "{key} does not stay for ever"
        );
    }
}

#[tokio::test]
async fn new_attempt_begins_anew_and_an_older_one_tells_nothing_more() {
    let (bench, id) = (StoreBench::start().await, id());
    tell(&bench, &id, &[rows(1, 2), rows(1, 4)]).await;
    let (last, _) = told(&bench, &id, Position::default()).await[1];
    second_attempt(&bench, &id).await;
    tell(&bench, &id, &[rows(1, 6)]).await;
    assert_eq!(all(&bench, &id).await.len(), 2);
    tell(&bench, &id, &[rows(2, 2), rows(2, 4)]).await;
    let anew = [rows(2, 2), rows(2, 4)];
    assert_eq!(all(&bench, &id).await, anew);
    // whoever had read the first attempt is told all of the second
    let read: Vec<_> = told(&bench, &id, last)
        .await
        .into_iter()
        .map(|(_, rows)| rows)
        .collect();
    assert_eq!(read, anew);
}

/// As many engine calls as a lineage tells of.
fn calls(lineage: &Lineage, calls: u32) -> Lineage {
    let batch = |position| BatchRecord {
        id: "mill-1-identity-7".to_owned(),
        jobs: 1,
        rows: 2,
        position,
        job_rows: 2,
    };
    Lineage {
        batches: (0..calls).map(batch).collect(),
        ..lineage.clone()
    }
}

#[tokio::test]
async fn job_that_has_ended_tells_nothing_and_what_it_told_goes_soon() {
    let bench = StoreBench::start().await;
    // a failure may come in the first call of an attempt, after another attempt that told more
    for (make, engine_calls) in [
        (success as fn(JobId) -> _, 2),
        (success, 0),
        (failure, 0),
        (failure, 1),
        (failure, 2),
    ] {
        let (outcome, lineage) = make(id());
        let (id, lineage) = (outcome.job_id, calls(&lineage, engine_calls));
        tell(&bench, &id, &[rows(1, 2)]).await;
        let key = key::progress(&tenant(), &id);
        let while_it_runs: i64 = bench.ask(&format!("PTTL {key}")).await;
        bench.store.settle(&tenant(), &outcome, &lineage).await.unwrap();
        tell(&bench, &id, &[rows(1, 4)]).await;
        assert_eq!(all(&bench, &id).await, [rows(1, 2)]);
        let after_it: i64 = bench.ask(&format!("PTTL {key}")).await;
        assert!(
            0 < after_it && after_it <= 60_000 && after_it < while_it_runs,
            "{engine_calls} calls: {after_it} of {while_it_runs}"
        );
        let field = format!("HEXISTS {} progress", key::job(&tenant(), &id));
        assert!(!bench.ask::<bool>(&field).await);
    }
}

#[tokio::test]
async fn what_is_forgotten_makes_room_and_can_be_forgotten_in_a_full_store() {
    let bench = StoreBench::start().await;
    let (tenant, id) = (tenant(), id());
    tell(&bench, &id, &[rows(1, 2)]).await;
    bench.ask::<String>("CONFIG SET maxmemory 1").await;
    let more = rows(1, 4);
    let rows = [RowsRun {
        tenant: &tenant,
        id: &id,
        progress: &more,
    }];
    let refused = bench.store.tell_progress(&rows).await;
    assert!(matches!(refused, Err(StoreError::Full(_))), "{refused:?}");
    assert_eq!(bench.store.forget_progress(&[(&tenant, &id)]).await, Ok(()));
    assert!(all(&bench, &id).await.is_empty());
}

#[tokio::test]
async fn follower_is_woken_by_progress_and_who_waits_for_the_end_is_not() {
    let (bench, id) = (StoreBench::start().await, id());
    let watch = Watch::start(&bench.store, &Shutdown::new());
    let hints = watch.progress(&tenant(), &id);
    hints.is_listening(DEADLINE).await;
    let mut waiting = watch.expect(&tenant(), &id);
    let reads = async || -> u64 {
        let stats: String = bench.ask("INFO commandstats").await;
        let hmget = stats.lines().find_map(|line| line.strip_prefix("cmdstat_hmget:calls="));
        hmget.map_or(0, |calls| calls.split(',').next().unwrap().parse().unwrap())
    };
    tokio::select! {
        // its own first look is the one read there is
        ended = waiting.ended(DEADLINE) => panic!("{ended:?}"),
        () = async {
            for rows_done in [2, 4, 6] {
                tell(&bench, &id, &[rows(1, rows_done)]).await;
                within("a hint", hints.news()).await;
            }
        } => {}
    }
    // each telling reads the job once, in its script
    assert!(reads().await <= 3 + 1, "{}", reads().await);
    drop((hints, waiting));
    assert!(
        !format!("{watch:?}").contains(&id.to_string()),
        "nobody is remembered: {watch:?}"
    );
}

#[tokio::test]
async fn entry_of_another_build_has_a_position_alone_and_holds_nobody_up() {
    let (bench, id) = (StoreBench::start().await, id());
    let key = key::progress(&tenant(), &id);
    bench.ask::<String>(&format!("XADD {key} * attempt many")).await;
    tell(&bench, &id, &[rows(1, 2)]).await;
    bench.ask::<String>(&format!("XADD {key} * attempt 1")).await;
    let read = bench
        .store
        .progress_after(&tenant(), &id, Position::default(), 100)
        .await
        .unwrap();
    let known: Vec<bool> = read.iter().map(|(_, progress)| progress.is_some()).collect();
    assert_eq!(known.last(), Some(&false));
    assert!(known.contains(&true));
    bench.ask::<i64>(&format!("DEL {key}")).await;
    bench.ask::<String>(&format!("SET {key} x")).await;
    let refused = bench
        .store
        .progress_after(&tenant(), &id, Position::default(), 100)
        .await;
    assert!(matches!(refused, Err(StoreError::Unreadable(_))), "{refused:?}");
}
