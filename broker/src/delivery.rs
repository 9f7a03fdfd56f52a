//! One attempt at an envelope. It is an obligation: whoever holds it acks it or gives it back.

use std::time::{Duration, SystemTime};

use async_nats::jetstream::{AckKind, Message};
use bytes::Bytes;
use gristmill_schemas::Timestamp;
use gristmill_telemetry::fail_points;

use crate::metrics;

/// A delivered envelope that must be settled. Dropping it unsettled warns and counts, and the broker delivers it again.
#[derive(Debug)]
pub struct Delivery {
    message: Option<Message>,
    published_at: Timestamp,
    count: i64,
}

/// Tells the broker that a delivery is still being worked on; cheap, and independent of the delivery itself.
#[derive(Debug, Clone)]
pub struct InProgress {
    client: async_nats::Client,
    reply: async_nats::Subject,
}

impl InProgress {
    /// Resets the delivery's `ack_wait`. An error would only say that the client is gone.
    pub async fn send(&self) {
        let payload = Bytes::from(AckKind::Progress);
        let _ = self.client.publish(self.reply.clone(), payload).await;
    }
}

impl Delivery {
    /// `None` for a message that did not come from JetStream.
    pub(crate) fn new(message: Message) -> Option<Self> {
        let info = message.info().ok()?;
        let published_at = Timestamp::from(SystemTime::from(info.published));
        let count = info.delivered;
        metrics::deliveries(if count > 1 { "true" } else { "false" }).increment(1);
        if fail_points::is_on("bug-ack-before-commit") {
            let early = message.clone();
            tokio::spawn(async move { early.ack().await });
        }
        Some(Self {
            message: Some(message),
            published_at,
            count,
        })
    }

    fn message(&self) -> &Message {
        self.message
            .as_ref()
            .expect("taken only by the methods that consume the delivery")
    }

    /// The encoded envelope.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.message().payload
    }

    /// Lets go of the encoded envelope: who has decoded it may hold the delivery for long, and needs it once in memory.
    pub fn forget_payload(&mut self) {
        if let Some(message) = &mut self.message {
            message.message.payload = Bytes::new();
        }
    }

    /// When the stream stored it, by the broker's clock.
    #[must_use]
    pub const fn published_at(&self) -> Timestamp {
        self.published_at
    }

    /// Whether it was delivered before, to anybody.
    #[must_use]
    pub const fn is_redelivered(&self) -> bool {
        self.count > 1
    }

    /// A handle that keeps the delivery alive while it is worked on.
    #[must_use]
    pub fn in_progress(&self) -> Option<InProgress> {
        let message = self.message();
        let reply = message.reply.clone()?;
        Some(InProgress {
            client: message.context.client(),
            reply,
        })
    }

    /// All its jobs are terminal: the stream may forget it. Unconfirmed; if it is lost, the claim passes over its jobs.
    pub async fn ack(mut self) {
        self.settle(AckKind::Ack).await;
    }

    /// Gives it back unstarted, for anybody to take after the delay.
    pub async fn nak(mut self, delay: Option<Duration>) {
        self.settle(AckKind::Nak(delay)).await;
    }

    /// It can never be worked on: the stream forgets it.
    pub async fn term(mut self) {
        self.settle(AckKind::Term).await;
    }

    /// Leaves it to a newer attempt that holds the same envelope.
    pub fn abandon(mut self) {
        self.message = None;
    }

    async fn settle(&mut self, kind: AckKind) {
        if let Some(message) = self.message.take()
            && let Err(error) = message.ack_with(kind).await
        {
            tracing::warn!(%error, "a delivery could not be settled; it will come again");
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if self.message.is_some() {
            metrics::deliveries_unsettled().increment(1);
            tracing::warn!("a delivery was dropped unsettled; it will come again");
        }
    }
}
