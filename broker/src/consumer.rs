//! The durable pull consumers: one a queue (model, version, lane, tenant group).

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use futures_util::StreamExt;
use gristmill_schemas::subject::{Queue, STREAM};

use crate::{
    delivery::Delivery,
    nats::{Broker, BrokerError},
};

/// Envelopes of one queue that all workers together may hold unacked.
const MAX_ACK_PENDING: i64 = 4096;
/// Standing pulls of one queue over all workers.
const MAX_WAITING: i64 = 2048;
/// What the network may add to a pull's own time before it is given up.
const PULL_SLACK: Duration = Duration::from_secs(2);

/// One queue's consumer.
#[derive(Debug, Clone)]
pub struct QueueConsumer {
    consumer: PullConsumer,
    broker: Broker,
}

impl Broker {
    /// Makes the queue's durable consumer, or takes the one that is there. Attempts, back-off and expiry are ours: the
    /// broker delivers for ever, whenever `ack_wait` passes without a sign of life.
    ///
    /// # Errors
    /// JetStream does not answer, or refuses.
    pub async fn consumer(&self, queue: &Queue, ack_wait: Duration) -> Result<QueueConsumer, BrokerError> {
        let config = pull::Config {
            durable_name: Some(queue.consumer()),
            filter_subject: queue.subject(),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ack_wait,
            max_deliver: -1,
            max_ack_pending: MAX_ACK_PENDING,
            max_waiting: MAX_WAITING,
            ..pull::Config::default()
        };
        let consumer = self.jetstream.create_consumer_on_stream(config, STREAM).await;
        let consumer = consumer.map_err(|error| BrokerError::JetStream(error.to_string()))?;
        Ok(QueueConsumer {
            consumer,
            broker: self.clone(),
        })
    }
}

impl QueueConsumer {
    /// Stands in the queue for up to `max` envelopes or until the time is over, and hands each to `take` as it comes. A
    /// connection that is lost or made anew ends it at once: the server has forgotten the pull.
    ///
    /// # Errors
    /// The pull could not be sent.
    pub async fn pull(&self, max: usize, expires: Duration, mut take: impl FnMut(Delivery)) -> Result<(), BrokerError> {
        let mut link = self.broker.link.clone();
        // what is asked for while there is no connection would be sent with the next one, when nobody listens any more:
        // its messages would be lost until their ack_wait has passed
        let connected = tokio::time::timeout(expires, link.wait_for(|link| link.up)).await;
        let Ok(Ok(generation)) = connected.map(|link| link.map(|link| link.generation)) else {
            return Ok(());
        };
        let pulled = async {
            let batch = self
                .consumer
                .batch()
                .max_messages(max)
                .expires(expires)
                .messages()
                .await;
            let mut batch = batch.map_err(|error| BrokerError::JetStream(error.to_string()))?;
            while let Some(message) = batch.next().await {
                match message {
                    Ok(message) => drop(Delivery::new(message).map(&mut take)),
                    Err(error) => return Err(BrokerError::JetStream(error.to_string())),
                }
            }
            Ok(())
        };
        tokio::select! {
            // what has arrived is taken, even if the connection is gone by now
            biased;
            pulled = tokio::time::timeout(expires + PULL_SLACK, pulled) => pulled.unwrap_or(Ok(())),
            _ = link.wait_for(|link| !link.up || link.generation != generation) => Ok(()),
        }
    }
}
