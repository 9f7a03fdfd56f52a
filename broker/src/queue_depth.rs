//! How much waits in one queue, and how much has left it, as its consumer counts. What follows from that is the reader's
//! business.

use gristmill_schemas::subject::{Queue, STREAM};

use crate::nats::{Broker, BrokerError};

/// A queue's counts at one moment, in envelopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueDepth {
    /// Envelopes that are not acked: nobody has them yet, or a worker does.
    pub waiting: u64,
    /// Deliveries that are over. It only grows while the consumer lives; an envelope that was delivered twice counts twice.
    pub settled: u64,
}

impl Broker {
    /// The counts of a queue; `None` as long as no worker has made its consumer.
    ///
    /// # Errors
    /// JetStream does not answer.
    pub async fn queue_depth(&self, queue: &Queue) -> Result<Option<QueueDepth>, BrokerError> {
        let words = |error: &dyn std::fmt::Display| BrokerError::JetStream(error.to_string());
        let stream = self
            .jetstream
            .get_stream_no_info(STREAM)
            .await
            .map_err(|error| words(&error))?;
        let info = match stream.consumer_info(queue.consumer()).await {
            Ok(info) => info,
            Err(error) if error.kind() == async_nats::jetstream::context::ConsumerInfoErrorKind::NotFound => {
                return Ok(None);
            }
            Err(error) => return Err(words(&error)),
        };
        let held = info.num_ack_pending as u64;
        Ok(Some(QueueDepth {
            waiting: info.num_pending + held,
            settled: info.delivered.consumer_sequence.saturating_sub(held),
        }))
    }
}
