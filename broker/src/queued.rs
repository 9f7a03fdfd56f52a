//! How many jobs of a tenant have not ended, counted at the store, where every ingest sees the same figure: ingests add what
//! they have accepted, the commit of an end takes it off again in its own step.
//!
//! Jobs are counted by the minute of their deadline. Past it none of them is left, whatever was counted, so that what a crash
//! has miscounted is forgotten with its minute.

use std::{collections::HashMap, time::Duration};

use gristmill_schemas::{JobId, TenantId, Timestamp, key};
use redis::{Cmd, FromRedisValue, Pipeline, RedisError};

use crate::store::{Store, StoreError, translate};

/// A minute of deadlines, counted from 1970.
pub type Slot = u64;
const SLOT: Duration = Duration::from_secs(60);
/// How long after its last deadline a slot still counts: as long as the last jobs may take to be settled.
const GRACE: Duration = Duration::from_secs(60);

/// Where a job is counted: its bucket and its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// The bucket of its keys.
    pub bucket: u8,
    /// The minute of its deadline.
    pub slot: Slot,
}

impl Place {
    /// Of a job.
    #[must_use]
    pub fn of(id: &JobId) -> Self {
        Self {
            bucket: id.bucket(key::BUCKETS),
            slot: id.deadline().as_millis() / SLOT.as_millis() as u64,
        }
    }
}

/// Whether any job of this slot may still wait.
fn counts(slot: Slot, now: Timestamp) -> bool {
    let ends = Timestamp::from_millis((slot + 1).saturating_mul(SLOT.as_millis() as u64));
    now < ends.plus(GRACE)
}

impl Store {
    /// Adds jobs that were accepted, never twice. Without a newer one the count is forgotten after `keep`: longer than any of
    /// their deadlines.
    ///
    /// # Errors
    /// [`StoreError`]: nobody knows then whether they were added.
    pub async fn add_queued(
        &self,
        tenant: &TenantId,
        accepted: &HashMap<Place, u64>,
        keep: Duration,
    ) -> Result<(), StoreError> {
        let keep = keep.as_millis() as u64;
        let mut pipeline = Pipeline::new();
        for (place, jobs) in accepted {
            let key = key::queued(tenant, place.bucket);
            pipeline.cmd("HINCRBY").arg(&key).arg(place.slot).arg(*jobs).ignore();
            pipeline.cmd("PEXPIRE").arg(key).arg(keep).ignore();
        }
        self.query_once(&pipeline).await
    }

    /// How many jobs of a tenant wait, by this count; slots that are past are forgotten.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn queued(&self, tenant: &TenantId, now: Timestamp) -> Result<u64, StoreError> {
        let keys = (0..key::BUCKETS).map(|bucket| key::queued(tenant, bucket));
        let keys: Vec<String> = keys.collect();
        let read = |key: &String| redis::cmd("HGETALL").arg(key).to_owned();
        let answers = self.run(keys.iter().map(read).collect()).await?;
        let (mut sum, mut past) = (0, Vec::new());
        for (key, answer) in keys.iter().zip(answers) {
            let slots =
                answer.and_then(|value| HashMap::<Slot, i64>::from_redis_value(value).map_err(RedisError::from));
            for (slot, jobs) in slots.map_err(|error| translate(&error))? {
                if counts(slot, now) {
                    // an end may be counted before its beginning is, or instead of it
                    sum += u64::try_from(jobs).unwrap_or(0);
                } else {
                    past.push(forget(key, slot));
                }
            }
        }
        if !past.is_empty() {
            self.run(past).await?;
        }
        Ok(sum)
    }
}

fn forget(key: &str, slot: Slot) -> Cmd {
    redis::cmd("HDEL").arg(key).arg(slot).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slot_counts_until_its_last_deadline_and_the_grace_have_passed() {
        let at = |seconds: u64| Timestamp::from_millis(seconds * 1000);
        assert!(counts(10, at(0)) && counts(10, at(660)) && counts(10, at(719)));
        assert!(!counts(10, at(720)));
    }
}
