//! The load tester: a black-box client of the HTTP door that counts what became of every job.
//!
//! A closed loop: so many jobs are in flight at once, and each one that ends makes room for the next. Every job carries a
//! nonce in its inputs, and every answer is held against what that very job must get (`generator`). A job's submission is
//! repeated under one `Idempotency-Key` until it is answered, so restarts of the server are survived.
//!
//! What decides is conservation (`ledger`): every accepted job was read back as ended, and none was lost, duplicated or
//! answered wrongly.

mod client;
mod closed_loop;
mod config;
mod generator;
mod latency;
mod ledger;
mod report;
mod tally;
mod trial;

use std::future::Future;

use anyhow::Context;

pub use config::{ApiKey, Encoding, LoadtestArgs, Model, PaceArgs, TargetArgs, Wait, WorkArgs};
pub use ledger::Counts;
pub use report::{Latency, Report, Setting};

/// Runs a load test until its end, or until Ctrl-C, after which what is in flight has a few seconds to end.
///
/// # Errors
/// The test could not begin (no answer from the server, a key it does not know, references that cannot be told apart) or
/// the report's file cannot be written. What goes wrong with single jobs is in the report.
pub async fn run(args: LoadtestArgs) -> anyhow::Result<Report> {
    run_until(args, async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
    .await
}

/// [`run`], but ended by a future of the caller's.
///
/// # Errors
/// As [`run`].
pub async fn run_until(args: LoadtestArgs, interrupt: impl Future<Output = ()>) -> anyhow::Result<Report> {
    let file = args.json.clone();
    let report = closed_loop::run(args, interrupt).await?;
    if let Some(file) = file {
        let mut text = serde_json::to_vec_pretty(&report).context("the report as JSON")?;
        text.push(b'\n');
        std::fs::write(&file, text).with_context(|| format!("write the report to {}", file.display()))?;
    }
    Ok(report)
}
