//! What a job tells while it runs, as it comes: from a position on, each of it once. What is read comes from the store; hints only
//! say when to look.

use std::{collections::VecDeque, time::Duration};

use gristmill_broker::{ProgressEntry, ProgressHints, Store};
use gristmill_schemas::{JobId, Position, Progress, TenantId};

/// Entries read at once, each of at most 256 KiB of outputs: every open stream may hold so many.
const AT_ONCE: usize = 2;
/// The pause before a store that is away is asked again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// How long the hints are waited for before the first look.
const LISTENING_LIMIT: Duration = Duration::from_secs(2);

/// One who reads a job's progress.
#[derive(Debug)]
pub struct ProgressFeed {
    store: Store,
    hints: ProgressHints,
    tenant: TenantId,
    id: JobId,
    after: Position,
    read: VecDeque<ProgressEntry>,
    /// Whether there may be more behind what was read.
    is_more: bool,
    /// Whether the job has told anything.
    has_told: bool,
}

impl ProgressFeed {
    /// Opens one behind a position.
    pub async fn open(store: Store, hints: ProgressHints, (tenant, id): (TenantId, JobId), after: Position) -> Self {
        hints.is_listening(LISTENING_LIMIT).await;
        Self {
            store,
            hints,
            tenant,
            id,
            after,
            read: VecDeque::new(),
            is_more: true,
            has_told: after != Position::default(),
        }
    }

    /// The next that the job tells, when it comes. Dropped midway, it has lost nothing.
    pub async fn next(&mut self) -> (Position, Progress) {
        loop {
            if let Some(told) = self.take() {
                return told;
            }
            if !self.is_more {
                self.hints.news().await;
            }
            if !self.look().await {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }

    /// The next that is there already, of a job that has ended; `None` if there is none, or the store is away: then it is in the
    /// outcome. A job of which nothing was heard until then is not asked for: nearly none has anything to tell.
    pub async fn next_at_once(&mut self) -> Option<(Position, Progress)> {
        loop {
            if let Some(told) = self.take() {
                return Some(told);
            }
            if !self.has_told {
                return None;
            }
            self.look().await;
            if self.read.is_empty() {
                return None;
            }
        }
    }

    fn take(&mut self) -> Option<(Position, Progress)> {
        while let Some((position, progress)) = self.read.pop_front() {
            self.after = position;
            if let Some(progress) = progress {
                return Some((position, progress));
            }
        }
        None
    }

    /// Reads on; false if the store is away.
    async fn look(&mut self) -> bool {
        let read = self.store.progress_after(&self.tenant, &self.id, self.after, AT_ONCE);
        match read.await {
            Ok(entries) => {
                self.is_more = entries.len() == AT_ONCE;
                self.has_told |= !entries.is_empty();
                self.read.extend(entries);
                true
            }
            Err(error) => {
                tracing::debug!(%error, "progress waits for the store");
                self.is_more = true;
                false
            }
        }
    }
}
