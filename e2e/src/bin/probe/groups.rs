//! Measurement 1c: how tenant groups thin the envelopes out, since an envelope holds jobs of one subject only.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream::stream::RetentionPolicy;
use futures_util::future::try_join_all;

use crate::bench::Bench;
use crate::door::{Door, Mode};
use crate::load::{Load, closed_loop};
use crate::table::{Table, kilo, median, ms};

const SPAN: Duration = Duration::from_secs(2);
const GROUPS: [usize; 5] = [1, 4, 8, 16, 32];
const CALLERS: [usize; 2] = [64, 256];
const MODE: Mode = Mode::Envelopes {
    max_jobs: 64,
    in_flight: 1,
};

/// Measures and prints.
pub(crate) async fn measure(bench: &Bench) -> anyhow::Result<()> {
    let mut table = Table::new(
        "callers spread evenly over subjects, envelopes of N ≤ 64, 1 in flight a subject",
        &["callers", "subjects", "jobs/s", "jobs an envelope", "p50 ms"],
    );
    for callers in CALLERS {
        let mut rounds = GROUPS.map(|_| Vec::new());
        for _ in 0..bench.rounds {
            for (groups, done) in GROUPS.iter().zip(&mut rounds) {
                done.push(once(bench, callers, *groups).await?);
            }
        }
        for (groups, done) in GROUPS.iter().zip(&rounds) {
            let column = |pick: fn(&Spread) -> f64| median(&done.iter().map(pick).collect::<Vec<f64>>());
            table.row([
                callers.to_string(),
                groups.to_string(),
                kilo(column(|spread| spread.rate).context("no rounds")?),
                format!("{:.1}", column(|spread| spread.packed).context("no rounds")?),
                ms(Duration::from_secs_f64(
                    column(|spread| spread.p50).context("no rounds")?,
                )),
            ]);
        }
    }
    table.print();
    Ok(())
}

/// How a round went over all subjects.
struct Spread {
    rate: f64,
    packed: f64,
    /// Seconds, of the subject in the middle.
    p50: f64,
}

async fn once(bench: &Bench, callers: usize, groups: usize) -> anyhow::Result<Spread> {
    let stream = bench.stream(RetentionPolicy::WorkQueue).await?;
    let doors: Vec<Door> = (0..groups)
        .map(|group| Door::open(MODE, &bench.js, &format!("jobs.m.1.batch.{group}")))
        .collect();
    let loads: Vec<Load> = try_join_all(doors.iter().map(|door| closed_loop(door, callers / groups, SPAN))).await?;
    let jobs: usize = loads.iter().map(|load| load.jobs).sum();
    let envelopes = stream.get_info().await?.state.messages;
    let p50s: Vec<f64> = loads.iter().map(|load| load.p50.as_secs_f64()).collect();
    Ok(Spread {
        rate: loads.iter().map(|load| load.rate).sum(),
        packed: jobs as f64 / envelopes as f64,
        p50: median(&p50s).context("no groups")?,
    })
}
