//! The suite of faults at its small size: the same rows as `make chaos`, one after another.

use gristmill_e2e::chaos::{fault, planted, row, seed::Seed, table};
use tokio::sync::Mutex;

/// Jobs a row, at least.
const JOBS: u64 = 500;
/// Jobs that show a defect.
const PLANTED_JOBS: u64 = 300;
/// Rows have the machine to themselves, as far as this file goes.
static ALONE: Mutex<()> = Mutex::const_new(());
/// What every change has to survive. The others differ from these by degree, and are run by `make chaos`.
const ROWS: [&str; 14] = [
    "kill-worker",
    "kill-ingest",
    "kill-nats",
    "kill-redis",
    "kill-both-stores",
    "freeze-worker",
    "freeze-redis",
    "rolling-restart",
    "duplicate-publishes",
    "overload",
    "cancel-storm",
    "short-deadlines-without-workers",
    "crash-between-commit-and-ack",
    "crash-after-publish",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_promise_is_kept_under_every_fault_of_the_small_suite() {
    let _alone = ALONE.lock().await;
    let faults = fault::all();
    let mut rows = Vec::new();
    for name in ROWS {
        let fault = faults
            .iter()
            .find(|fault| fault.name() == name)
            .expect("a row of the suite");
        let row = row::run(fault.as_ref(), JOBS, &Seed::new(1)).await;
        println!("{}", table::line(&row));
        rows.push(row);
    }
    let failed: Vec<_> = rows.iter().filter(|row| !row.passed()).map(table::line).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn every_fault_has_a_name_of_its_own() {
    let faults = fault::all();
    let names: std::collections::BTreeSet<_> = faults.iter().map(|fault| fault.name()).collect();
    assert_eq!(names.len(), faults.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn suite_notices_every_planted_defect_by_name() {
    let _alone = ALONE.lock().await;
    let mut missed = Vec::new();
    for planted in &planted::ALL {
        match planted::hunt(planted, PLANTED_JOBS, &Seed::new(1)).await {
            Ok(hunt) if hunt.caught() => println!("{hunt}"),
            Ok(hunt) => missed.push(hunt.to_string()),
            Err(error) => missed.push(format!("{}: {error:#}", planted.name)),
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
