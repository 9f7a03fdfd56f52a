//! Measurement 5: what a busy consumer gives, by messages a pull, pulls at once, and consumers.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::stream::{RetentionPolicy, Stream};
use futures_util::future::try_join_all;

use crate::bench::{Bench, ack_all, pull_once};
use crate::table::{Table, kilo, median, ms};

const MESSAGES: usize = 4000;
const MESSAGE_BYTES: usize = 4096;

/// A way to take messages.
#[derive(Clone, Copy)]
struct Way {
    consumers: usize,
    pulls_each: usize,
    max_messages: usize,
}

const WAYS: [Way; 10] = [
    way(1, 1, 1),
    way(1, 1, 4),
    way(1, 1, 16),
    way(1, 1, 64),
    way(1, 4, 1),
    way(1, 4, 4),
    way(1, 4, 16),
    way(4, 1, 1),
    way(4, 1, 4),
    way(4, 1, 16),
];

const fn way(consumers: usize, pulls_each: usize, max_messages: usize) -> Way {
    Way {
        consumers,
        pulls_each,
        max_messages,
    }
}

/// Measures and prints.
pub(crate) async fn measure(bench: &Bench) -> anyhow::Result<()> {
    let mut table = Table::new(
        "4,000 waiting envelopes of 4 KiB taken and acked (limits retention: the ack itself is cheap)",
        &[
            "consumers",
            "pulls at once each",
            "max messages",
            "envelopes/s",
            "pull round trip p50 ms",
        ],
    );
    let stream = bench.stream(RetentionPolicy::Limits).await?;
    let subjects: Vec<String> = (0..4).map(|group| format!("jobs.m.1.batch.{group}")).collect();
    bench.fill(&subjects, MESSAGES * subjects.len(), MESSAGE_BYTES).await?;
    let mut rounds = WAYS.map(|_| Vec::new());
    for _ in 0..bench.rounds {
        for (way, done) in WAYS.iter().zip(&mut rounds) {
            done.push(once(bench, &stream, &subjects, *way).await?);
        }
    }
    for (way, done) in WAYS.iter().zip(&rounds) {
        let rates: Vec<f64> = done.iter().map(|(rate, _)| *rate).collect();
        let trips: Vec<Duration> = done.iter().map(|(_, trip)| *trip).collect();
        table.row([
            way.consumers.to_string(),
            way.pulls_each.to_string(),
            way.max_messages.to_string(),
            kilo(median(&rates).context("no rounds")?),
            ms(median(&trips).context("no rounds")?),
        ]);
    }
    table.print();
    Ok(())
}

async fn once(bench: &Bench, stream: &Stream, subjects: &[String], way: Way) -> anyhow::Result<(f64, Duration)> {
    let mut consumers = Vec::new();
    for subject in subjects.iter().take(way.consumers) {
        consumers.push(bench.consumer(stream, subject).await?);
    }
    let each = MESSAGES / way.consumers / way.pulls_each;
    let begun = Instant::now();
    let pullers = consumers
        .iter()
        .flat_map(|consumer| std::iter::repeat_n(consumer, way.pulls_each))
        .map(|consumer| take(consumer.clone(), way.max_messages, each));
    let pullers = pullers.map(|puller| async { tokio::spawn(puller).await? });
    let trips = try_join_all(pullers).await?.concat();
    let rate = MESSAGES as f64 / begun.elapsed().as_secs_f64();
    for consumer in consumers {
        stream.delete_consumer(&consumer.cached_info().name).await?;
    }
    Ok((rate, median(&trips).context("no pulls")?))
}

async fn take(consumer: PullConsumer, max_messages: usize, count: usize) -> anyhow::Result<Vec<Duration>> {
    let mut trips = Vec::new();
    let mut taken = 0;
    while taken < count {
        let begun = Instant::now();
        let messages = pull_once(&consumer, max_messages.min(count - taken), Duration::from_secs(5)).await?;
        trips.push(begun.elapsed());
        anyhow::ensure!(!messages.is_empty(), "nothing came of {count}, {taken} taken");
        ack_all(&messages).await?;
        taken += messages.len();
    }
    Ok(trips)
}
