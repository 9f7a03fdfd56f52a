//! One queue's way onto the stream: fills envelopes with what waits, and publishes one at a time.

use std::time::Duration;

use async_nats::jetstream::{ErrorCode, context::PublishErrorKind};
use bytes::Bytes;
use gristmill_schemas::{Envelope, Job};
use gristmill_telemetry::shutdown::Shutdown;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    time::Instant,
};

use crate::{
    backoff::Backoff,
    linger::Linger,
    metrics,
    nats::Broker,
    publisher::{PublishError, PublisherArgs, Work},
};

/// A job that waits for its publish.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) job: Job,
    pub(crate) work: Work,
    pub(crate) bytes: usize,
    /// When its caller has waited long enough, in the queue and for the broker together. An envelope ends with its oldest
    /// job: what is behind it would otherwise wait once more for a broker that is away.
    pub(crate) until: Instant,
    /// Bounds what waits over all queues, and so each of the channels.
    pub(crate) _room: OwnedSemaphorePermit,
    pub(crate) stored: Answer,
}

/// Where the caller waits.
type Answer = oneshot::Sender<Result<(), PublishError>>;

/// One queue's task: one publish in flight, everything else waits for the next.
pub(crate) struct Lane {
    pub(crate) broker: Broker,
    pub(crate) args: PublisherArgs,
    pub(crate) subject: String,
    pub(crate) waiting: mpsc::UnboundedReceiver<Waiting>,
}

impl Lane {
    /// Publishes until the shutdown is requested and nothing waits any more.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let (mut left_over, mut linger) = (None, Linger::new(Instant::now().into_std()));
        loop {
            let first = match left_over.take() {
                Some(first) => first,
                None => tokio::select! {
                    biased;
                    first = self.waiting.recv() => match first { Some(first) => first, None => return },
                    () = shutdown.requested() => {
                        // whatever was sent before this is still received; then the channel says that it has ended
                        self.waiting.close();
                        continue;
                    }
                },
            };
            match linger.wait(first.work.backlog) {
                Some(wait) if !self.is_full_with(&first) => tokio::time::sleep(wait).await,
                // whoever is ready to hand in a job does so first
                Some(_) | None => tokio::task::yield_now().await,
            }
            let until = first.until;
            let (jobs, answers, next) = self.fill(first);
            linger.note(Instant::now().into_std(), jobs.len());
            left_over = next;
            let result = self.publish(Envelope::new(jobs), until).await;
            for stored in answers {
                // a caller that has gone away does not ask any more; its job is accepted all the same
                let _ = stored.send(result);
            }
        }
    }

    /// Whether as many wait already as an envelope holds at most.
    fn is_full_with(&self, first: &Waiting) -> bool {
        let most = self.args.envelope_max_jobs.min(first.work.max_rows as usize);
        self.waiting.len() + 1 >= most
    }

    /// Takes what waits, up to an envelope's bounds; what does not fit begins the next one.
    fn fill(&mut self, first: Waiting) -> (Vec<Job>, Vec<Answer>, Option<Waiting>) {
        let max_bytes = self.args.envelope_max_bytes.min(self.broker.max_payload());
        let (mut bytes, mut rows, max_rows) = (first.bytes, first.job.rows(), u64::from(first.work.max_rows));
        let (mut jobs, mut answers) = (vec![first.job], vec![first.stored]);
        while jobs.len() < self.args.envelope_max_jobs {
            let Ok(next) = self.waiting.try_recv() else { break };
            bytes += next.bytes;
            rows += next.job.rows();
            if bytes > max_bytes || rows > max_rows {
                return (jobs, answers, Some(next));
            }
            jobs.push(next.job);
            answers.push(next.stored);
        }
        (jobs, answers, None)
    }

    /// Publishes until the stream has it or the time is over. Publishing again after a lost connection may store the
    /// envelope twice, which a claim notices; giving up would lose the caller's answer to every restart of the broker.
    async fn publish(&self, envelope: Envelope, until: Instant) -> Result<(), PublishError> {
        metrics::envelope_jobs().record(envelope.jobs.len() as f64);
        let payload = Bytes::from(envelope.encode());
        let limit = self.broker.max_payload();
        if payload.len() > limit {
            return Err(PublishError::TooLarge { limit });
        }
        let (mut perhaps_stored, mut backoff) = (false, Backoff::new(RETRY_PAUSES.0, RETRY_PAUSES.1));
        let result = loop {
            match self.attempt(payload.clone(), until).await {
                Attempt::Stored => break Ok(()),
                Attempt::Full if !perhaps_stored => break Err(PublishError::StreamFull),
                Attempt::Full | Attempt::OutOfTime if perhaps_stored => break Err(PublishError::Unknown),
                Attempt::Full | Attempt::OutOfTime => break Err(PublishError::Unavailable),
                Attempt::NotStored => backoff.wait().await,
                Attempt::Unanswered => {
                    perhaps_stored = true;
                    backoff.wait().await;
                }
            }
        };
        let label = match result {
            Ok(()) => "stored",
            Err(PublishError::StreamFull) => "stream_full",
            Err(PublishError::Unknown) => "unknown",
            Err(PublishError::Unavailable | PublishError::TooLarge { .. } | PublishError::Overloaded) => "unavailable",
        };
        metrics::publishes(label).increment(1);
        result
    }

    async fn attempt(&self, payload: Bytes, until: Instant) -> Attempt {
        // a broker that is connected but silent would otherwise be sent the envelope again and again, for ever
        if Instant::now() >= until {
            return Attempt::OutOfTime;
        }
        let mut link = self.broker.link.clone();
        // only send what the server can answer: the client would keep it and send it whenever it is connected again
        let Ok(Ok(generation)) = tokio::time::timeout_at(until, async {
            link.wait_for(|link| link.up).await.map(|link| link.generation)
        })
        .await
        else {
            return Attempt::OutOfTime;
        };
        let publish = async {
            match self.broker.jetstream.publish(self.subject.clone(), payload).await {
                Ok(ack) => ack.await.map(drop),
                Err(error) => Err(error),
            }
        };
        tokio::select! {
            answer = tokio::time::timeout_at(until, publish) => match answer {
                Ok(Ok(())) => Attempt::Stored,
                Ok(Err(error)) => classify(&error),
                Err(_) => Attempt::Unanswered,
            },
            _ = link.wait_for(|link| !link.up || link.generation != generation) => Attempt::Unanswered,
        }
    }
}

/// Pauses between tries: a JetStream that recovers its files answers "not yet" for a while.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(800));

enum Attempt {
    Stored,
    /// Refused for want of room.
    Full,
    /// Certainly not stored, and worth another try.
    NotStored,
    /// Sent, and no answer came.
    Unanswered,
    /// Nothing was sent, and there is no time left.
    OutOfTime,
}

fn classify(error: &async_nats::jetstream::context::PublishError) -> Attempt {
    match error.kind() {
        PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => Attempt::Unanswered,
        PublishErrorKind::StreamNotFound | PublishErrorKind::MaxAckPending => Attempt::NotStored,
        _ => {
            let source = std::error::Error::source(error);
            let code = source.and_then(|source| source.downcast_ref::<async_nats::jetstream::Error>());
            match code.map(async_nats::jetstream::Error::error_code) {
                Some(ErrorCode::STREAM_STORE_FAILED | ErrorCode::INSUFFICIENT_RESOURCES) => Attempt::Full,
                _ => {
                    tracing::warn!(%error, ?source, "publish failed");
                    Attempt::Unanswered
                }
            }
        }
    }
}
