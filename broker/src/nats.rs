//! The connection to NATS and the stream on it.

use std::time::Duration;

use async_nats::{
    ConnectOptions, Event, ServerAddr,
    jetstream::{self, stream},
};
use gristmill_schemas::subject;
use tokio::sync::watch;

use crate::{clock::BrokerClock, metrics, server_url::ServerUrl};

/// Where the broker is.
#[derive(Debug, Clone, clap::Args)]
pub struct NatsArgs {
    /// The NATS server, or several with commas between; or @FILE that holds it
    #[arg(
        long,
        env = "GRISTMILL_NATS_URL",
        default_value = "nats://127.0.0.1:4222",
        value_name = "URL"
    )]
    pub nats_url: ServerUrl,
}

/// What the stream is to be: said by ingests alone, since the last one to say it has it so.
#[derive(Debug, Clone, clap::Args)]
pub struct StreamArgs {
    /// The most bytes that waiting jobs may take on the stream; past it submissions are refused
    #[arg(long, env = "GRISTMILL_STREAM_MAX_BYTES", default_value_t = 4 << 30, value_name = "BYTES")]
    pub stream_max_bytes: i64,
    /// Copies of the stream in a NATS cluster: 1, 3 or 5
    #[arg(long, env = "GRISTMILL_STREAM_REPLICAS", default_value_t = 1, value_name = "N")]
    pub stream_replicas: usize,
}

/// What can go wrong with the broker outside of a publish.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The URL cannot be read.
    #[error("the URL of NATS cannot be read: {0}")]
    Url(String),
    /// What the server said at the connection.
    #[error("NATS cannot be reached: {0}")]
    Connect(#[from] async_nats::ConnectError),
    /// JetStream does not answer, or refuses.
    #[error("JetStream: {0}")]
    JetStream(String),
    /// The connection has ended.
    #[error("NATS: {0}")]
    Subscribe(String),
}

/// The connection. It reconnects by itself for ever; clones share it.
#[derive(Clone, Debug)]
pub struct Broker {
    pub(crate) jetstream: jetstream::Context,
    pub(crate) link: watch::Receiver<Link>,
    clock: BrokerClock,
}

/// How the connection stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) up: bool,
    /// Counts connections: what was asked for on an earlier one will not be answered.
    pub(crate) generation: u64,
}

/// Notices a dead peer after two of these.
const PING_INTERVAL: Duration = Duration::from_secs(3);
/// The longest pause between two attempts to connect.
const MAX_RECONNECT_DELAY: Duration = Duration::from_secs(1);
/// The longest wait for an answer of JetStream's API.
const API_TIMEOUT: Duration = Duration::from_secs(5);

impl Broker {
    /// Connects, or begins to: an unreachable server is retried in the background, so that processes may start in any
    /// order. [`Self::ensure_stream`] and [`Self::find_stream`] tell when it is there.
    ///
    /// # Errors
    /// The URL cannot be read.
    pub async fn connect(args: &NatsArgs) -> Result<Self, BrokerError> {
        let (changes, link) = watch::channel(Link::default());
        let options = options(&args.nats_url)?.name("gristmill").event_callback(move |event| {
            observe(&event, &changes);
            std::future::ready(())
        });
        let client = options
            .connect(args.nats_url.reveal().split(',').collect::<Vec<_>>())
            .await?;
        let jetstream = jetstream::new(client);
        let clock = BrokerClock::start(jetstream.clone(), link.clone());
        Ok(Self { jetstream, link, clock })
    }

    /// Makes the stream what it is to be, and learns the broker's time.
    ///
    /// # Errors
    /// JetStream does not answer within a few seconds, or a stream of that name has settings that cannot be changed.
    pub async fn ensure_stream(&self, args: &StreamArgs) -> Result<(), BrokerError> {
        let words = |error: &dyn std::fmt::Display| BrokerError::JetStream(error.to_string());
        let wanted = stream_config(args);
        self.jetstream
            .create_or_update_stream(wanted)
            .await
            .map_err(|error| words(&error))?;
        self.clock.sample().await
    }

    /// Looks whether an ingest has made the stream, and learns the broker's time.
    ///
    /// # Errors
    /// It is not there, or JetStream does not answer within a few seconds.
    pub async fn find_stream(&self) -> Result<(), BrokerError> {
        self.clock.sample().await
    }

    /// How the broker stood a few seconds ago at most: connected, JetStream answering, the stream there.
    ///
    /// # Errors
    /// What is wrong, in words for an operator.
    pub fn health(&self) -> Result<(), String> {
        if self.is_connected() {
            self.clock.trouble().map_or(Ok(()), Err)
        } else {
            Err("not connected".to_owned())
        }
    }

    /// Waits, within a limit, until all that was sent has left this process: acks are sent without a confirmation.
    pub async fn flush(&self, limit: Duration) {
        if !matches!(
            tokio::time::timeout(limit, self.jetstream.client().flush()).await,
            Ok(Ok(()))
        ) {
            tracing::warn!("the last acks may not have reached the broker; their envelopes will come again");
        }
    }

    /// The broker's clock as this process knows it.
    #[must_use]
    pub fn clock(&self) -> BrokerClock {
        self.clock.clone()
    }

    /// Whether the connection is up now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.link.borrow().up
    }

    /// The id of the server at the other end, another one after each of its restarts.
    pub(crate) fn server_id(&self) -> String {
        self.jetstream.client().server_info().server_id
    }

    /// How many connections there were so far: another number, and the server may be another one, or restarted.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.link.borrow().generation
    }

    /// The largest message the server takes, in bytes.
    #[must_use]
    pub fn max_payload(&self) -> usize {
        self.jetstream.client().max_payload()
    }
}

/// A connection with nothing of ours on it: for measurements and for tests.
///
/// # Errors
/// The URL cannot be read.
pub async fn bare(url: &str) -> Result<async_nats::Client, BrokerError> {
    let url = ServerUrl::new(url.to_owned());
    let connecting = options(&url)?.connect(url.reveal().split(',').collect::<Vec<_>>());
    Ok(Box::pin(connecting).await?)
}

/// How every connection of ours behaves. An unreachable server is retried in the background, for ever. Who it is stands in
/// the first of the URLs, and inboxes are its own: a user that may listen to no others can still be answered.
pub(crate) fn options(url: &ServerUrl) -> Result<ConnectOptions, BrokerError> {
    let first = url.reveal().split(',').next().unwrap_or_default();
    let server: ServerAddr = first
        .parse()
        .map_err(|error: std::io::Error| BrokerError::Url(error.to_string()))?;
    let options = match (server.username(), server.password()) {
        (Some(user), Some(password)) => {
            let user = plain(user);
            let inbox = format!("_INBOX.{user}");
            let options = ConnectOptions::with_user_and_password(user, plain(password));
            match is_token(&inbox) {
                true => options.custom_inbox_prefix(inbox),
                false => options,
            }
        }
        (Some(token), None) => ConnectOptions::with_token(plain(token)),
        (None, _) => ConnectOptions::new(),
    };
    let options = options
        .ping_interval(PING_INTERVAL)
        .connection_timeout(API_TIMEOUT)
        .request_timeout(Some(API_TIMEOUT))
        .retry_on_initial_connect()
        .reconnect_delay_callback(|attempt| {
            MAX_RECONNECT_DELAY.min(Duration::from_millis(50 * u64::try_from(attempt).unwrap_or(20)))
        });
    Ok(options)
}

/// Whether a subject can begin with it.
fn is_token(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'*' | b'>'))
        && !text.ends_with('.')
}

/// What stands percent-encoded in a URL.
fn plain(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

fn observe(event: &Event, changes: &watch::Sender<Link>) {
    match event {
        Event::Connected => {
            tracing::info!("connected to NATS");
            changes.send_modify(|link| {
                *link = Link {
                    up: true,
                    generation: link.generation + 1,
                }
            });
        }
        Event::Disconnected => {
            tracing::warn!("connection to NATS lost");
            metrics::connections_lost("nats").increment(1);
            changes.send_modify(|link| link.up = false);
        }
        other => tracing::warn!(event = %other, "NATS"),
    }
}

/// Work queue: an acked envelope is gone, so the stream's size is the backlog (docs/adr/0001-stream-layout.md). No age
/// limit: what would vanish by age would vanish without an outcome.
fn stream_config(args: &StreamArgs) -> stream::Config {
    stream::Config {
        name: subject::STREAM.to_owned(),
        description: Some("Accepted jobs that are not settled yet".to_owned()),
        subjects: vec![subject::WILDCARD.to_owned()],
        retention: stream::RetentionPolicy::WorkQueue,
        storage: stream::StorageType::File,
        discard: stream::DiscardPolicy::New,
        max_bytes: args.stream_max_bytes,
        num_replicas: args.stream_replicas,
        ..stream::Config::default()
    }
}
