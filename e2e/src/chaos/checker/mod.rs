//! The judge: holds a history, and what the stores hold in the end, against every promise. Pure; it is shown to find what
//! it looks for by histories with one planted fault each.
//!
//! Each promise is one function of the modules below; a violation names its promise and the job.

mod dossier;
mod jobs;
mod replies;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt, time::Duration};

use gristmill_schemas::JobId;

pub use dossier::{Dossier, Sighting};

use crate::chaos::{
    history::{History, Op},
    stores::Stored,
    subscriber::AllHeard,
};

/// What is promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Promise {
    /// Every accepted job ends, in time, and its end can be read.
    NothingLost,
    /// A job has one end, the same by every way of reading it, for ever.
    OneEnd,
    /// No job ends that nobody has handed in.
    NoGhosts,
    /// The answer is the one to this very question.
    RightAnswer,
    /// A job ends as it does for a reason: nothing fails, expires or is cancelled by itself.
    GoodReason,
    /// A job that has ended is never seen waiting again.
    NeverBackwards,
    /// One lineage record, and its digests are those of the input and the output.
    TrueLineage,
    /// No job is run more often than allowed, and every attempt is counted.
    BoundedExecutions,
    /// One idempotency key is one job.
    Idempotency,
    /// Nobody reads what is not his.
    Isolation,
    /// No success after a confirmed cancel or past the deadline.
    NoLateSuccess,
    /// Every reply comes within 35 s.
    PromptReplies,
    /// Every 429 and 503 says when to come back.
    RetryAfter,
    /// Nothing is answered but what the door is documented to answer.
    KnownReplies,
    /// Whoever waits for an end hears of it when it comes, not when he looks again.
    PromptNews,
    /// Whoever follows a job's events, or comes back to them after a cut, is told of its end.
    EventsMissNone,
    /// Whoever subscribes to a tenant's jobs hears of each end once, however often he breaks off and comes back.
    SubscriptionTellsOnce,
    /// Nothing is left on the stream once every job has ended.
    NothingLeftOver,
    /// No secret is in any log or metric.
    NoSecrets,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub promise: Promise,
    /// By which job, if by one.
    pub job: Option<JobId>,
    /// How.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.what)?;
        self.job.map_or(Ok(()), |id| write!(f, " ({id})"))
    }
}

/// What a row allows.
#[derive(Debug, Clone)]
pub struct Allowance {
    /// Attempts at one job.
    pub attempts: u32,
    /// Nonces of jobs that may fail.
    pub poison: Vec<u64>,
    /// How long after its deadline, by the store's clock, a success may be stored: processes never take either clock for earlier
    /// than it may be, and know it as well as an answer is quick.
    pub late_success: Duration,
    /// How long before its deadline, by the store's clock, a job may be expired: processes never take the broker's clock for
    /// later than it is, but the store has a clock of its own.
    pub early_expiry: Duration,
    /// How late news of an end may be, where no fault is in the way; none for rows in which a fault always is.
    pub late_news: Option<Duration>,
}

impl Default for Allowance {
    fn default() -> Self {
        Self {
            attempts: 5,
            poison: Vec::new(),
            late_success: Duration::from_millis(100),
            early_expiry: Duration::from_millis(50),
            late_news: None,
        }
    }
}

/// All that is judged.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// What the clock said when the history began.
    pub history: History,
    /// What clients did and heard.
    pub ops: Vec<Op>,
    /// What the stores hold.
    pub stored: Stored,
    /// What subscribers were told.
    pub heard: AllHeard,
    /// Executions of single jobs that were counted from outside, by nonce.
    pub executions: BTreeMap<u64, u32>,
    /// Secrets that were found, by where.
    pub secrets: Vec<String>,
    /// What the row allows.
    pub allowance: Allowance,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Jobs that were accepted.
    pub accepted: u64,
    /// The most executions of one job.
    pub max_executions: u32,
    /// Every broken promise.
    pub violations: Vec<Violation>,
}

impl Verdict {
    /// How often a promise was broken.
    #[must_use]
    pub fn count(&self, promise: Promise) -> u64 {
        self.violations
            .iter()
            .filter(|violation| violation.promise == promise)
            .count() as u64
    }

    /// Which promises were broken, and how often.
    #[must_use]
    pub fn by_promise(&self) -> BTreeMap<Promise, u64> {
        self.violations.iter().fold(BTreeMap::new(), |mut counts, violation| {
            *counts.entry(violation.promise).or_default() += 1;
            counts
        })
    }
}

/// Where violations are collected.
#[derive(Debug, Default)]
struct Findings(Vec<Violation>);

impl Findings {
    fn of(&mut self, promise: Promise, job: JobId, what: impl Into<String>) {
        self.0.push(Violation {
            promise,
            job: Some(job),
            what: what.into(),
        });
    }

    fn general(&mut self, promise: Promise, what: impl Into<String>) {
        self.0.push(Violation {
            promise,
            job: None,
            what: what.into(),
        });
    }
}

/// Judges.
#[must_use]
pub fn check(evidence: &Evidence) -> Verdict {
    let dossiers = Dossier::all(evidence);
    let mut findings = Findings::default();
    for dossier in dossiers.values() {
        jobs::check(dossier, evidence, &mut findings);
    }
    replies::check(evidence, &dossiers, &mut findings);
    let tries = evidence.stored.jobs.iter().map(super::stores::StoredJob::tries);
    let counted = evidence.executions.values().copied();
    Verdict {
        accepted: dossiers.values().filter(|dossier| dossier.accepted).count() as u64,
        max_executions: tries.chain(counted).max().unwrap_or_default(),
        violations: findings.0,
    }
}
