//! The stream's envelopes as they lie there, read one by one without a consumer: who looks takes nothing from anybody.

use std::time::{Duration, SystemTime};

use async_nats::jetstream::{ErrorCode, stream};
use bytes::Bytes;
use gristmill_schemas::{Timestamp, subject};

use crate::nats::{Broker, BrokerError};

/// The longest wait for one answer.
const READ_LIMIT: Duration = Duration::from_secs(5);

/// An envelope that waits on the stream.
#[derive(Debug, Clone)]
pub struct WaitingEnvelope {
    /// Where it lies.
    pub sequence: u64,
    /// When the stream stored it, by the broker's clock.
    pub published_at: Timestamp,
    /// The encoded envelope.
    pub payload: Bytes,
}

/// Looks at the stream. Clones share the connection.
#[derive(Debug, Clone)]
pub struct Backlog {
    broker: Broker,
}

impl Backlog {
    /// On this connection.
    #[must_use]
    pub fn new(broker: &Broker) -> Self {
        Self { broker: broker.clone() }
    }

    /// The first envelope at a sequence or behind it; `None` if there is none.
    ///
    /// # Errors
    /// JetStream does not answer.
    pub async fn from(&self, sequence: u64) -> Result<Option<WaitingEnvelope>, BrokerError> {
        let stream = self.stream().await?;
        read(stream.get_first_raw_message_by_subject(subject::WILDCARD, sequence)).await
    }

    /// The envelope at a sequence; `None` once it is acked or deleted.
    ///
    /// # Errors
    /// JetStream does not answer.
    pub async fn at(&self, sequence: u64) -> Result<Option<WaitingEnvelope>, BrokerError> {
        let stream = self.stream().await?;
        read(stream.get_raw_message(sequence)).await
    }

    /// Takes an envelope off the stream, all of whose jobs have ended; one that is gone already is as good. A worker that
    /// holds it at that moment is not disturbed: its signs of life and its later ack or nak change nothing, and without
    /// any of them the consumer drops it at the end of `ack_wait` and delivers what comes next (nats-server 2.15).
    ///
    /// # Errors
    /// JetStream does not answer.
    pub async fn delete(&self, sequence: u64) -> Result<(), BrokerError> {
        let stream = self.stream().await?;
        match tokio::time::timeout(READ_LIMIT, stream.delete_message(sequence)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if is_gone(&error.kind()) => Ok(()),
            Ok(Err(error)) => Err(BrokerError::JetStream(error.to_string())),
            Err(_) => Err(silent()),
        }
    }

    /// How full the stream is: the larger of its shares of bytes and of messages, 0 without limits.
    ///
    /// # Errors
    /// JetStream does not answer.
    pub async fn fullness(&self) -> Result<f64, BrokerError> {
        let stream = self.stream().await?;
        let info = match tokio::time::timeout(READ_LIMIT, stream.get_info()).await {
            Ok(info) => info.map_err(|error| BrokerError::JetStream(error.to_string()))?,
            Err(_) => return Err(silent()),
        };
        let share = |used: u64, limit: i64| if limit > 0 { used as f64 / limit as f64 } else { 0.0 };
        let (state, config) = (info.state, info.config);
        Ok(share(state.bytes, config.max_bytes).max(share(state.messages, config.max_messages)))
    }

    async fn stream(&self) -> Result<stream::Stream<()>, BrokerError> {
        let stream = self.broker.jetstream.get_stream_no_info(subject::STREAM).await;
        stream.map_err(|error| BrokerError::JetStream(error.to_string()))
    }
}

/// Whether an error only says that there is no such message, in one of the server's two ways: what was there when it looked
/// may be gone when it deletes (nats-server 2.15), and that has no code of its own.
fn is_gone(kind: &stream::DeleteMessageErrorKind) -> bool {
    let stream::DeleteMessageErrorKind::JetStream(error) = kind else {
        return false;
    };
    match error.error_code() {
        ErrorCode::SEQUENCE_NOT_FOUND => true,
        ErrorCode::STREAM_MESSAGE_DELETE_FAILED => error.to_string().contains("no message found"),
        _ => false,
    }
}

fn silent() -> BrokerError {
    BrokerError::JetStream(format!("no answer within {READ_LIMIT:?}"))
}

async fn read(
    message: impl Future<Output = Result<async_nats::jetstream::message::StreamMessage, stream::RawMessageError>>,
) -> Result<Option<WaitingEnvelope>, BrokerError> {
    match tokio::time::timeout(READ_LIMIT, message).await {
        Ok(Ok(message)) => Ok(Some(WaitingEnvelope {
            sequence: message.sequence,
            published_at: SystemTime::from(message.time).into(),
            payload: message.payload,
        })),
        Ok(Err(error)) if is_absence(&error) => Ok(None),
        Ok(Err(error)) => Err(BrokerError::JetStream(error.to_string())),
        Err(_) => Err(silent()),
    }
}

/// Whether an error only says that there is no such message.
pub(crate) fn is_absence(error: &stream::RawMessageError) -> bool {
    let source = std::error::Error::source(error);
    let code = source.and_then(|source| source.downcast_ref::<async_nats::jetstream::Error>());
    let code = code.map(async_nats::jetstream::Error::error_code);
    error.kind() == stream::LastRawMessageErrorKind::NoMessageFound || code == Some(ErrorCode::NO_MESSAGE_FOUND)
}
