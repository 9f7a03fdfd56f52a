//! The connection to Redis: every call has a time limit, and a lost connection comes back by itself.

use std::{future::Future, time::Duration};

use gristmill_schemas::JobId;
use redis::{
    Client, ErrorKind, FromRedisValue, IntoConnectionInfo, Pipeline, RedisError, RedisResult,
    aio::{ConnectionManager, ConnectionManagerConfig, PubSub},
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};

use crate::{server_url::ServerUrl, store_clock::StoreClock};

/// Where the store is.
#[derive(Debug, Clone, clap::Args)]
pub struct StoreArgs {
    /// The Redis server; or @FILE that holds its URL
    #[arg(
        long,
        env = "GRISTMILL_REDIS_URL",
        default_value = "redis://127.0.0.1:6379",
        value_name = "URL"
    )]
    pub redis_url: ServerUrl,
}

/// Why the store could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, or did not answer in time: a write may have been done all the same.
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
    /// It has no memory left for a write.
    #[error("the store has no room: {0}")]
    Full(String),
    /// It holds something that this build cannot read.
    #[error("the store holds what cannot be read: {0}")]
    Unreadable(String),
    /// A key that has signed job ids is missing here, or is another one than it was.
    #[error("job id key {0} has signed ids before and is missing or differs here: those ids could not be verified")]
    LostKey(u8),
}

/// The longest wait for one call, reconnection included.
const CALL_LIMIT: Duration = Duration::from_secs(4);
/// The longest wait for an answer on a connection that is up.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(3);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a host that has vanished is believed in: neither a response time-out nor an idle subscription would end its
/// connection.
const SILENCE_LIMIT: Duration = Duration::from_secs(5);
const RECONNECT_DELAYS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

/// The connection; clones share it.
#[derive(Clone)]
pub struct Store {
    connection: ConnectionManager,
    client: Client,
    url: ServerUrl,
    clock: StoreClock,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Store {
    /// Prepares the connection; it is made by the first call, and again whenever it was lost.
    ///
    /// # Errors
    /// The URL cannot be read.
    pub fn connect(args: &StoreArgs) -> Result<Self, StoreError> {
        let client = open(args.redis_url.reveal()).map_err(|error| translate(&error))?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECTION_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_number_of_retries(1)
            .set_min_delay(RECONNECT_DELAYS.0)
            .set_max_delay(RECONNECT_DELAYS.1);
        let connection = ConnectionManager::new_lazy_with_config(client.clone(), config);
        let connection = connection.map_err(|error| translate(&error))?;
        Ok(Self {
            connection,
            client,
            url: args.redis_url.clone(),
            clock: StoreClock::default(),
        })
    }

    /// Its clock.
    pub(crate) const fn clock(&self) -> &StoreClock {
        &self.clock
    }

    /// Where it is, as it may be shown.
    pub(crate) fn url(&self) -> &ServerUrl {
        &self.url
    }

    /// Asks whether it is there.
    ///
    /// # Errors
    /// It is not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.command::<String>(&redis::cmd("PING")).await.map(drop)
    }

    /// Whether it takes writes now: one that has no memory left still answers.
    pub async fn writable(&self) -> bool {
        let mut command = redis::cmd("SET");
        command.arg("gm:writable").arg(1).arg("PX").arg(1000);
        self.command::<String>(&command).await.is_ok()
    }

    /// A connection of its own for hints.
    pub(crate) async fn subscriber(&self) -> RedisResult<PubSub> {
        let connected = tokio::time::timeout(CALL_LIMIT, self.client.get_async_pubsub()).await;
        connected.map_err(|elapsed| std::io::Error::new(std::io::ErrorKind::TimedOut, elapsed))?
    }

    /// Runs one pipeline.
    pub(crate) async fn query<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, StoreError> {
        limited(repeated(|| {
            let mut connection = self.connection.clone();
            async move { pipeline.query_async(&mut connection).await }
        }))
        .await
    }

    /// Runs one pipeline that does harm if it is run twice: an error says that it may have been run.
    pub(crate) async fn query_once<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, StoreError> {
        let mut connection = self.connection.clone();
        limited(async { pipeline.query_async(&mut connection).await }).await
    }

    /// Runs one command.
    pub(crate) async fn command<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, StoreError> {
        limited(repeated(|| {
            let mut connection = self.connection.clone();
            async move { command.query_async(&mut connection).await }
        }))
        .await
    }
}

fn open(url: &str) -> RedisResult<Client> {
    let keepalive = TcpKeepalive::new()
        .with_time(SILENCE_LIMIT)
        .with_interval(Duration::from_secs(1))
        .with_retries(3);
    let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let tcp = tcp.set_user_timeout(SILENCE_LIMIT);
    Client::open(url.into_connection_info()?.set_tcp_settings(tcp))
}

/// How long what is written about a job stays.
pub(crate) fn kept_millis(id: &JobId) -> u64 {
    id.retention().as_duration().as_millis() as u64
}

/// Makes a call, and once more if it found its connection lost: that is how the first call after a restart of the server
/// learns of it. Twice is harmless for what is asked this way: a script passes over what it has done.
async fn repeated<T, C: Future<Output = RedisResult<T>>>(call: impl Fn() -> C) -> RedisResult<T> {
    match call().await {
        Err(error) if error.is_connection_dropped() => call().await,
        answer => answer,
    }
}

async fn limited<T>(calls: impl Future<Output = RedisResult<T>>) -> Result<T, StoreError> {
    match tokio::time::timeout(CALL_LIMIT, calls).await {
        Ok(answer) => answer.map_err(|error| translate(&error)),
        Err(_) => Err(StoreError::Unavailable(format!("no answer within {CALL_LIMIT:?}"))),
    }
}

impl StoreError {
    /// Whether the server answered that it does not know a command, or not for us: no later answer will be another.
    pub(crate) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Unavailable(code) if code == "NOPERM" || code == "ERR")
    }
}

/// Says what an error means to a caller. It never quotes a command or an answer, which may hold a tenant's data.
pub(crate) fn translate(error: &RedisError) -> StoreError {
    if matches!(error.kind(), ErrorKind::UnexpectedReturnType | ErrorKind::Parse) {
        return StoreError::Unreadable("an answer of another type".to_owned());
    }
    // a pipeline's error has none of its own
    let within = error.clone().into_server_errors();
    let code = error.code().or_else(|| Some(within.as_ref()?.first()?.1.code()));
    match code {
        Some("OOM") => StoreError::Full("OOM".to_owned()),
        Some("WRONGTYPE") => StoreError::Unreadable("a key of another type".to_owned()),
        Some(code) => StoreError::Unavailable(code.to_owned()),
        None => StoreError::Unavailable(error.to_string()),
    }
}
