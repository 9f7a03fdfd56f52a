//! The load tester: a black-box client of the doors, HTTP and NATS, that counts what became of every job.
//!
//! | file | what it owns |
//! |---|---|
//! | `config`, `scenario`, `plan` | what is to be done, from flags or a file |
//! | `pace`, `schedule` | when jobs begin: by the ends of those before them (closed loop) or by the clock (open loop) |
//! | `generator` | what they bring, and what must come back: functions of a nonce |
//! | `transport`, `client`, `denial`, `trial`, `round` | how a request travels, what it says, one job, one load |
//! | `ledger`, `latency`, `timeline`, `tally`, `stages` | what is counted |
//! | `live` | what goes on, for whoever looks |
//! | `slo`, `search`, `report`, `baseline`, `page` | what it amounts to, for people and machines |
//!
//! Every job carries a nonce in its inputs, and every answer is held against what that very job must get. A job's submission
//! is repeated under one `Idempotency-Key` until it is answered, so restarts of the server are survived.
//!
//! What decides is conservation (`ledger`): every accepted job was read back as ended, and none was lost, duplicated or
//! answered wrongly. Latency counts from the moment a job was due: a server that holds up its callers cannot hide it.

mod baseline;
mod client;
mod config;
mod denial;
mod generator;
mod latency;
mod ledger;
mod live;
mod pace;
mod page;
mod plan;
mod report;
mod round;
mod scenario;
mod schedule;
mod search;
mod slo;
mod stages;
mod tally;
mod timeline;
mod transport;
mod trial;

use std::{
    future::Future,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;
use nix::sys::resource::{UsageWho, getrusage};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{live::Live, plan::Plan, report::Verdict, round::Round, search::Search};

pub use baseline::Comparison;
pub use config::{ApiKey, Encoding, LoadtestArgs, Model, PaceArgs, ReportArgs, TargetArgs, Texts, Wait, WorkArgs};
pub use ledger::Counts;
pub use report::{Latency, Load, Report, Setting};
pub use schedule::Arrivals;
pub use search::Probe;
pub use slo::Slo;
pub use stages::Stage;
pub use timeline::Step;

/// What the jobs with these numbers bring, for whoever wants to run them otherwise than through a server.
#[must_use]
pub fn inputs(work: &WorkArgs, nonces: std::ops::Range<u64>) -> Vec<Vec<gristmill_schemas::Tensor>> {
    let generator = generator::of(work, 0);
    nonces.map(|nonce| generator.inputs(nonce)).collect()
}

/// Runs a load test until its end, or until Ctrl-C, after which what is in flight has a few seconds to end.
///
/// # Errors
/// The test could not begin (a scenario that cannot be read, no answer from the server, a key it does not know, references
/// that cannot be told apart) or a file cannot be written. What goes wrong with single jobs is in the report.
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
    let token = CancellationToken::new();
    let mut testing = std::pin::pin!(test_or_search(&args, token.clone()));
    let report = tokio::select! {
        report = &mut testing => report,
        () = interrupt => {
            token.cancel();
            testing.await
        }
    }?;
    if let Some(file) = &args.report.json {
        let mut text = serde_json::to_vec_pretty(&report).context("the report as JSON")?;
        text.push(b'\n');
        write(file, &text)?;
    }
    if let Some(file) = &args.report.html {
        let compared = comparison(&args, &report)?;
        write(file, page::of(&report, compared.as_ref()).as_bytes())?;
    }
    Ok(report)
}

/// How a report compares with the baseline of the command line, if it names one.
///
/// # Errors
/// The baseline cannot be read.
pub fn comparison(args: &LoadtestArgs, report: &Report) -> anyhow::Result<Option<Comparison>> {
    let compared = args
        .report
        .baseline
        .as_deref()
        .map(|file| Comparison::with(file, report));
    compared.transpose()
}

/// The test; of a search that of the highest rate that passed, or of the last one if none did.
async fn test_or_search(args: &LoadtestArgs, interrupt: CancellationToken) -> anyhow::Result<Report> {
    let (true, Some(first)) = (args.report.search, args.pace.rate) else {
        return test(args, interrupt).await;
    };
    let (mut search, mut best) = (Search::new(first), None);
    while let Some(rate) = search.next() {
        let mut args = args.clone();
        args.pace.rate = Some(rate);
        let report = test(&args, interrupt.clone()).await?;
        let probe = Probe {
            rate,
            passed: report.passed,
            complaints: report.complaints.clone(),
        };
        eprintln!("{probe}");
        search.probes.push(probe);
        if search.highest() == Some(rate) || best.is_none() || search.highest().is_none() {
            best = Some(report);
        }
        if interrupt.is_cancelled() {
            break;
        }
    }
    let mut report = best.context("no rate was tried")?;
    report.highest_rate_per_s = search.highest();
    report.probes = search.probes;
    Ok(report)
}

async fn test(args: &LoadtestArgs, interrupt: CancellationToken) -> anyhow::Result<Report> {
    let plan = Plan::of(args)?;
    let mut rounds = Vec::new();
    for load in plan.loads {
        let name = load.name.clone();
        let round = Round::prepare(load, args.pace.timeout.into(), &interrupt).await;
        rounds.push(round.with_context(|| format!("the load {name:?} cannot begin"))?);
    }
    let run = rounds.first().map_or_else(String::new, |round| round.tag().to_owned());
    let _live = Live::start(rounds.iter().map(Round::watched).collect());
    let (began, cpu) = (Instant::now(), cpu_time());
    let mut running = JoinSet::new();
    for (place, round) in rounds.into_iter().enumerate() {
        let ended = round.run(interrupt.clone());
        running.spawn(async move { (place, ended.await) });
    }
    let mut loads = running.join_all().await;
    loads.sort_by_key(|(place, _)| *place);
    let verdict = Verdict {
        allow_failures: args.report.allow_failures,
        slo: plan.slo,
    };
    Ok(Report::new(
        (run, plan.description),
        loads.into_iter().map(|(_, load)| load).collect(),
        &verdict,
        (
            began.elapsed(),
            cpu_time().saturating_sub(cpu),
            interrupt.is_cancelled(),
        ),
    ))
}

/// The processor time of this process so far; none if the system does not tell.
fn cpu_time() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else {
        return Duration::ZERO;
    };
    let micros = |time: nix::sys::time::TimeVal| time.tv_sec() as u64 * 1_000_000 + time.tv_usec() as u64;
    Duration::from_micros(micros(usage.user_time()) + micros(usage.system_time()))
}

fn write(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    std::fs::write(file, bytes).with_context(|| format!("write the report to {}", file.display()))
}
