//! The servers of one test, and the one way to wait.

use gristmill_broker::nats::bare;
use std::{future::Future, time::Duration};

use clap::Parser;
use gristmill_broker::{
    Broker, Delivery, NatsArgs, Publisher, PublisherArgs, QueueConsumer, Store, StoreArgs, StreamArgs,
};
use gristmill_schemas::{
    Envelope, Job, JobId,
    subject::{Queue, STREAM, TenantGroup},
};
use gristmill_servers::{Binaries, Durability, Nats, NatsOptions, Redis, RedisOptions};
use gristmill_telemetry::Shutdown;
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;

/// Bounds every wait of these tests; reaching it is a failure.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Waits for a future, at most until the deadline.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// Waits until a condition holds, at most until the deadline.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    within(what, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[derive(Parser)]
struct BrokerFlags {
    #[command(flatten)]
    nats: NatsArgs,
    #[command(flatten)]
    stream: StreamArgs,
    #[command(flatten)]
    publisher: PublisherArgs,
}

#[derive(Parser)]
struct StoreFlags {
    #[command(flatten)]
    store: StoreArgs,
}

/// A nats-server with our stream, and a client of it.
pub(crate) struct BrokerBench {
    pub(crate) server: Nats,
    pub(crate) broker: Broker,
    pub(crate) publisher: Publisher,
    pub(crate) shutdown: Shutdown,
    _dir: TempDir,
}

impl BrokerBench {
    /// With more flags of broker and publisher than the URL.
    pub(crate) async fn start(flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = NatsOptions::new(Binaries::locate_nats().unwrap(), dir.path(), Durability::PowerLoss);
        let server = Nats::start(options).await.unwrap();
        let url = server.url();
        let flags = BrokerFlags::parse_from(["test", "--nats-url", &url].iter().chain(flags));
        let broker = Broker::connect(&flags.nats).await.unwrap();
        within("the stream", broker.ensure_stream(&flags.stream)).await.unwrap();
        let shutdown = Shutdown::new();
        let publisher = Publisher::start(&broker, flags.publisher, &shutdown);
        Self {
            server,
            broker,
            publisher,
            shutdown,
            _dir: dir,
        }
    }

    /// The consumer of a job's queue.
    pub(crate) async fn consumer(&self, job: &Job, ack_wait: Duration) -> QueueConsumer {
        within("a consumer", self.broker.consumer(&queue_of(job), ack_wait))
            .await
            .unwrap()
    }

    /// What the consumer of a job's queue has yet to deliver, and what it has delivered without an end.
    pub(crate) async fn pending(&self, job: &Job) -> (u64, usize) {
        let client = bare(&self.server.url()).await.unwrap();
        let stream = async_nats::jetstream::new(client).get_stream(STREAM).await.unwrap();
        let info = stream.consumer_info(queue_of(job).consumer()).await.unwrap();
        (info.num_pending, info.num_ack_pending)
    }

    /// How many envelopes the stream holds.
    pub(crate) async fn envelopes(&self) -> u64 {
        let client = bare(&self.server.url()).await.unwrap();
        let stream = async_nats::jetstream::new(client).get_stream(STREAM).await;
        stream.unwrap().get_info().await.unwrap().state.messages
    }
}

fn queue_of(job: &Job) -> Queue {
    Queue {
        model: job.model.clone(),
        version: job.version.clone(),
        lane: job.lane,
        group: TenantGroup::of(&job.tenant),
    }
}

/// The next delivery of a queue.
pub(crate) async fn next(consumer: &QueueConsumer) -> Delivery {
    let mut next = None;
    within("a delivery", async {
        while next.is_none() {
            let pulled = consumer.pull(1, Duration::from_secs(5), |delivery| next = Some(delivery));
            pulled.await.unwrap();
        }
    })
    .await;
    next.unwrap()
}

/// The ids in an envelope.
pub(crate) fn ids(delivery: &Delivery) -> Vec<JobId> {
    let envelope = Envelope::decode(delivery.payload()).unwrap();
    envelope.jobs.iter().map(|job| job.id).collect()
}

/// A redis-server, and a client of it.
pub(crate) struct StoreBench {
    pub(crate) server: Redis,
    pub(crate) store: Store,
    _dir: TempDir,
}

impl StoreBench {
    pub(crate) async fn start() -> Self {
        Self::with_memory(1 << 30).await
    }

    /// With so many bytes for its data.
    pub(crate) async fn with_memory(bytes: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = RedisOptions::new(Binaries::locate_redis().unwrap(), dir.path(), Durability::PowerLoss);
        options.max_memory = bytes;
        let server = Redis::start(options).await.unwrap();
        let store = store_at(&server.url());
        Self {
            server,
            store,
            _dir: dir,
        }
    }

    /// A client of our own choice beside the store.
    pub(crate) async fn raw(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.server.url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    /// The answer to a command, words with spaces between.
    pub(crate) async fn ask<T: redis::FromRedisValue>(&self, command: &str) -> T {
        let mut words = command.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        command.arg(words.collect::<Vec<_>>());
        command.query_async(&mut self.raw().await).await.unwrap()
    }
}

/// A store at a URL, connected when it is first used.
pub(crate) fn store_at(url: &str) -> Store {
    Store::connect(&StoreFlags::parse_from(["test", "--redis-url", url]).store).unwrap()
}
