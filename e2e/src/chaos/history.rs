//! What clients did and what they were told, in Jepsen's words: a call that was invoked ends as ok, as fail (it certainly
//! had no effect) or as info (nobody knows).

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use gristmill_schemas::{Digest, FailureCode, JobId, JobState, Timestamp};
use tokio::time::Instant;

/// What was asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    /// A job is handed in.
    Submit {
        /// Which question.
        nonce: u64,
        /// Under which `Idempotency-Key`.
        key: Option<String>,
    },
    /// A job's owner reads it.
    Read {
        /// The job.
        id: JobId,
        /// By which way.
        way: Way,
    },
    /// A job's owner cancels it.
    Cancel(JobId),
    /// Somebody else reads it.
    Foreign(JobId),
}

/// A way of reading a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Where it stands now.
    Poll,
    /// Where it stands once it has ended, or after a while.
    LongPoll,
    /// One of its server-sent events.
    Event,
    /// Its outputs.
    Result,
    /// Its lineage.
    Lineage,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// It was answered.
    Ok(Answer),
    /// It was refused.
    Fail(Denial),
    /// Nobody knows: no reply, half a reply, a time-out.
    Info(String),
}

/// What an answer said of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Which job it is about.
    pub id: JobId,
    /// Where it stands.
    pub state: JobState,
    /// When it ended, by the store's clock.
    pub completed_at: Option<Timestamp>,
    /// The digest of its outputs, where they were shown.
    pub outputs: Option<Digest>,
    /// The input's digest, where the lineage told it.
    pub inputs: Option<Digest>,
    /// Why it failed, if it did.
    pub failure: Option<FailureCode>,
}

/// What a refusal said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// HTTP status; 0 where no connection was made.
    pub status: u16,
    /// The stable code.
    pub code: String,
    /// Whether and when to come back.
    pub retry_after: Option<Duration>,
    /// The job that there may be all the same.
    pub id: Option<JobId>,
}

/// One call from its invocation to its end. Times count from the beginning of the history.
#[derive(Debug, Clone, PartialEq)]
pub struct Op {
    /// Whose call: an index of [`crate::chaos::plan::TENANTS`].
    pub tenant: usize,
    /// What was asked.
    pub call: Call,
    /// When.
    pub invoked: Duration,
    /// When it ended.
    pub completed: Duration,
    /// How.
    pub end: End,
}

/// A history in the making. Clones are the same.
#[derive(Debug, Clone)]
pub struct History {
    began: Instant,
    began_at: SystemTime,
    ops: Arc<Mutex<Vec<Op>>>,
}

impl Default for History {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            began_at: SystemTime::now(),
            ops: Arc::default(),
        }
    }
}

impl History {
    /// How long it has been going on.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// A time of this history by the machine's clock.
    #[must_use]
    pub fn clock_at(&self, at: Duration) -> Timestamp {
        Timestamp::from(self.began_at).plus(at)
    }

    /// Invokes a call. Unless it is ended it counts as one of which nobody knows.
    #[must_use]
    pub fn invoke(&self, tenant: usize, call: Call) -> Invoked {
        let invoked = self.now();
        Invoked {
            history: self.clone(),
            tenant,
            call,
            invoked,
            end: None,
        }
    }

    /// All that has ended by now.
    #[must_use]
    pub fn ops(&self) -> Vec<Op> {
        self.ops.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A call that was invoked and must end; dropped without an end, it ends as info.
#[derive(Debug)]
pub struct Invoked {
    history: History,
    tenant: usize,
    call: Call,
    invoked: Duration,
    end: Option<End>,
}

impl Invoked {
    /// Ends it.
    pub fn end(mut self, end: &End) {
        self.end = Some(end.clone());
    }
}

impl Drop for Invoked {
    fn drop(&mut self) {
        let op = Op {
            tenant: self.tenant,
            call: self.call.clone(),
            invoked: self.invoked,
            completed: self.history.now(),
            end: self.end.take().unwrap_or_else(|| End::Info("given up".to_owned())),
        };
        let mut ops = self.history.ops.lock().unwrap_or_else(PoisonError::into_inner);
        ops.push(op);
    }
}
