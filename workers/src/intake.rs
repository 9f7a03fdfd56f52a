//! Fetching: one standing pull a queue, as long as there is room for its envelopes and a store to commit to.

use std::{sync::Arc, time::Duration};

use gristmill_broker::{Broker, Delivery, QueueConsumer};
use gristmill_schemas::{Envelope, Timestamp, codec::DecodeError, subject::Queue};
use gristmill_telemetry::shutdown::Shutdown;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::{
    config::HoldingArgs,
    held_job::HeldJob,
    lease::{Lease, Leases},
    line::Line,
};

/// The pause after a pull that could not be sent, or a consumer that could not be made.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// How long an envelope of another major version is left alone before the next worker looks at it.
const FOREIGN_MAJOR_DELAY: Duration = Duration::from_secs(30);

/// What every queue's intake needs.
#[derive(Debug, Clone)]
pub(crate) struct Intake {
    pub(crate) broker: Broker,
    pub(crate) leases: Arc<Leases>,
    pub(crate) store_up: watch::Receiver<bool>,
    pub(crate) args: HoldingArgs,
}

impl Intake {
    /// Fetches one queue's envelopes into its line until the shutdown is requested.
    pub(crate) async fn run(mut self, queue: Queue, line: Arc<Line>, shutdown: Shutdown) {
        tokio::select! {
            () = self.fetch(&queue, &line) => {}
            () = shutdown.requested() => {}
        }
    }

    async fn fetch(&mut self, queue: &Queue, line: &Arc<Line>) {
        let places = Arc::new(Semaphore::new(self.args.prefetch));
        let mut consumer = None;
        loop {
            // an error means that the settlers are gone, and with them the process
            if self.store_up.wait_for(|up| *up).await.is_err() {
                return;
            }
            let mut free = vec![Arc::clone(&places).acquire_owned().await.expect("never closed")];
            free.extend(std::iter::from_fn(|| Arc::clone(&places).try_acquire_owned().ok()));
            let pulled = match &consumer {
                Some(consumer) => self.pull(consumer, free, line).await,
                None => match self.broker.consumer(queue, self.args.ack_wait.as_duration()).await {
                    Ok(made) => self.pull(consumer.insert(made), free, line).await,
                    Err(error) => Err(error),
                },
            };
            if let Err(error) = pulled {
                tracing::debug!(%error, queue = queue.subject(), "fetching failed; trying again");
                consumer = None;
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }

    async fn pull(
        &self,
        consumer: &QueueConsumer,
        mut free: Vec<OwnedSemaphorePermit>,
        line: &Arc<Line>,
    ) -> Result<(), gristmill_broker::BrokerError> {
        let expires = self.args.pull_expires.as_duration();
        let mut strays = Vec::new();
        let pulled = consumer
            .pull(free.len(), expires, |delivery| {
                match (Envelope::decode(delivery.payload()), free.pop()) {
                    (Ok(envelope), Some(place)) => self.take(delivery, envelope, place, line),
                    (Ok(_), None) => strays.push((delivery, None)),
                    (Err(error), _) => strays.push((delivery, Some(error))),
                }
            })
            .await;
        for (delivery, error) in strays {
            refuse(delivery, error).await;
        }
        pulled
    }

    fn take(&self, delivery: Delivery, envelope: Envelope, place: OwnedSemaphorePermit, line: &Arc<Line>) {
        let times = (delivery.published_at(), Timestamp::from(std::time::SystemTime::now()));
        let redelivered = delivery.is_redelivered();
        let lease = Lease::new(&self.leases, delivery, envelope.jobs.len(), place);
        for job in envelope.jobs {
            line.push(HeldJob::new(job, Arc::clone(&lease), times, redelivered));
        }
    }
}

/// Settles a delivery that cannot be held.
async fn refuse(delivery: Delivery, error: Option<DecodeError>) {
    match error {
        // more than was asked for: whoever has room may take it
        None => delivery.nak(None).await,
        Some(error @ DecodeError::UnknownMajor(_)) => {
            tracing::error!(%error, "leaving an envelope to a worker that knows its version");
            delivery.nak(Some(FOREIGN_MAJOR_DELAY)).await;
        }
        Some(error @ DecodeError::Malformed(_)) => {
            tracing::error!(%error, "an envelope that nobody can read; its jobs will expire");
            delivery.term().await;
        }
    }
}
