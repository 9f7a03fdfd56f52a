//! The connection to Redis: every call has a time limit, and a lost connection comes back by itself.

use std::{future::Future, time::Duration};

use gristmill_schemas::Span;
use redis::{
    Client, FromRedisValue, Pipeline, RedisError, RedisResult,
    aio::{ConnectionManager, ConnectionManagerConfig},
};

/// Where the store is and how long it keeps outcomes.
#[derive(Debug, Clone, clap::Args)]
pub struct StoreArgs {
    /// The Redis server
    #[arg(
        long,
        env = "GRISTMILL_REDIS_URL",
        default_value = "redis://127.0.0.1:6379",
        value_name = "URL"
    )]
    pub redis_url: String,
    /// How long outcomes and lineage are kept; longer than any deadline
    #[arg(long, env = "GRISTMILL_RETENTION", default_value = "24h", value_name = "TIME")]
    pub retention: Span,
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
const RECONNECT_DELAYS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

/// The connection; clones share it.
#[derive(Clone)]
pub struct Store {
    connection: ConnectionManager,
    client: Client,
    retention: Duration,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("retention", &self.retention)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Prepares the connection; it is made by the first call, and again whenever it was lost.
    ///
    /// # Errors
    /// The URL cannot be read.
    pub fn connect(args: &StoreArgs) -> Result<Self, StoreError> {
        let client = Client::open(args.redis_url.as_str()).map_err(|error| translate(&error))?;
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
            retention: args.retention.as_duration(),
        })
    }

    /// How long outcomes are kept.
    #[must_use]
    pub const fn retention(&self) -> Duration {
        self.retention
    }

    /// Asks whether it is there.
    ///
    /// # Errors
    /// It is not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut connection = self.connection.clone();
        limited(async move { redis::cmd("PING").query_async::<String>(&mut connection).await })
            .await
            .map(drop)
    }

    /// Whether it takes writes now: one that has no memory left still answers.
    pub async fn writable(&self) -> bool {
        let mut command = redis::cmd("SET");
        command.arg("gm:writable").arg(1).arg("PX").arg(1000);
        self.command::<String>(&command).await.is_ok()
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Runs one pipeline.
    pub(crate) async fn query<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, StoreError> {
        let mut connection = self.connection.clone();
        limited(pipeline.query_async(&mut connection)).await
    }

    /// Runs one command.
    pub(crate) async fn command<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, StoreError> {
        let mut connection = self.connection.clone();
        limited(command.query_async(&mut connection)).await
    }
}

async fn limited<T>(call: impl Future<Output = RedisResult<T>>) -> Result<T, StoreError> {
    match tokio::time::timeout(CALL_LIMIT, call).await {
        Ok(answer) => answer.map_err(|error| translate(&error)),
        Err(_) => Err(StoreError::Unavailable(format!("no answer within {CALL_LIMIT:?}"))),
    }
}

/// Says what an error means to a caller. It never quotes the command, which may hold a tenant's data.
pub(crate) fn translate(error: &RedisError) -> StoreError {
    match error.code() {
        Some("OOM") => StoreError::Full("OOM".to_owned()),
        Some(code) => StoreError::Unavailable(code.to_owned()),
        None => StoreError::Unavailable(error.to_string()),
    }
}
