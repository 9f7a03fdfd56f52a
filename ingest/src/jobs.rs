//! Jobs after they were accepted, as their owner may ask: where one stands, waiting for its end, cancelling it. It knows
//! no transport.
//!
//! An id that verifies and has no outcome is `queued` until its deadline; whoever looks after deadline and grace settles
//! it as `expired`, so that every accepted job ends, whatever was lost.

use std::{sync::Arc, time::Duration};

use gristmill_broker::{BrokerClock, Ended, Expected, Known, Record, Settled, Store, Watch};
use gristmill_schemas::{
    JobId, JobIdKeys, JobResult, JobState, Lineage, Outcome, Refusal, RefusalCode, RowsDone, TenantId,
};
use gristmill_telemetry::Shutdown;
use tokio::time::Instant;

use crate::{
    metrics,
    position::{Position, Positions},
    submit::refuse_store,
};

/// Where a job stands.
#[derive(Debug, Clone)]
pub enum Standing {
    /// It has no outcome yet.
    Queued(SoFar),
    /// It has ended.
    Ended(Ended),
}

/// What is known of a job that has no outcome yet.
#[derive(Debug, Clone, Copy, Default)]
pub struct SoFar {
    /// About its place.
    pub position: Option<Position>,
    /// How many of its rows have run.
    pub rows_done: Option<RowsDone>,
}

/// Reads, waits for and cancels jobs. Clones are the same.
#[derive(Debug, Clone)]
pub struct Jobs {
    /// Where outcomes are.
    pub store: Store,
    /// Hints at new ones.
    pub watch: Watch,
    /// The clock that deadlines count by.
    pub clock: BrokerClock,
    /// Where those that wait stand.
    pub positions: Positions,
    /// What signed the ids.
    pub keys: Arc<JobIdKeys>,
    /// How long after its deadline a job without an outcome is expired here.
    pub grace: Duration,
    /// When to let everybody go who waits.
    pub shutdown: Shutdown,
}

/// The one answer to ids that are malformed, forged or another tenant's.
#[must_use]
pub fn not_found() -> Refusal {
    Refusal::new(RefusalCode::JobNotFound, "there is no job of this id")
}

impl Jobs {
    /// Where the job stands now.
    ///
    /// # Errors
    /// `job_not_found`, `job_gone`, `store_unavailable`.
    pub async fn standing(&self, tenant: &TenantId, id: &JobId) -> Result<Standing, Refusal> {
        self.keys.verify(id, tenant).map_err(|_| not_found())?;
        let known = self.store.known(tenant, id).await;
        let rows_done = match known.map_err(|error| refuse_store(&error))? {
            Known::Ended(ended) => return Ok(Standing::Ended(ended)),
            Known::Unended(rows_done) => rows_done,
        };
        let now = self.clock.now();
        if now > id.accepted_at().plus(id.retention().as_duration()) {
            return Err(Refusal::new(
                RefusalCode::JobGone,
                "the job's outcome was kept for its time, and is gone",
            ));
        }
        if now <= id.deadline().plus(self.grace) {
            let position = self.positions.of(tenant, id);
            return Ok(Standing::Queued(SoFar { position, rows_done }));
        }
        self.settle(tenant, id, JobResult::Expired).await?;
        // by us or by somebody quicker, it has ended
        self.read(tenant, id).await?.map(Standing::Ended).ok_or_else(not_found)
    }

    /// Where the job stands once it has ended, or after `limit`, whichever comes first.
    ///
    /// # Errors
    /// As [`Self::standing`].
    pub async fn wait(&self, tenant: &TenantId, id: &JobId, limit: Duration) -> Result<Standing, Refusal> {
        let until = Instant::now() + limit;
        let standing = self.standing(tenant, id).await?;
        if matches!(standing, Standing::Ended(_)) || limit.is_zero() {
            return Ok(standing);
        }
        self.wait_until(tenant, self.watch.expect_published(tenant, id), until)
            .await
    }

    /// The same for a job that somebody has begun to wait for.
    ///
    /// # Errors
    /// As [`Self::standing`].
    pub async fn wait_until(
        &self,
        tenant: &TenantId,
        mut expected: Expected,
        until: Instant,
    ) -> Result<Standing, Refusal> {
        let _counted = metrics::InGauge::new(metrics::waiting());
        let id = expected.id;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let expiry = id.deadline().plus(self.grace).since(self.clock.now()) + Duration::from_millis(1);
            tokio::select! {
                ended = expected.ended(left.min(expiry)) => {
                    if let Some(ended) = ended.map_err(|error| refuse_store(&error))? {
                        return Ok(Standing::Ended(ended));
                    }
                }
                () = self.shutdown.requested() => {}
            }
            let standing = self.standing(tenant, &id).await?;
            let is_over = Instant::now() >= until || self.shutdown.is_requested();
            if is_over || matches!(standing, Standing::Ended(_)) {
                return Ok(standing);
            }
        }
    }

    /// All that is known of the job's end; `None` while it has none.
    ///
    /// # Errors
    /// As [`Self::standing`].
    pub async fn record(&self, tenant: &TenantId, id: &JobId) -> Result<Option<Record>, Refusal> {
        match self.standing(tenant, id).await? {
            Standing::Queued(_) => Ok(None),
            Standing::Ended(_) => self.store.read(tenant, id).await.map_err(|error| refuse_store(&error)),
        }
    }

    /// Ends the job as cancelled. A run in progress is not stopped, but its outcome comes too late.
    ///
    /// # Errors
    /// `already_terminal` names the state; others as [`Self::standing`].
    pub async fn cancel(&self, tenant: &TenantId, id: &JobId) -> Result<Ended, Refusal> {
        if let Standing::Ended(ended) = self.standing(tenant, id).await? {
            return Err(already(ended.state));
        }
        match self.settle(tenant, id, JobResult::Cancelled).await? {
            Settled::Won => self.read(tenant, id).await?.ok_or_else(not_found),
            Settled::Lost(state) => Err(already(state)),
            Settled::Stale | Settled::Late => Err(Refusal::new(RefusalCode::Internal, "a cancel cannot be outdated")),
        }
    }

    async fn read(&self, tenant: &TenantId, id: &JobId) -> Result<Option<Ended>, Refusal> {
        self.store.ended(tenant, id).await.map_err(|error| refuse_store(&error))
    }

    async fn settle(&self, tenant: &TenantId, id: &JobId, result: JobResult) -> Result<Settled, Refusal> {
        let outcome = Outcome::new(*id, result);
        let lineage = Lineage::of_id(*id, tenant.clone(), outcome.state());
        let settled = self.store.settle(tenant, &outcome, &lineage).await;
        let settled = settled.map_err(|error| refuse_store(&error))?;
        if settled == Settled::Won {
            metrics::settled_by_reader(outcome.state().as_str()).increment(1);
        }
        Ok(settled)
    }
}

fn already(state: JobState) -> Refusal {
    Refusal::new(
        RefusalCode::AlreadyTerminal,
        format!("the job has already ended as {state}"),
    )
}
