//! Measurement 1b: what an envelope's bytes cost its own publish, and a small publisher on another subject.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use async_nats::jetstream::stream::RetentionPolicy;

use crate::bench::{Bench, bytes_of};
use crate::door::{Door, Mode};
use crate::load::{Load, closed_loop};
use crate::table::{Table, median, mib, ms};

const SPAN: Duration = Duration::from_secs(2);
const KIB: usize = 1024;
const SIZES: [usize; 7] = [0, KIB, 64 * KIB, 256 * KIB, 1024 * KIB, 2048 * KIB, 4096 * KIB];

/// Measures and prints.
pub(crate) async fn measure(bench: &Bench) -> anyhow::Result<()> {
    let mut table = Table::new(
        "one publisher of large envelopes (0: none) beside one of 1 KB jobs",
        &[
            "envelope KiB",
            "p50 ms",
            "MiB/s",
            "neighbour jobs/s",
            "neighbour p50 ms",
            "neighbour p99 ms",
        ],
    );
    for size in SIZES {
        let mut large = Vec::new();
        let mut small = Vec::new();
        for _ in 0..bench.rounds {
            bench.stream(RetentionPolicy::WorkQueue).await?;
            let door = Door::open(Mode::Plain, &bench.js, "jobs.small.1.interactive.0");
            let (latencies, load) = tokio::try_join!(publisher(bench, size), closed_loop(&door, 1, SPAN))?;
            large.extend(latencies);
            small.push(load);
        }
        let load = Load::median(&small).context("no rounds")?;
        let p50 = median(&large).map_or("–".into(), ms);
        let bytes = (size * large.len()) as f64 / (SPAN.as_secs_f64() * bench.rounds as f64);
        table.row([
            (size / KIB).to_string(),
            p50,
            mib(bytes as u64),
            format!("{:.0}", load.rate),
            ms(load.p50),
            ms(load.p99),
        ]);
    }
    table.print();
    Ok(())
}

async fn publisher(bench: &Bench, size: usize) -> anyhow::Result<Vec<Duration>> {
    let until = Instant::now() + SPAN;
    let body = bytes_of(size);
    let mut latencies = Vec::new();
    // A connection of its own, so that the neighbour waits for the server and not behind our own buffer.
    let js = bench.connect().await?;
    while size > 0 && Instant::now() < until {
        let begun = Instant::now();
        js.publish("jobs.large.1.batch.0", body.clone().into()).await?.await?;
        latencies.push(begun.elapsed());
    }
    Ok(latencies)
}
