//! Reports which jobs this worker runs, so that lists can show them. A quick job is never in one: to say of each that it was begun
//! would cost as much as its commit.

use std::{sync::Arc, time::Duration};

use gristmill_broker::Store;
use gristmill_schemas::{RunningJob, TenantId, Timestamp};
use gristmill_telemetry::shutdown::Shutdown;

use crate::{held_job::HeldJob, lease::Leases};

/// How often, and how long a job must have run for it.
const INTERVAL: Duration = Duration::from_secs(1);

/// Reports until the end. What cannot be reported is in the next report.
pub(crate) async fn report(leases: Arc<Leases>, store: Store, worker: String, ended: Shutdown) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = ended.requested() => return,
        }
        let held = leases.jobs();
        let running: Vec<_> = held.iter().filter_map(|held| running(held, &worker)).collect();
        if let Err(error) = store.report_running(&running).await {
            tracing::debug!(%error, jobs = running.len(), "what runs here is not reported");
        }
    }
}

fn running(held: &HeldJob, worker: &str) -> Option<(TenantId, RunningJob)> {
    let claimed_at = held.running_since()?;
    if Timestamp::from(std::time::SystemTime::now()).since(claimed_at) < INTERVAL {
        return None;
    }
    let job = &held.job;
    let running = RunningJob {
        id: job.id,
        model: job.model.clone(),
        version: job.version.clone(),
        lane: job.lane,
        worker: worker.to_owned(),
        attempt: held.attempt(),
        claimed_at,
        metadata: job.metadata.clone(),
    };
    Some((job.tenant.clone(), running))
}
