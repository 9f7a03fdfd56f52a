//! Following one job's progress: when it has told more. What that is, whoever follows reads for himself.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use gristmill_schemas::{JobId, TenantId, key};
use tokio::sync::Notify;

use crate::watch::{LOOK_AGAIN, Watch};

type ByJob = HashMap<JobId, Vec<Arc<Notify>>>;

/// Whom to wake when a job has told more.
#[derive(Debug, Default)]
pub(super) struct Progressing(Mutex<ByJob>);

impl Progressing {
    fn lock(&self) -> MutexGuard<'_, ByJob> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A job has told more.
    pub(super) fn tell(&self, id: &JobId) {
        let jobs = self.lock();
        jobs.get(id).into_iter().flatten().for_each(|woken| woken.notify_one());
    }

    /// Hints may have been missed.
    pub(super) fn tell_all(&self) {
        self.lock().values().flatten().for_each(|woken| woken.notify_one());
    }
}

impl Watch {
    /// Follows what a job tells while it runs.
    #[must_use]
    pub fn progress(&self, tenant: &TenantId, id: &JobId) -> ProgressHints {
        let channel = key::hints(tenant, id.bucket(key::BUCKETS));
        let woken = Arc::new(Notify::new());
        self.shared
            .progressing
            .lock()
            .entry(*id)
            .or_default()
            .push(Arc::clone(&woken));
        self.want(&channel);
        ProgressHints {
            watch: self.clone(),
            id: *id,
            channel,
            woken,
        }
    }
}

/// One who follows a job. Nobody remembers him when he is dropped.
#[derive(Debug)]
pub struct ProgressHints {
    watch: Watch,
    id: JobId,
    channel: String,
    woken: Arc<Notify>,
}

impl ProgressHints {
    /// Waits until it is listened to the job's hints, or the limit has passed: whoever looks himself now and then needs no more.
    pub async fn is_listening(&self, limit: Duration) {
        // without it, news come by looking again
        let _ = tokio::time::timeout(limit, self.watch.subscribed(&self.channel)).await;
    }

    /// Waits until the job has told more; after a while it may have.
    pub async fn news(&self) {
        // a hint that was lost is made up for by looking
        let _ = tokio::time::timeout(LOOK_AGAIN, self.woken.notified()).await;
    }
}

impl Drop for ProgressHints {
    fn drop(&mut self) {
        let mut jobs = self.watch.shared.progressing.lock();
        if let Some(followers) = jobs.get_mut(&self.id) {
            followers.retain(|woken| !Arc::ptr_eq(woken, &self.woken));
            if followers.is_empty() {
                jobs.remove(&self.id);
            }
        }
        drop(jobs);
        self.watch.shared.channels().forgo(&self.channel);
    }
}
