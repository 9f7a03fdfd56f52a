//! Measures what the stream layout rests on: publishes, acks, purges, standing pulls, pulls of several, the broker's clock.
//!
//! It starts a nats-server of its own on free ports at the `power-loss` level and prints a table a measurement.
//! docs/adr/0001-stream-layout.md holds the figures and what was decided from them. Nothing here is a test: it passes no
//! judgement and asserts no figure.

mod acks;
mod bench;
mod clock;
mod door;
mod envelope_size;
mod groups;
mod load;
mod publish;
mod pull_size;
mod pulls;
mod purge;
mod steady;
mod syncs;
mod table;
mod usage;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::bench::Bench;

/// Measures the costs that the stream layout rests on.
#[derive(Parser)]
struct Args {
    /// The nats-server executable.
    #[arg(long, default_value = ".gristmill/bin/nats-server")]
    nats_server: PathBuf,
    /// Where the streams are kept meanwhile: must be a real disk, or an fsync costs nothing.
    #[arg(long, default_value = "target")]
    dir: PathBuf,
    /// Rounds of each case; the median is printed.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only these measurements.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Measurement>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measurement {
    /// Accepting jobs: one publish a job, atomic batches, envelopes.
    Publish,
    /// Envelopes of growing size, and what they do to a small publisher beside them.
    EnvelopeSize,
    /// Envelopes when the callers are spread over tenant groups.
    Groups,
    /// Draining a full stream: work queue against limits with purges.
    Acks,
    /// Publishing, delivering and acking at once, under both retentions.
    Steady,
    /// One stuck envelope at the head.
    Purge,
    /// Idle pulls over many consumers.
    Pulls,
    /// Pulls of one and of several messages.
    PullSize,
    /// The server's time in a reply.
    Clock,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let chosen = match args.only.as_slice() {
        [] => Measurement::value_variants(),
        only => only,
    };
    for measurement in chosen {
        let bench = Bench::start(&args.nats_server, &args.dir, args.rounds).await?;
        run(*measurement, &bench).await?;
        bench.stop().await?;
    }
    Ok(())
}

async fn run(measurement: Measurement, bench: &Bench) -> anyhow::Result<()> {
    match measurement {
        Measurement::Publish => publish::measure(bench).await,
        Measurement::EnvelopeSize => envelope_size::measure(bench).await,
        Measurement::Groups => groups::measure(bench).await,
        Measurement::Acks => acks::measure(bench).await,
        Measurement::Steady => steady::measure(bench).await,
        Measurement::Purge => purge::measure(bench).await,
        Measurement::Pulls => pulls::measure(bench).await,
        Measurement::PullSize => pull_size::measure(bench).await,
        Measurement::Clock => clock::measure(bench).await,
    }
}
