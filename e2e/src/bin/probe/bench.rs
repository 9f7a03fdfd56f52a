//! The bench: one nats-server, one connection, fresh streams and consumers on demand.

use gristmill_broker::nats::bare;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType, Stream};
use async_nats::jetstream::{self, Context};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gristmill_servers::{Durability, Nats, NatsOptions};
use tempfile::TempDir;

/// The stream that every measurement makes anew.
pub(crate) const STREAM: &str = "PROBE";

/// A server of our own, gone with all its data at the end.
pub(crate) struct Bench {
    /// JetStream over the first connection.
    pub(crate) js: Context,
    /// Rounds of each case.
    pub(crate) rounds: usize,
    nats: Nats,
    dir: TempDir,
}

impl Bench {
    /// Starts nats-server with its data in a new folder under `parent`.
    pub(crate) async fn start(binary: &Path, parent: &Path, rounds: usize) -> anyhow::Result<Self> {
        std::fs::create_dir_all(parent)?;
        let dir = TempDir::with_prefix_in("probe-", parent.canonicalize()?)?;
        let binary = binary
            .canonicalize()
            .with_context(|| format!("no nats-server at {}", binary.display()))?;
        let options = NatsOptions::new(binary, dir.path().join("nats"), Durability::PowerLoss);
        let nats = Nats::start(options).await?;
        let js = connect(&nats).await?;
        Ok(Self { js, rounds, nats, dir })
    }

    /// A further connection.
    pub(crate) async fn connect(&self) -> anyhow::Result<Context> {
        connect(&self.nats).await
    }

    /// The server's process.
    pub(crate) fn pid(&self) -> u32 {
        self.nats.pid()
    }

    /// Where the server keeps its streams.
    pub(crate) fn store(&self) -> PathBuf {
        self.dir.path().join("nats/jetstream")
    }

    /// Ends the server.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.nats.stop().await?;
        Ok(())
    }

    /// An empty stream on `jobs.>`, in place of the one before.
    pub(crate) async fn stream(&self, retention: RetentionPolicy) -> anyhow::Result<Stream> {
        if self.js.get_stream(STREAM).await.is_ok() {
            self.js.delete_stream(STREAM).await?;
        }
        let config = Config {
            name: STREAM.into(),
            subjects: vec!["jobs.>".into()],
            storage: StorageType::File,
            discard: DiscardPolicy::New,
            max_bytes: 6 << 30,
            retention,
            allow_atomic_publish: true,
            ..Config::default()
        };
        Ok(self.js.create_stream(config).await?)
    }

    /// A durable consumer of one subject with explicit acks and no bound on what is unacknowledged.
    pub(crate) async fn consumer(&self, stream: &Stream, subject: &str) -> anyhow::Result<PullConsumer> {
        let config = pull::Config {
            durable_name: Some(subject.replace('.', "-")),
            filter_subject: subject.into(),
            ack_policy: AckPolicy::Explicit,
            ack_wait: Duration::from_secs(300),
            max_ack_pending: -1,
            max_waiting: 4096,
            ..pull::Config::default()
        };
        Ok(stream.create_consumer(config).await?)
    }

    /// Fills a stream with `count` messages of `size` bytes, round robin over `subjects`.
    pub(crate) async fn fill(&self, subjects: &[String], count: usize, size: usize) -> anyhow::Result<()> {
        let body = bytes_of(size);
        let publishes = (0..count).map(|i| {
            let subject = subjects[i % subjects.len()].clone();
            let body = body.clone();
            Ok(async move {
                self.js
                    .publish(subject, body.into())
                    .await?
                    .await
                    .map_err(anyhow::Error::from)
            })
        });
        stream::iter(publishes)
            .try_buffer_unordered(512)
            .try_for_each(|_| async { Ok(()) })
            .await
    }
}

async fn connect(nats: &Nats) -> anyhow::Result<Context> {
    let mut js = jetstream::new(bare(&nats.url()).await?);
    js.set_timeout(Duration::from_secs(60));
    Ok(js)
}

/// A body of `size` bytes that does not compress to nothing.
pub(crate) fn bytes_of(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
    .take(size)
    .collect()
}

/// What one pull of at most `count` brings within `expires`.
pub(crate) async fn pull_once(
    consumer: &PullConsumer,
    count: usize,
    expires: Duration,
) -> anyhow::Result<Vec<jetstream::Message>> {
    let mut batch = consumer.batch().max_messages(count).expires(expires).messages().await?;
    let mut messages = Vec::with_capacity(count);
    while let Some(message) = batch.next().await {
        messages.push(message.map_err(anyhow::Error::from_boxed)?);
    }
    Ok(messages)
}

/// Acknowledges without waiting for a confirmation, as the workers do.
pub(crate) async fn ack_all(messages: &[jetstream::Message]) -> anyhow::Result<()> {
    for message in messages {
        message.ack().await.map_err(anyhow::Error::from_boxed)?;
    }
    Ok(())
}
