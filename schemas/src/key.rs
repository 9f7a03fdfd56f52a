//! Names in the store. All keys of one job share a hash tag, so that its commit is atomic in a Redis Cluster too.

use crate::{digest::Digest, job_id::JobId, name::TenantId};

/// Buckets a tenant's jobs are spread over; each has its own event stream and hint channel.
pub const BUCKETS: u8 = 16;

/// The hash that holds the API keys: id → record.
pub const API_KEYS: &str = "gm:api-keys";
/// The hash that holds what is set for single tenants: tenant → settings.
pub const TENANTS: &str = "gm:tenants";
/// The hash that knows which keys have signed job ids: number → fingerprint.
pub const JOB_ID_KEYS: &str = "gm:job-id-keys";

/// The hash that holds the webhook settings: tenant → settings, with what signs its deliveries.
pub const WEBHOOKS: &str = "gm:webhooks";

/// Fields of a job's hash.
pub mod field {
    /// The terminal state's word; absent until the job is settled.
    pub const STATE: &str = "state";
    /// The encoded outcome.
    pub const OUTCOME: &str = "outcome";
    /// The encoded lineage, without its commit time.
    pub const LINEAGE: &str = "lineage";
    /// When it was committed, microseconds, by the store's clock.
    pub const COMMITTED_AT: &str = "committed_at";
    /// Attempts so far, counted from the second claim on.
    pub const ATTEMPTS: &str = "attempts";
    /// Of a job that runs in several engine calls: the attempt, its rows that have run, and all its rows, with spaces between.
    pub const PROGRESS: &str = "progress";
    /// The token of the latest claim that was counted.
    pub const CLAIM: &str = "claim";
    /// Of a dead letter: the sequence at which the stream keeps the job's inputs, 0 if they could not be kept.
    pub const DEAD_LETTER: &str = "dead_letter";
    /// Of a dead letter that was redriven: the id of the job that came of it.
    pub const REDRIVEN_AS: &str = "redriven_as";
}

/// Fields of a bucket's window of events, both Unix milliseconds by the store's clock.
pub mod window {
    /// Events from then on have not been trimmed.
    pub const FROM: &str = "from";
    /// When the last one was added: where the stream itself is gone, all of them are older than it had to be kept.
    pub const LAST: &str = "last";
}

/// `{tenant:bucket}`: everything that must change together carries it.
fn tag(tenant: &TenantId, bucket: u8) -> String {
    format!("{{{tenant}:{bucket}}}")
}

/// The hash of one job.
#[must_use]
pub fn job(tenant: &TenantId, id: &JobId) -> String {
    format!("gm:{}:job:{id}", tag(tenant, id.bucket(BUCKETS)))
}

/// The stream of what rows of one job have given while it runs ([`crate::progress`]). Who may read the job may read it.
#[must_use]
pub fn progress(tenant: &TenantId, id: &JobId) -> String {
    format!("{}:progress", job(tenant, id))
}

/// The stream of a bucket's ends of jobs, in the order of their commits: what stands in it is [`crate::event`]'s.
#[must_use]
pub fn events(tenant: &TenantId, bucket: u8) -> String {
    format!("gm:{}:events", tag(tenant, bucket))
}

/// The hash that tells since when a bucket's events are all there ([`window`]).
#[must_use]
pub fn events_window(tenant: &TenantId, bucket: u8) -> String {
    format!("gm:{}:events-window", tag(tenant, bucket))
}

/// The sorted set of a bucket's dead letters: ids by when they failed, in microseconds.
#[must_use]
pub fn dead_letters(tenant: &TenantId, bucket: u8) -> String {
    format!("gm:{}:dead-letters", tag(tenant, bucket))
}

/// The hash that counts a bucket's jobs without an end: minute of the deadline → jobs.
#[must_use]
pub fn queued(tenant: &TenantId, bucket: u8) -> String {
    format!("gm:{}:queued", tag(tenant, bucket))
}

/// The sorted set of a bucket's jobs that are being run: [`crate::running`] by when they were last reported, Unix milliseconds by
/// the store's clock.
#[must_use]
pub fn running(tenant: &TenantId, bucket: u8) -> String {
    format!("gm:{}:running", tag(tenant, bucket))
}

/// The channel that hints at outcomes of a bucket; its messages begin with a job's id. A hint may be lost, the hash is the truth.
#[must_use]
pub fn hints(tenant: &TenantId, bucket: u8) -> String {
    format!("gm:{}:hints", tag(tenant, bucket))
}

/// The record of an idempotency key, which itself is only stored as a digest.
#[must_use]
pub fn idempotency(tenant: &TenantId, key: &str) -> String {
    format!("gm:{{{tenant}:idempotency}}:{}", Digest::of(key.as_bytes()).hex())
}

/// The stream of a bucket's jobs that have ended and named a webhook, until their deliveries are made: fields as in
/// [`crate::event`], then `url` and `committed_at` (microseconds by the store's clock).
#[must_use]
pub fn outbox(tenant: &TenantId, bucket: u8) -> String {
    format!("gm:{}:outbox", tag(tenant, bucket))
}

/// What is known of one tenant's deliveries of webhooks. All of it changes together.
pub mod webhooks {
    use crate::{
        name::TenantId,
        webhook::{DeliveryId, DeliveryState},
    };

    fn prefix(tenant: &TenantId) -> String {
        format!("gm:{{{tenant}:webhooks}}")
    }

    /// The hash of one delivery.
    #[must_use]
    pub fn delivery(tenant: &TenantId, id: &DeliveryId) -> String {
        format!("{}:delivery:{id}", prefix(tenant))
    }

    /// The sorted set of deliveries in a state: ids by when they were made, Unix milliseconds.
    #[must_use]
    pub fn deliveries(tenant: &TenantId, state: DeliveryState) -> String {
        format!("{}:{state}", prefix(tenant))
    }

    /// The sorted set of what one destination is to be sent: ids by when they are due, Unix milliseconds.
    #[must_use]
    pub fn due(tenant: &TenantId, destination: &str) -> String {
        format!("{}:due:{destination}", prefix(tenant))
    }

    /// The sorted set of destinations that are to be sent anything, by when the first of it is due.
    #[must_use]
    pub fn destinations(tenant: &TenantId) -> String {
        format!("{}:destinations", prefix(tenant))
    }

    /// The cursor up to which deliveries were made of the tenant's events.
    #[must_use]
    pub fn cursor(tenant: &TenantId) -> String {
        format!("{}:cursor", prefix(tenant))
    }
}

/// Patterns over all buckets of a tenant, as Redis's ACL and PSUBSCRIBE take them. A tenant's name has no character that
/// means something in one.
pub mod pattern {
    use crate::name::TenantId;

    /// Every job's hash.
    #[must_use]
    pub fn jobs(tenant: &TenantId) -> String {
        format!("gm:{{{tenant}:*}}:job:*")
    }

    /// Every stream of events.
    #[must_use]
    pub fn events(tenant: &TenantId) -> String {
        format!("gm:{{{tenant}:*}}:events")
    }

    /// Every window of events.
    #[must_use]
    pub fn windows(tenant: &TenantId) -> String {
        format!("gm:{{{tenant}:*}}:events-window")
    }

    /// Every channel of hints.
    #[must_use]
    pub fn hints(tenant: &TenantId) -> String {
        format!("gm:{{{tenant}:*}}:hints")
    }
}
