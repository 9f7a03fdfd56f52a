//! Measurement 2: what an ack costs on a work queue, and under limits with a purge behind the ack floor.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::stream::{RetentionPolicy, Stream};

use crate::bench::{Bench, ack_all, pull_once};
use crate::load::JOB_BYTES;
use crate::syncs::Syncs;
use crate::table::{Table, kilo, median};

const MESSAGES: usize = 5000;
const SUBJECT: &str = "jobs.m.1.batch.0";
const CASES: [(&str, RetentionPolicy); 2] = [
    ("work queue", RetentionPolicy::WorkQueue),
    ("limits, one purge at the end", RetentionPolicy::Limits),
];

/// Measures and prints.
pub(crate) async fn measure(bench: &Bench) -> anyhow::Result<()> {
    let mut table = Table::new(
        "5,000 delivered messages acked at once",
        &["retention", "acks/s until gone", "fsyncs an ack"],
    );
    let mut rounds = CASES.map(|_| Vec::new());
    for _ in 0..bench.rounds {
        for ((_, retention), rates) in CASES.iter().zip(&mut rounds) {
            let delivered = deliver(bench, *retention).await?;
            let begun = Instant::now();
            delivered.settle().await?;
            rates.push(MESSAGES as f64 / begun.elapsed().as_secs_f64());
        }
    }
    for ((name, retention), rates) in CASES.iter().zip(&rounds) {
        let rate = median(rates).context("no rounds")?;
        let delivered = deliver(bench, *retention).await?;
        let syncs = match Syncs::attach(bench.pid())? {
            None => "–".into(),
            Some(syncs) => {
                delivered.settle().await?;
                format!("{:.3}", syncs.count()? as f64 / MESSAGES as f64)
            }
        };
        table.row([(*name).into(), kilo(rate), syncs]);
    }
    table.print();
    Ok(())
}

/// A stream whose messages are all with us and none acked.
struct Delivered {
    stream: Stream,
    consumer: PullConsumer,
    messages: Vec<Message>,
}

async fn deliver(bench: &Bench, retention: RetentionPolicy) -> anyhow::Result<Delivered> {
    let stream = bench.stream(retention).await?;
    let consumer = bench.consumer(&stream, SUBJECT).await?;
    bench.fill(&[SUBJECT.into()], MESSAGES, JOB_BYTES).await?;
    let messages = pull_once(&consumer, MESSAGES, Duration::from_secs(30)).await?;
    anyhow::ensure!(messages.len() == MESSAGES, "{} of {MESSAGES} came", messages.len());
    Ok(Delivered {
        stream,
        consumer,
        messages,
    })
}

impl Delivered {
    async fn settle(&self) -> anyhow::Result<()> {
        ack_all(&self.messages).await?;
        let name = self.consumer.cached_info().name.as_str();
        while self.stream.consumer_info(name).await?.num_ack_pending > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        if self.stream.cached_info().config.retention == RetentionPolicy::Limits {
            self.stream.purge().sequence(MESSAGES as u64 + 1).await?;
        }
        while self.stream.get_info().await?.state.messages > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }
}
