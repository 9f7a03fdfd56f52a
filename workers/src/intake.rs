//! Fetching: one standing pull a queue, as long as there is room for its envelopes and a store to commit to.

use std::{sync::Arc, time::Duration};

use gristmill_broker::{Backoff, Broker, Delivery, QueueConsumer};
use gristmill_schemas::{Envelope, Timestamp, codec::DecodeError, subject::Queue};
use gristmill_telemetry::shutdown::Shutdown;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::{
    config::HoldingArgs,
    held_job::HeldJob,
    lease::{Lease, Leases},
    line::Line,
    metrics,
};

/// Pauses after a pull that could not be sent, or a consumer that could not be made.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(1));
/// How many times as many envelopes of a quick model may wait here: they are gone before another worker could have them.
const QUICK: usize = 4;
/// How long an envelope that cannot be read is left alone before the next worker looks at it.
const UNREADABLE_DELAY: Duration = Duration::from_secs(30);

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
        // in rows: as many as so many full envelopes have
        let full = line.max_rows().max(1);
        let places = Arc::new(Semaphore::new(self.args.prefetch * full as usize));
        let fresh = Backoff::new(RETRY_PAUSES.0, RETRY_PAUSES.1);
        let (mut consumer, mut backoff) = (None, fresh.clone());
        let mut more = (QUICK - 1) * self.args.prefetch * full as usize;
        loop {
            if more > 0 && line.is_quick() {
                places.add_permits(std::mem::take(&mut more));
            }
            // an error means that the settlers are gone, and with them the process
            if self.store_up.wait_for(|up| *up).await.is_err() {
                return;
            }
            let first = Arc::clone(&places).acquire_many_owned(full).await;
            let mut free = vec![first.expect("never closed")];
            free.extend(std::iter::from_fn(|| {
                Arc::clone(&places).try_acquire_many_owned(full).ok()
            }));
            let pulled = match &consumer {
                Some(consumer) => self.pull(consumer, free, line).await,
                None => match self.broker.consumer(queue, self.args.ack_wait.as_duration()).await {
                    Ok(made) => self.pull(consumer.insert(made), free, line).await,
                    Err(error) => Err(error),
                },
            };
            match pulled {
                Ok(()) => backoff = fresh.clone(),
                Err(error) => {
                    tracing::debug!(%error, queue = queue.subject(), "fetching failed; trying again");
                    consumer = None;
                    backoff.wait().await;
                }
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
                    (Ok(envelope), _) if envelope.jobs.is_empty() => strays.push((delivery, Stray::Empty)),
                    (Ok(envelope), Some(place)) => self.take(delivery, envelope, place, line),
                    (Ok(_), None) => strays.push((delivery, Stray::Surplus)),
                    (Err(error), _) => strays.push((delivery, Stray::Unreadable(error))),
                }
            })
            .await;
        for (delivery, stray) in strays {
            refuse(delivery, stray).await;
        }
        pulled
    }

    fn take(&self, mut delivery: Delivery, envelope: Envelope, mut place: OwnedSemaphorePermit, line: &Arc<Line>) {
        delivery.forget_payload();
        // what it does not fill is for the next one
        let rows: u64 = envelope.jobs.iter().map(gristmill_schemas::Job::rows).sum();
        let rows = usize::try_from(rows.max(1)).unwrap_or(usize::MAX);
        drop(place.split(place.num_permits().saturating_sub(rows)));
        let times = (delivery.published_at(), Timestamp::from(std::time::SystemTime::now()));
        let redelivered = delivery.is_redelivered().then(claim_token);
        let lease = Lease::new(&self.leases, delivery, envelope.jobs.len(), place);
        let jobs = envelope.jobs.into_iter();
        let jobs: Vec<_> = jobs
            .map(|job| HeldJob::new(job, Arc::clone(&lease), times, redelivered))
            .collect();
        lease.holds(&jobs);
        jobs.into_iter().for_each(|held| line.push(held));
    }
}

/// Why a delivery is not held.
enum Stray {
    /// It has no jobs.
    Empty,
    /// More came than was asked for.
    Surplus,
    /// It was written by another build, perhaps a newer one.
    Unreadable(DecodeError),
}

async fn refuse(delivery: Delivery, stray: Stray) {
    match stray {
        Stray::Empty => delivery.ack().await,
        Stray::Surplus => delivery.nak(None).await,
        // its jobs were accepted, so it is never thrown away
        Stray::Unreadable(error) => {
            metrics::envelopes_unreadable().increment(1);
            tracing::error!(%error, "an envelope cannot be read; leaving it to a worker that can");
            delivery.nak(Some(UNREADABLE_DELAY)).await;
        }
    }
}

/// What tells one claim from another; the time will do where there are no random bytes.
fn claim_token() -> u64 {
    getrandom::u64().unwrap_or_else(|_| Timestamp::from(std::time::SystemTime::now()).as_micros())
}
