//! The inputs of jobs that failed: a stream of their own, which dead letters point into. It is bounded by age, by bytes and
//! for each tenant by number, and gives up its oldest first: a dead letter may outlive its inputs, never the reverse.

use std::time::Duration;

use async_nats::jetstream::{message::PublishMessage, stream};
use bytes::Bytes;
use gristmill_schemas::{Envelope, Job, Retention, TenantId, subject};

use crate::{
    backlog::is_absence,
    nats::{Broker, BrokerError},
};

/// How much of failed jobs' inputs is kept: said by ingests alone, as the stream of jobs is.
#[derive(Debug, Clone, clap::Args)]
pub struct DeadLetterArgs {
    /// The most bytes that the inputs of failed jobs may take; past it the oldest are forgotten
    #[arg(long, env = "GRISTMILL_DEAD_LETTERS_MAX_BYTES", default_value_t = 1 << 30, value_name = "BYTES")]
    pub dead_letters_max_bytes: i64,
    /// Of how many failed jobs of one tenant the inputs are kept
    #[arg(
        long,
        env = "GRISTMILL_DEAD_LETTERS_PER_TENANT",
        default_value_t = 10_000,
        value_name = "N"
    )]
    pub dead_letters_per_tenant: i64,
}

/// The longest a worker waits for the stream before it commits a failure without its inputs.
const KEEP_LIMIT: Duration = Duration::from_secs(5);
/// The longest wait for inputs to be read.
const READ_LIMIT: Duration = Duration::from_secs(5);

/// Where a failed job's inputs are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptInput(u64);

impl KeptInput {
    /// The stream's sequence, from 1.
    #[must_use]
    pub const fn sequence(self) -> u64 {
        self.0
    }

    /// What a dead letter's record says; 0 stands for inputs that could not be kept.
    #[must_use]
    pub fn of_sequence(sequence: u64) -> Option<Self> {
        (sequence > 0).then_some(Self(sequence))
    }
}

/// Keeps, reads and forgets the inputs of failed jobs. Clones share the connection.
#[derive(Debug, Clone)]
pub struct DeadInputs {
    broker: Broker,
}

impl DeadInputs {
    /// On this connection.
    #[must_use]
    pub fn new(broker: &Broker) -> Self {
        Self { broker: broker.clone() }
    }

    /// Makes the stream what it is to be: each message has an age of its own, as its job has a retention.
    ///
    /// # Errors
    /// JetStream does not answer within a few seconds, or a stream of that name has settings that cannot be changed.
    pub async fn ensure_stream(&self, args: &DeadLetterArgs, replicas: usize) -> Result<(), BrokerError> {
        let wanted = stream::Config {
            name: subject::DEAD_LETTERS.to_owned(),
            description: Some("Inputs of failed jobs".to_owned()),
            subjects: vec![subject::DEAD_LETTERS_WILDCARD.to_owned()],
            storage: stream::StorageType::File,
            discard: stream::DiscardPolicy::Old,
            max_bytes: args.dead_letters_max_bytes,
            max_messages_per_subject: args.dead_letters_per_tenant,
            max_age: Retention::MAX.as_duration(),
            allow_message_ttl: true,
            num_replicas: replicas,
            ..stream::Config::default()
        };
        let made = self.broker.jetstream.create_or_update_stream(wanted).await;
        made.map(drop)
            .map_err(|error| BrokerError::JetStream(error.to_string()))
    }

    /// Keeps a job as long as its outcome will be, and returns once the stream has stored it.
    ///
    /// # Errors
    /// It has not within a few seconds; it may do so later, and forget it by age.
    pub async fn keep(&self, job: &Job) -> Result<KeptInput, BrokerError> {
        let payload = Bytes::from(Envelope::new(vec![job.clone()]).encode());
        let subject = subject::dead_letters(&job.tenant);
        let message = PublishMessage::build()
            .payload(payload)
            .ttl(job.id.retention().as_duration());
        let publish = async { self.broker.jetstream.send_publish(subject, message).await?.await };
        match tokio::time::timeout(KEEP_LIMIT, publish).await {
            Ok(Ok(ack)) => Ok(KeptInput(ack.sequence)),
            Ok(Err(error)) => Err(BrokerError::JetStream(error.to_string())),
            Err(_) => Err(BrokerError::JetStream(format!("no answer within {KEEP_LIMIT:?}"))),
        }
    }

    /// The job whose inputs were kept there; `None` once they are forgotten.
    ///
    /// # Errors
    /// JetStream does not answer, or what it holds there cannot be read.
    pub async fn read(&self, tenant: &TenantId, kept: KeptInput) -> Result<Option<Job>, BrokerError> {
        let read = async { self.stream().await?.get_raw_message(kept.0).await.map_err(Unread::from) };
        let message = match tokio::time::timeout(READ_LIMIT, read).await {
            Ok(Ok(message)) => message,
            Ok(Err(Unread::NotThere)) => return Ok(None),
            Ok(Err(Unread::Failed(words))) => return Err(BrokerError::JetStream(words)),
            Err(_) => return Err(BrokerError::JetStream(format!("no answer within {READ_LIMIT:?}"))),
        };
        // a stream that was made anew counts from 1 again, and another tenant's inputs may stand there
        if message.subject.as_str() != subject::dead_letters(tenant) {
            return Ok(None);
        }
        let envelope = Envelope::decode(&message.payload).map_err(|error| BrokerError::JetStream(error.to_string()))?;
        Ok(envelope.jobs.into_iter().next())
    }

    /// Forgets inputs that nobody needs any more. They would go by age as well, so it is tried once.
    pub async fn forget(&self, kept: KeptInput) {
        let delete = async {
            match self.stream().await {
                Ok(stream) => stream.delete_message(kept.0).await.map_err(|error| error.to_string()),
                Err(Unread::NotThere) => Ok(true),
                Err(Unread::Failed(words)) => Err(words),
            }
        };
        match tokio::time::timeout(READ_LIMIT, delete).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(error, "a failed job's inputs are kept until they are too old"),
            Err(_) => tracing::debug!("a failed job's inputs are kept until they are too old: no answer"),
        }
    }

    async fn stream(&self) -> Result<stream::Stream<()>, Unread> {
        let stream = self.broker.jetstream.get_stream_no_info(subject::DEAD_LETTERS).await;
        stream.map_err(|error| Unread::Failed(error.to_string()))
    }
}

/// Why there is no message.
enum Unread {
    NotThere,
    Failed(String),
}

impl From<stream::RawMessageError> for Unread {
    fn from(error: stream::RawMessageError) -> Self {
        if is_absence(&error) {
            Self::NotThere
        } else {
            Self::Failed(error.to_string())
        }
    }
}
