//! Jobs that have ended and named a webhook of their own: written with the outcome, in one step, and taken off once their
//! deliveries are made.

use gristmill_schemas::{
    JobEvent, TenantId, Timestamp, WebhookUrl,
    key::{self, BUCKETS},
};
use redis::Pipeline;

use crate::{
    events::Entry,
    store::{Store, StoreError},
};

/// One of them, with its place.
#[derive(Debug, Clone)]
pub struct OutboxEntry {
    bucket: u8,
    place: String,
    /// What is to be told, and where. What is none of ours has nothing.
    pub told: Option<(JobEvent, Timestamp, WebhookUrl)>,
}

impl OutboxEntry {
    fn of(bucket: u8, (place, fields): Entry) -> Self {
        let value = |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value);
        let told = || {
            let at = Timestamp::from_micros(value("committed_at")?.parse().ok()?);
            Some((JobEvent::from_fields(&fields)?, at, value("url")?.parse().ok()?))
        };
        let told = told();
        Self { bucket, place, told }
    }
}

impl Store {
    /// The oldest of a tenant, at most `limit` a bucket.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn outbox(&self, tenant: &TenantId, limit: usize) -> Result<Vec<OutboxEntry>, StoreError> {
        let mut pipeline = Pipeline::with_capacity(usize::from(BUCKETS));
        for bucket in 0..BUCKETS {
            let range = pipeline.cmd("XRANGE").arg(key::outbox(tenant, bucket));
            range.arg("-").arg("+").arg("COUNT").arg(limit);
        }
        let buckets: Vec<Vec<Entry>> = self.query(&pipeline).await?;
        let entries = (0..BUCKETS)
            .zip(buckets)
            .flat_map(|(bucket, entries)| entries.into_iter().map(move |entry| OutboxEntry::of(bucket, entry)));
        Ok(entries.collect())
    }

    /// Takes entries off.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn clear_outbox(&self, tenant: &TenantId, entries: &[OutboxEntry]) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut pipeline = Pipeline::with_capacity(entries.len());
        for entry in entries {
            let delete = pipeline.cmd("XDEL").arg(key::outbox(tenant, entry.bucket));
            delete.arg(&entry.place).ignore();
        }
        self.query(&pipeline).await
    }
}
