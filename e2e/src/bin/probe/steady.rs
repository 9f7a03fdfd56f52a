//! Measurement 2b: callers publish while a consumer takes and acks everything, as in service.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::stream::{RetentionPolicy, Stream};
use futures_util::StreamExt as _;
use futures_util::future::try_join_all;
use tokio::sync::watch;

use crate::bench::Bench;
use crate::door::{Door, Mode};
use crate::load::{Arrival, Load, arrive};
use crate::syncs::Syncs;
use crate::table::{Table, kilo, ms};
use crate::usage::Meter;

const SPAN: Duration = Duration::from_secs(3);
const PURGE_EVERY: Duration = Duration::from_millis(200);
const SUBJECT: &str = "jobs.m.1.batch.0";
const ENVELOPES: Mode = Mode::Envelopes {
    max_jobs: 64,
    in_flight: 1,
};
const WAYS_IN: [(&str, Mode, Arrival); 7] = [
    ("one publish a job", Mode::Plain, Arrival::Callers(16)),
    ("one publish a job", Mode::Plain, Arrival::Rate(1000)),
    ("envelopes", ENVELOPES, Arrival::Rate(1000)),
    ("envelopes", ENVELOPES, Arrival::Rate(5000)),
    ("envelopes", ENVELOPES, Arrival::Rate(10_000)),
    ("envelopes", ENVELOPES, Arrival::Callers(64)),
    ("envelopes", ENVELOPES, Arrival::Callers(256)),
];
/// Pulls at once, of `PULL_OF` messages each.
const PULLS: usize = 4;
const PULL_OF: usize = 4;

/// What happens to the messages after they are stored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Nothing,
    WorkQueue,
    Limits,
}

const AFTER: [(&str, After); 3] = [
    ("nobody consumes", After::Nothing),
    ("work queue, acked", After::WorkQueue),
    ("limits, acked, purged by filter", After::Limits),
];

/// How a round went.
#[derive(Clone, Copy)]
struct Round {
    load: Load,
    acks: f64,
    cpu: f64,
}

/// Measures and prints.
pub(crate) async fn measure(bench: &Bench) -> anyhow::Result<()> {
    let mut table = Table::new(
        "publish, pull, ack, all at once; 4 pulls of 4 stand",
        &[
            "way in",
            "arrival",
            "after",
            "jobs/s",
            "p50 ms",
            "p99 ms",
            "acks/s",
            "server CPU %",
            "fsyncs a job",
        ],
    );
    for (way, mode, arrival) in WAYS_IN {
        let mut rounds = AFTER.map(|_| Vec::new());
        for _ in 0..bench.rounds {
            for ((_, after), done) in AFTER.iter().zip(&mut rounds) {
                done.push(once(bench, mode, arrival, *after, SPAN).await?);
            }
        }
        for ((name, after), done) in AFTER.iter().zip(&rounds) {
            let syncs = syncs_a_job(bench, mode, arrival, *after).await?;
            let [jobs, p50, p99, acks, cpu] = middle(done)?;
            table.row([
                way.into(),
                arrival.to_string(),
                (*name).into(),
                jobs,
                p50,
                p99,
                acks,
                cpu,
                syncs,
            ]);
        }
    }
    table.print();
    Ok(())
}

/// The cells of the round in the middle.
fn middle(rounds: &[Round]) -> anyhow::Result<[String; 5]> {
    let mut sorted = rounds.to_vec();
    sorted.sort_by_key(|round| round.load.p50);
    let Round { load, acks, cpu } = sorted.get(sorted.len() / 2).context("no rounds")?;
    let cpu = format!("{cpu:.0}");
    Ok([kilo(load.rate), ms(load.p50), ms(load.p99), kilo(*acks), cpu])
}

async fn syncs_a_job(bench: &Bench, mode: Mode, arrival: Arrival, after: After) -> anyhow::Result<String> {
    let Some(syncs) = Syncs::attach(bench.pid())? else {
        return Ok("–".into());
    };
    let round = once(bench, mode, arrival, after, Duration::from_secs(1)).await?;
    Ok(format!("{:.3}", syncs.count()? as f64 / round.load.jobs as f64))
}

async fn once(bench: &Bench, mode: Mode, arrival: Arrival, after: After, span: Duration) -> anyhow::Result<Round> {
    let retention = match after {
        After::Nothing | After::WorkQueue => RetentionPolicy::WorkQueue,
        After::Limits => RetentionPolicy::Limits,
    };
    let stream = bench.stream(retention).await?;
    let consumer = bench.consumer(&stream, SUBJECT).await?;
    let door = Door::open(mode, &bench.js, SUBJECT);
    let (over, is_over) = watch::channel(false);
    let consuming = tokio::spawn(consume(consumer, after, is_over.clone()));
    let purging = tokio::spawn(purge(stream, after, is_over));
    let meter = Meter::start(bench.pid())?;
    let load = arrive(&door, arrival, span).await?;
    let cpu = meter.percent()?;
    over.send(true)?;
    let acks = consuming.await?? as f64 / span.as_secs_f64();
    purging.await??;
    Ok(Round { load, acks, cpu })
}

async fn consume(consumer: PullConsumer, after: After, is_over: watch::Receiver<bool>) -> anyhow::Result<usize> {
    if after == After::Nothing {
        return Ok(0);
    }
    let pulls = (0..PULLS).map(|_| tokio::spawn(take(consumer.clone(), is_over.clone())));
    try_join_all(pulls).await?.into_iter().sum()
}

async fn take(consumer: PullConsumer, is_over: watch::Receiver<bool>) -> anyhow::Result<usize> {
    let mut acks = 0;
    while !*is_over.borrow() {
        let batch = consumer
            .batch()
            .max_messages(PULL_OF)
            .expires(Duration::from_millis(500));
        let mut messages = batch.messages().await?;
        while let Some(message) = messages.next().await {
            let message = message.map_err(anyhow::Error::from_boxed)?;
            message.ack().await.map_err(anyhow::Error::from_boxed)?;
            acks += 1;
        }
    }
    Ok(acks)
}

async fn purge(stream: Stream, after: After, mut is_over: watch::Receiver<bool>) -> anyhow::Result<()> {
    let durable = SUBJECT.replace('.', "-");
    // The wait ends early, and for good, when the round is over.
    while tokio::time::timeout(PURGE_EVERY, is_over.wait_for(|over| *over))
        .await
        .is_err()
    {
        if after == After::Limits {
            let floor = stream.consumer_info(&durable).await?.ack_floor.stream_sequence;
            stream.purge().filter(SUBJECT).sequence(floor + 1).await?;
        }
    }
    Ok(())
}
