//! The one seam through which jobs reach the stream: what waits while a publish is in flight goes into the next envelope.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use gristmill_schemas::{
    Job,
    subject::{Queue, TenantGroup},
};
use gristmill_telemetry::shutdown::Shutdown;
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::Instant,
};

use crate::{
    lane::{Lane, Waiting},
    metrics,
    nats::Broker,
};

/// Bounds of the publisher.
#[derive(Debug, Clone, clap::Args)]
pub struct PublisherArgs {
    /// The most bytes of inputs that one envelope carries; a larger job travels alone
    #[arg(long, env = "GRISTMILL_ENVELOPE_MAX_BYTES", default_value_t = 1 << 20, value_name = "BYTES")]
    pub envelope_max_bytes: usize,
    /// The most jobs that one envelope carries
    #[arg(long, env = "GRISTMILL_ENVELOPE_MAX_JOBS", default_value_t = 64, value_name = "N")]
    pub envelope_max_jobs: usize,
    /// The most bytes of jobs that wait in this process for their publish; past it submissions are refused
    #[arg(long, env = "GRISTMILL_PUBLISH_BUFFER_BYTES", default_value_t = 64 << 20, value_name = "BYTES")]
    pub publish_buffer_bytes: usize,
    /// How long a publish may take, a broker's restart included
    #[arg(long, env = "GRISTMILL_PUBLISH_TIMEOUT", default_value = "8s", value_name = "TIME")]
    pub publish_timeout: gristmill_schemas::Span,
}

/// What bounds an envelope besides bytes: about one batch of the model, so that a heavy model's jobs still spread over
/// the workers.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    /// Rows of one envelope; a job with more travels alone.
    pub max_rows: u32,
    /// How long the job is going to wait on the stream, as far as that is known.
    pub backlog: Duration,
}

impl Work {
    /// So many rows of one envelope, and no backlog that is known.
    #[must_use]
    pub const fn rows(max_rows: u32) -> Self {
        Self {
            max_rows,
            backlog: Duration::ZERO,
        }
    }
}

/// Why a job was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The job alone is larger than a message may be.
    #[error("the job is larger than the broker's limit of {limit} bytes")]
    TooLarge {
        /// The broker's limit in bytes.
        limit: usize,
    },
    /// The stream, or the disk below it, has no room. Not stored.
    #[error("the stream has no room")]
    StreamFull,
    /// The broker cannot be reached. Not stored.
    #[error("the broker cannot be reached")]
    Unavailable,
    /// The broker did not answer: the job may be stored or not.
    #[error("it is not known whether the stream has stored the job")]
    Unknown,
    /// Too much waits in this process. Not stored.
    #[error("too many jobs wait for their publish")]
    Overloaded,
}

/// Publishes jobs. Clones share their queues.
#[derive(Clone, Debug)]
pub struct Publisher {
    broker: Broker,
    args: PublisherArgs,
    shutdown: Shutdown,
    room: Arc<Semaphore>,
    queues: Arc<Mutex<HashMap<Queue, mpsc::UnboundedSender<Waiting>>>>,
}

/// What a job takes besides its inputs and the caller's own words; generous, since it only bounds.
const JOB_OVERHEAD_BYTES: usize = 1024;
/// What a parent's id takes.
const PARENT_BYTES: usize = 40;

fn bytes_of(job: &Job) -> usize {
    let provenance = &job.provenance;
    let words = job.metadata.iter().flat_map(|(key, value)| [key, value]);
    let words = words.chain(&provenance.dataset).chain(&provenance.feature_version);
    let said: usize = words.map(|word| word.len() + 8).sum();
    job.input_bytes() + said + provenance.parent_jobs.len() * PARENT_BYTES + JOB_OVERHEAD_BYTES
}

impl Publisher {
    /// A publisher whose tasks end when the shutdown is requested and nothing waits any more.
    #[must_use]
    pub fn start(broker: &Broker, args: PublisherArgs, shutdown: &Shutdown) -> Self {
        let room = Arc::new(Semaphore::new(args.publish_buffer_bytes));
        Self {
            broker: broker.clone(),
            args,
            shutdown: shutdown.clone(),
            room,
            queues: Arc::default(),
        }
    }

    /// Publishes a job and returns once the stream has stored it.
    ///
    /// # Errors
    /// [`PublishError`]; only after [`PublishError::Unknown`] may the job run all the same.
    pub async fn publish(&self, job: Job, work: Work) -> Result<(), PublishError> {
        let started = Instant::now();
        let bytes = bytes_of(&job);
        let limit = self.broker.max_payload();
        if bytes > limit {
            return Err(PublishError::TooLarge { limit });
        }
        let permits = u32::try_from(bytes).map_err(|_| PublishError::TooLarge { limit })?;
        let room = Arc::clone(&self.room)
            .try_acquire_many_owned(permits)
            .map_err(|_| PublishError::Overloaded)?;
        let (stored, answer) = oneshot::channel();
        self.enqueue(Waiting {
            job,
            work,
            bytes,
            until: started + self.args.publish_timeout.as_duration(),
            _room: room,
            stored,
        });
        // the queue's task answers always, unless the runtime ends below it
        let result = answer.await.unwrap_or(Err(PublishError::Unknown));
        metrics::publish_seconds().record(started.elapsed());
        result
    }

    fn enqueue(&self, waiting: Waiting) {
        let job = &waiting.job;
        let queue = Queue {
            model: job.model.clone(),
            version: job.version.clone(),
            lane: job.lane,
            group: TenantGroup::of(&job.tenant),
        };
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let unsent = match queues.get(&queue) {
            Some(lane) => lane.send(waiting).err().map(|unsent| unsent.0),
            None => Some(waiting),
        };
        // there is no lane yet, or it has ended: the shutdown is requested, and this comes from a request in progress
        if let Some(waiting) = unsent {
            let lane = self.start_lane(queue.subject(), waiting);
            queues.insert(queue, lane);
        }
    }

    fn start_lane(&self, subject: String, first: Waiting) -> mpsc::UnboundedSender<Waiting> {
        let (sender, waiting) = mpsc::unbounded_channel();
        // before the task starts, so that it finds this even if it is told to end at once
        let _ = sender.send(first);
        let lane = Lane {
            broker: self.broker.clone(),
            args: self.args.clone(),
            subject,
            waiting,
        };
        self.shutdown.spawn(lane.run(self.shutdown.clone()));
        sender
    }
}
