//! How many jobs of one tenant may wait at once, over all ingests. Each ingest knows the figure of the store as it was a
//! moment ago and what it has taken itself since: nobody waits for the store to hand in a job.
//!
//! So the limit holds but for what the other ingests have taken within 2 s, or 0.1 s from half of it on; a store that is slow
//! makes that longer. One that has been away for some seconds refuses nobody: what has ended meanwhile is not known.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use gristmill_broker::{BrokerClock, Store, queued::Place};
use gristmill_schemas::{JobId, Refusal, RefusalCode, TenantId};
use tokio::time::Instant;

/// How often the figures of tenants are looked after.
const NEAR: Duration = Duration::from_millis(100);
/// How often that of a tenant is read who has less than half of what he may have.
const FAR: Duration = Duration::from_secs(2);
/// How long a figure is a reason to refuse.
const STALE: Duration = Duration::from_secs(5);
/// Tenants that are looked after at once.
const AT_ONCE: usize = 16;
/// How long a tenant is followed after his last submission.
const IDLE: Duration = Duration::from_secs(60);

/// The tenants that submit here. Clones are the same.
#[derive(Debug, Clone)]
pub struct TenantQuota {
    tenants: Arc<Mutex<HashMap<TenantId, Tally>>>,
    /// Of a tenant that has no limit of its own; 0 is none.
    most: u64,
}

#[derive(Debug)]
struct Tally {
    /// How many may wait.
    most: u64,

    /// What the store said last, with what was added to it since.
    known: u64,
    /// Jobs on their way to the stream, and jobs that the store was not told of yet.
    here: u64,
    /// The latter.
    fresh: Fresh,
    read: Option<Instant>,
    used: Instant,
}

/// Jobs that the store was not told of yet.
#[derive(Debug, Default)]
struct Fresh {
    /// By where they are counted.
    places: HashMap<Place, u64>,
    /// How long the count is to be kept.
    keep: Duration,
}

/// A place among a tenant's jobs. Dropping it gives it back.
#[derive(Debug)]
#[must_use]
pub struct Reserved {
    quota: TenantQuota,
    tenant: TenantId,
    kept: bool,
}

impl Reserved {
    /// The job was accepted: its end will free the place.
    pub fn keep(mut self, id: &JobId) {
        self.kept = true;
        let mut tenants = self.quota.tenants();
        if let Some(tally) = tenants.get_mut(&self.tenant) {
            *tally.fresh.places.entry(Place::of(id)).or_default() += 1;
            tally.fresh.keep = tally.fresh.keep.max(id.retention().as_duration());
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if let Some(tally) = self.quota.tenants().get_mut(&self.tenant) {
            tally.here = tally.here.saturating_sub(1);
        }
    }
}

impl TenantQuota {
    /// So many jobs a tenant that has no limit of its own; 0 for no limit. They are counted all the same: whoever reads the count also clears it of what
    /// is past.
    #[must_use]
    pub fn new(most: u64) -> Self {
        Self {
            tenants: Arc::default(),
            most,
        }
    }

    fn tenants(&self) -> MutexGuard<'_, HashMap<TenantId, Tally>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for a job that is about to be published.
    ///
    /// # Errors
    /// `tenant_over_quota`.
    pub fn reserve(&self, tenant: &TenantId, own_limit: Option<u64>) -> Result<Reserved, Refusal> {
        let now = Instant::now();
        let mut tenants = self.tenants();
        let tally = tenants.entry(tenant.clone()).or_insert_with(|| Tally {
            most: 0,
            known: 0,
            here: 0,
            fresh: Fresh::default(),
            read: None,
            used: now,
        });
        tally.used = now;
        tally.most = match own_limit.unwrap_or(self.most) {
            0 => u64::MAX,
            most => most,
        };
        let waiting = tally.known + tally.here;
        let is_known = tally.read.is_some_and(|read| now.duration_since(read) < STALE);
        if is_known && waiting >= tally.most {
            let detail = format!("about {waiting} jobs of the tenant wait already");
            let refusal = Refusal::new(RefusalCode::TenantOverQuota, detail);
            return Err(refusal.limit(format_args!("{} jobs", tally.most)));
        }
        tally.here += 1;
        Ok(Reserved {
            quota: self.clone(),
            tenant: tenant.clone(),
            kept: false,
        })
    }

    /// Keeps the figures here and at the store together, for ever.
    pub(crate) async fn follow(self, store: Store, clock: BrokerClock) {
        let mut ticks = tokio::time::interval(NEAR);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            stream::iter(self.due())
                .for_each_concurrent(AT_ONCE, |tenant| self.settle_up(tenant, &store, &clock))
                .await;
        }
    }

    /// Whose figures are to be looked after now.
    fn due(&self) -> Vec<TenantId> {
        let mut tenants = self.tenants();
        tenants.retain(|_, tally| tally.used.elapsed() < IDLE || tally.here > 0);
        let due = tenants.iter().filter(|(_, tally)| {
            let near = (tally.known + tally.here).saturating_mul(2) >= tally.most;
            near || tally.read.is_none_or(|read| read.elapsed() >= FAR)
        });
        due.map(|(tenant, _)| tenant.clone()).collect()
    }

    /// Reads a tenant's figure, and then adds to it what was accepted here. What cannot be read is added later; what may or
    /// may not have been added is not added again, since too low a count only lets through.
    async fn settle_up(&self, tenant: TenantId, store: &Store, clock: &BrokerClock) {
        let read = match store.queued(&tenant, clock.now()).await {
            Ok(read) => read,
            Err(error) => return tracing::debug!(%error, "how many jobs of a tenant wait is not known anew"),
        };
        let fresh = self.note_read(&tenant, read);
        if fresh.places.is_empty() {
            return;
        }
        if let Err(error) = store.add_queued(&tenant, &fresh.places, fresh.keep).await {
            tracing::warn!(%error, jobs = fresh.places.values().sum::<u64>(), "jobs of a tenant are not counted");
        }
    }

    fn note_read(&self, tenant: &TenantId, read: u64) -> Fresh {
        let mut tenants = self.tenants();
        let Some(tally) = tenants.get_mut(tenant) else {
            return Fresh::default();
        };
        let fresh = std::mem::take(&mut tally.fresh);
        let added: u64 = fresh.places.values().sum();
        tally.known = read + added;
        tally.here = tally.here.saturating_sub(added);
        tally.read = Some(Instant::now());
        fresh
    }
}

#[cfg(test)]
mod tests {
    use gristmill_schemas::{JobIdKeys, Lane, Retention, Span, Timestamp, job_id::Mint, subject::QueueTag};

    use super::*;

    fn tenant() -> TenantId {
        "acme".parse().unwrap()
    }

    fn id() -> JobId {
        let keys = JobIdKeys::new(std::collections::BTreeMap::from([(1, [7; 32])])).unwrap();
        let mint = Mint {
            accepted_at: Timestamp::from_millis(1_700_000_000_000),
            time_to_live: Span::from_secs(60),
            retention: Retention::from_minutes(24 * 60).unwrap(),
            queue: QueueTag::of(&"identity".parse().unwrap(), &"1".parse().unwrap(), Lane::Interactive),
            random: [1; 8],
        };
        keys.mint(&tenant(), mint)
    }

    #[test]
    fn place_is_taken_while_a_job_is_on_its_way_and_once_it_is_accepted() {
        let quota = TenantQuota::new(2);
        let first = quota.reserve(&tenant(), None).unwrap();
        quota.note_read(&tenant(), 0);
        quota.reserve(&tenant(), None).unwrap().keep(&id());
        let refusal = quota.reserve(&tenant(), None).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::TenantOverQuota);
        assert_eq!(refusal.limit.as_deref(), Some("2 jobs"));
        quota.reserve(&"other".parse().unwrap(), None).unwrap().keep(&id());
        drop(first);
        quota.reserve(&tenant(), None).unwrap().keep(&id());
        assert!(quota.reserve(&tenant(), None).is_err());
    }

    #[test]
    fn figure_of_the_store_counts_with_what_is_added_to_it() {
        let quota = TenantQuota::new(10);
        for _ in 0..3 {
            quota.reserve(&tenant(), None).unwrap().keep(&id());
        }
        // the others have six, and these three go to the store now
        let fresh = quota.note_read(&tenant(), 6);
        assert_eq!(fresh.places.values().sum::<u64>(), 3);
        quota.reserve(&tenant(), None).unwrap().keep(&id());
        assert!(quota.reserve(&tenant(), None).is_err());
        // all of those have ended
        quota.note_read(&tenant(), 0);
        assert!(quota.reserve(&tenant(), None).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn figure_that_is_not_known_or_is_old_refuses_nobody() {
        let quota = TenantQuota::new(1);
        for _ in 0..3 {
            quota.reserve(&tenant(), None).unwrap().keep(&id());
        }
        quota.note_read(&tenant(), 0);
        assert!(quota.reserve(&tenant(), None).is_err());
        tokio::time::advance(STALE).await;
        quota.reserve(&tenant(), None).unwrap().keep(&id());
    }

    #[tokio::test]
    async fn a_limit_of_the_tenants_own_counts_and_takes_effect_with_the_next_job() {
        let quota = TenantQuota::new(1);
        quota.reserve(&tenant(), Some(3)).unwrap().keep(&id());
        quota.note_read(&tenant(), 2);
        let refusal = quota.reserve(&tenant(), Some(3)).unwrap_err();
        assert_eq!(refusal.limit.as_deref(), Some("3 jobs"));
        quota.reserve(&tenant(), Some(0)).unwrap().keep(&id());
        assert!(quota.reserve(&tenant(), None).is_err());
    }

    #[tokio::test]
    async fn no_limit_refuses_nobody() {
        let quota = TenantQuota::new(0);
        quota.reserve(&tenant(), None).unwrap().keep(&id());
        quota.note_read(&tenant(), u64::from(u32::MAX));
        assert!(quota.reserve(&tenant(), None).is_ok());
    }
}
