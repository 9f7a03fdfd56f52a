//! Measurement 3: one envelope at the head is stuck, all others are acked. Does the stream keep growing?

use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::stream::{RetentionPolicy, Stream};

use crate::bench::{Bench, ack_all, pull_once};
use crate::door::{Door, Mode};
use crate::load::closed_loop;
use crate::syncs::Syncs;
use crate::table::{Table, mib, ms};
use crate::usage::{on_disk, resident};

const GROUPS: usize = 16;
const WAVES: usize = 4;
const WAVE: usize = 4000;
const MESSAGE_BYTES: usize = 8192;

/// How what is acked leaves the stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaves {
    /// The ack removes it.
    ByAck,
    /// One purge up to the lowest ack floor of all consumers.
    BehindLowestFloor,
    /// A purge a consumer: its subject, up to its own ack floor.
    BehindOwnFloor,
}

/// The server compacts its files every two minutes, also when it syncs always.
const COMPACTED: Duration = Duration::from_secs(150);

const CASES: [(&str, Leaves, usize); 4] = [
    ("work queue, none stuck", Leaves::ByAck, 0),
    ("work queue", Leaves::ByAck, 1),
    ("limits, purge behind the lowest floor", Leaves::BehindLowestFloor, 1),
    ("limits, filtered purge behind each floor", Leaves::BehindOwnFloor, 1),
];

/// Measures and prints.
pub(crate) async fn measure(bench: &Bench) -> anyhow::Result<()> {
    let mut table = Table::new(
        "16 groups, 4 waves of 4,000 envelopes of 8 KiB, the first envelope never acked",
        &[
            "retention",
            "left after each wave",
            "on disk MiB after each, and 150 s later",
            "server RSS MiB",
            "ack + remove a wave, ms",
            "fsyncs an envelope",
            "publish p50 ms after",
        ],
    );
    for (name, leaves, stuck) in CASES {
        let outcome = once(bench, leaves, stuck).await?;
        table.row([
            name.into(),
            outcome.left.join(" / "),
            outcome.disk.join(" / "),
            mib(resident(bench.pid())?),
            outcome.took.join(" / "),
            outcome.syncs,
            outcome.publish_p50,
        ]);
    }
    table.print();
    Ok(())
}

#[derive(Default)]
struct Outcome {
    left: Vec<String>,
    disk: Vec<String>,
    took: Vec<String>,
    syncs: String,
    publish_p50: String,
}

async fn once(bench: &Bench, leaves: Leaves, stuck: usize) -> anyhow::Result<Outcome> {
    let retention = match leaves {
        Leaves::ByAck => RetentionPolicy::WorkQueue,
        Leaves::BehindLowestFloor | Leaves::BehindOwnFloor => RetentionPolicy::Limits,
    };
    let stream = bench.stream(retention).await?;
    let subjects: Vec<String> = (0..GROUPS).map(|group| format!("jobs.m.1.batch.{group}")).collect();
    let mut consumers = Vec::new();
    for subject in &subjects {
        consumers.push(bench.consumer(&stream, subject).await?);
    }
    bench.fill(&subjects[..1], stuck, MESSAGE_BYTES).await?;
    pull_once(&consumers[0], stuck.max(1), Duration::from_millis(500)).await?;

    let mut outcome = Outcome::default();
    for _ in 0..WAVES {
        bench.fill(&subjects, WAVE, MESSAGE_BYTES).await?;
        let begun = Instant::now();
        drain(&stream, &consumers, leaves, stuck).await?;
        outcome.took.push(ms(begun.elapsed()));
        outcome.left.push(stream.get_info().await?.state.messages.to_string());
        outcome.disk.push(mib(on_disk(&bench.store())?));
    }
    tokio::time::sleep(COMPACTED).await;
    outcome.disk.push(mib(on_disk(&bench.store())?));
    let door = Door::open(Mode::Plain, &bench.js, "jobs.other.1.batch.0");
    outcome.publish_p50 = ms(closed_loop(&door, 1, Duration::from_secs(2)).await?.p50);
    bench.fill(&subjects, WAVE, MESSAGE_BYTES).await?;
    outcome.syncs = "–".into();
    if let Some(syncs) = Syncs::attach(bench.pid())? {
        drain(&stream, &consumers, leaves, stuck).await?;
        outcome.syncs = format!("{:.3}", syncs.count()? as f64 / WAVE as f64);
    }
    Ok(outcome)
}

/// Takes and acks all there is, and removes what may be removed.
async fn drain(stream: &Stream, consumers: &[PullConsumer], leaves: Leaves, stuck: usize) -> anyhow::Result<()> {
    let mut floors = Vec::new();
    for (index, consumer) in consumers.iter().enumerate() {
        let name = consumer.cached_info().name.as_str();
        let waiting = stream.consumer_info(name).await?.num_pending as usize;
        ack_all(&pull_once(consumer, waiting, Duration::from_secs(30)).await?).await?;
        let unacked = if index == 0 { stuck } else { 0 };
        let info = loop {
            let info = stream.consumer_info(name).await?;
            if info.num_ack_pending <= unacked {
                break info;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        floors.push(info.ack_floor.stream_sequence);
    }
    match leaves {
        Leaves::ByAck => {}
        Leaves::BehindLowestFloor => {
            let lowest = floors.iter().min().copied().unwrap_or(0);
            stream.purge().sequence(lowest + 1).await?;
        }
        Leaves::BehindOwnFloor => {
            for (consumer, floor) in consumers.iter().zip(floors) {
                let subject = &consumer.cached_info().config.filter_subject;
                stream.purge().filter(subject).sequence(floor + 1).await?;
            }
        }
    }
    Ok(())
}
