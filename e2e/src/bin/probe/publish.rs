//! Measurement 1: what accepting a job costs, by the way in and the number of callers.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream::stream::RetentionPolicy;

use crate::bench::Bench;
use crate::door::{Door, Mode};
use crate::load::{Load, closed_loop};
use crate::syncs::Syncs;
use crate::table::{Table, kilo, ms};

const SPAN: Duration = Duration::from_secs(2);
const CALLERS: [usize; 4] = [1, 16, 64, 256];

const MODES: [(&str, Mode); 6] = [
    ("one publish a job", Mode::Plain),
    ("atomic batch of what waits", Mode::AtomicBatch),
    ("envelope, N ≤ 16, 1 in flight", envelopes(16, 1)),
    ("envelope, N ≤ 64, 1 in flight", envelopes(64, 1)),
    ("envelope, N ≤ 64, 2 in flight", envelopes(64, 2)),
    ("envelope, N ≤ 64, 4 in flight", envelopes(64, 4)),
];

const fn envelopes(max_jobs: usize, in_flight: usize) -> Mode {
    Mode::Envelopes { max_jobs, in_flight }
}

/// Measures and prints.
pub(crate) async fn measure(bench: &Bench) -> anyhow::Result<()> {
    let mut table = Table::new(
        "publish, 1 KB jobs",
        &["way in", "callers", "jobs/s", "p50 ms", "p99 ms", "fsyncs a job"],
    );
    for callers in CALLERS {
        let mut rounds = MODES.map(|_| Vec::new());
        for _ in 0..bench.rounds {
            for ((_, mode), loads) in MODES.iter().zip(&mut rounds) {
                loads.push(once(bench, *mode, callers, SPAN).await?);
            }
        }
        for ((name, mode), loads) in MODES.iter().zip(&rounds) {
            let load = Load::median(loads).context("no rounds")?;
            let syncs = syncs_a_job(bench, *mode, callers).await?;
            table.row([
                (*name).into(),
                callers.to_string(),
                kilo(load.rate),
                ms(load.p50),
                ms(load.p99),
                syncs,
            ]);
        }
    }
    table.print();
    Ok(())
}

async fn once(bench: &Bench, mode: Mode, callers: usize, span: Duration) -> anyhow::Result<Load> {
    bench.stream(RetentionPolicy::WorkQueue).await?;
    closed_loop(&Door::open(mode, &bench.js, "jobs.m.1.batch.0"), callers, span).await
}

async fn syncs_a_job(bench: &Bench, mode: Mode, callers: usize) -> anyhow::Result<String> {
    bench.stream(RetentionPolicy::WorkQueue).await?;
    let Some(syncs) = Syncs::attach(bench.pid())? else {
        return Ok("–".into());
    };
    let door = Door::open(mode, &bench.js, "jobs.m.1.batch.0");
    let load = closed_loop(&door, callers, Duration::from_millis(500)).await?;
    Ok(format!("{:.3}", syncs.count()? as f64 / load.jobs as f64))
}
