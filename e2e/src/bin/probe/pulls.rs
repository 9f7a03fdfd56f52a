//! Measurement 4: what idle standing pulls over many consumers cost, by their number and their time to expire.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::stream::{RetentionPolicy, Stream};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::bench::{Bench, STREAM, bytes_of, pull_once};
use crate::load::JOB_BYTES;
use crate::table::{Table, median, mib, ms};
use crate::usage::{Meter, resident};

const CONSUMERS: [usize; 4] = [64, 128, 256, 512];
const EXPIRES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30)];
const SAMPLES: usize = 100;

/// How the client stands in line.
#[derive(Clone, Copy)]
enum Client {
    /// The library's `batch()`: a subscription a pull.
    Batch,
    /// One subscription for the replies of all pulls.
    SharedInbox,
}

const CLIENTS: [(&str, Client); 2] = [("batch()", Client::Batch), ("shared inbox", Client::SharedInbox)];

/// Measures and prints.
pub(crate) async fn measure(bench: &Bench) -> anyhow::Result<()> {
    let mut table = Table::new(
        "idle standing pulls, one a consumer",
        &[
            "consumers",
            "created in ms",
            "client",
            "expires s",
            "server CPU %",
            "client CPU %",
            "server RSS MiB",
            "publish → delivery p50 ms",
        ],
    );
    for count in CONSUMERS {
        let stream = bench.stream(RetentionPolicy::WorkQueue).await?;
        let begun = Instant::now();
        let consumers = create(bench, &stream, count).await?;
        let created = ms(begun.elapsed());
        // The second client is only of interest where the first one's cost is highest.
        let clients = if CONSUMERS.ends_with(&[count]) {
            &CLIENTS[..]
        } else {
            &CLIENTS[..1]
        };
        for &(name, client) in clients {
            for expires in EXPIRES {
                let idle = once(bench, &consumers, client, expires).await?;
                table.row([
                    count.to_string(),
                    created.clone(),
                    name.into(),
                    expires.as_secs().to_string(),
                    format!("{:.1}", idle.server),
                    format!("{:.1}", idle.client),
                    mib(resident(bench.pid())?),
                    ms(idle.delivery),
                ]);
            }
        }
    }
    table.print();
    Ok(())
}

struct Idle {
    server: f64,
    client: f64,
    delivery: Duration,
}

async fn create(bench: &Bench, stream: &Stream, count: usize) -> anyhow::Result<Vec<PullConsumer>> {
    stream::iter(0..count)
        .map(|number| async move { bench.consumer(stream, &subject(number)).await })
        .buffered(16)
        .try_collect()
        .await
}

fn subject(number: usize) -> String {
    format!("jobs.m.1.batch.{number}")
}

async fn once(bench: &Bench, consumers: &[PullConsumer], client: Client, expires: Duration) -> anyhow::Result<Idle> {
    let (delivered, mut deliveries) = mpsc::channel(16);
    let mut pullers = JoinSet::new();
    match client {
        Client::Batch => {
            for consumer in consumers {
                pullers.spawn(stand(consumer.clone(), expires, delivered.clone()));
            }
        }
        Client::SharedInbox => {
            pullers.spawn(stand_for_all(
                bench.connect().await?.client(),
                consumers.len(),
                expires,
                delivered,
            ));
        }
    }
    // All pulls stand, and the first ones that are short have been renewed.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut servers = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..rounds(bench, expires) {
        let (server, client) = (Meter::start(bench.pid())?, Meter::start(std::process::id())?);
        tokio::time::sleep(expires.max(Duration::from_secs(3))).await;
        servers.push(server.percent()?);
        clients.push(client.percent()?);
    }
    let delivery = deliver(bench, consumers.len(), &mut deliveries).await?;
    pullers.shutdown().await;
    // The server drops a pull whose reply nobody listens to; a flush makes sure that it knows.
    bench.js.client().flush().await?;
    Ok(Idle {
        server: median(&servers).context("no rounds")?,
        client: median(&clients).context("no rounds")?,
        delivery,
    })
}

/// A span of 30 s holds every pull's renewal once: further rounds would show the same.
fn rounds(bench: &Bench, expires: Duration) -> usize {
    if expires > Duration::from_secs(10) {
        1
    } else {
        bench.rounds
    }
}

async fn stand(consumer: PullConsumer, expires: Duration, delivered: mpsc::Sender<Instant>) -> anyhow::Result<()> {
    loop {
        // A message ends the pull of one at once.
        for message in pull_once(&consumer, 1, expires).await? {
            delivered.send(Instant::now()).await?;
            message.ack().await.map_err(anyhow::Error::from_boxed)?;
        }
    }
}

async fn stand_for_all(
    client: async_nats::Client,
    consumers: usize,
    expires: Duration,
    delivered: mpsc::Sender<Instant>,
) -> anyhow::Result<()> {
    let inbox = client.new_inbox();
    let mut replies = client.subscribe(format!("{inbox}.*")).await?;
    let pull = serde_json::json!({"batch": 1, "expires": expires.as_nanos() as u64}).to_string();
    let renew = async |number: usize| {
        let durable = subject(number).replace('.', "-");
        let to = format!("$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{durable}");
        client
            .publish_with_reply(to, format!("{inbox}.{number}"), pull.clone().into())
            .await
    };
    for number in 0..consumers {
        renew(number).await?;
    }
    while let Some(reply) = replies.next().await {
        if let (None, Some(ack)) = (reply.status, &reply.reply) {
            delivered.send(Instant::now()).await?;
            client.publish(ack.clone(), "+ACK".into()).await?;
        }
        let number = reply.subject.rsplit('.').next().context("no number")?.parse()?;
        renew(number).await?;
    }
    Ok(())
}

/// The time from a publish on one of the subjects to the delivery, one at a time.
async fn deliver(
    bench: &Bench,
    consumers: usize,
    deliveries: &mut mpsc::Receiver<Instant>,
) -> anyhow::Result<Duration> {
    let body = bytes_of(JOB_BYTES);
    let mut latencies = Vec::with_capacity(SAMPLES);
    for sample in 0..SAMPLES {
        // A step that shares no factor with the number of consumers visits them in no order of theirs.
        let number = sample * 37 % consumers;
        let begun = Instant::now();
        bench.js.publish(subject(number), body.clone().into()).await?.await?;
        let delivered = tokio::time::timeout(Duration::from_secs(10), deliveries.recv()).await?;
        latencies.push(delivered.context("all pullers have ended")?.duration_since(begun));
    }
    median(&latencies).context("no samples")
}
