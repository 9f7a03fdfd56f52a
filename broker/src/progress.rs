//! Telling what some rows of a job have given while the rest of it runs, and reading that. It is told once and not kept for
//! ever: the outcome has all of it.

use std::time::Duration;

use gristmill_schemas::{JobId, Position, Progress, TenantId, key};
use redis::Cmd;

use crate::{
    events, script,
    store::{Store, StoreError, kept_millis, translate},
};

/// How much longer than its job may run the progress of it is kept, and how long after the job's end: so that whoever was
/// about to read it can.
pub(crate) const KEPT_AFTER: Duration = Duration::from_secs(60);

/// Some rows of a job that have run.
#[derive(Debug, Clone, Copy)]
pub struct RowsRun<'a> {
    /// Whose it is.
    pub tenant: &'a TenantId,
    /// The job.
    pub id: &'a JobId,
    /// Which rows, and what they gave.
    pub progress: &'a Progress,
}

/// An entry of a job's progress; what this build cannot read has a position alone.
pub type ProgressEntry = (Position, Option<Progress>);

impl Store {
    /// Tells what rows of jobs have given, in one pipeline. Rows of one job come in the order in which they were run. What is
    /// told of a job that has ended, or by an attempt that is not the newest, is passed over.
    ///
    /// # Errors
    /// [`StoreError`]: some of it may not be told.
    pub async fn tell_progress(&self, rows: &[RowsRun<'_>]) -> Result<(), StoreError> {
        let answers = self.run(rows.iter().map(command).collect()).await?;
        let mut failed = answers.into_iter().filter_map(Result::err);
        failed.next().map_or(Ok(()), |error| Err(translate(&error)))
    }

    /// Forgets what jobs have told, to make room.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget_progress(&self, jobs: &[(&TenantId, &JobId)]) -> Result<(), StoreError> {
        let forget = |(tenant, id): &(&TenantId, &JobId)| redis::cmd("DEL").arg(key::progress(tenant, id)).to_owned();
        self.run(jobs.iter().map(forget).collect()).await.map(drop)
    }

    /// What a job has told behind a position, at most so many entries.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn progress_after(
        &self,
        tenant: &TenantId,
        id: &JobId,
        after: Position,
        limit: usize,
    ) -> Result<Vec<ProgressEntry>, StoreError> {
        let mut range = redis::cmd("XRANGE");
        range.arg(key::progress(tenant, id)).arg(format!("({after}")).arg("+");
        let entries: Vec<Entry> = self.command(range.arg("COUNT").arg(limit)).await?;
        let entry = |(position, fields): Entry| Ok((events::position(&position)?, Progress::from_fields(&fields).ok()));
        entries.into_iter().map(entry).collect()
    }
}

/// An entry of the stream: its id and its fields.
type Entry = (String, Vec<(String, Vec<u8>)>);

fn command(rows: &RowsRun<'_>) -> Cmd {
    let RowsRun { tenant, id, progress } = rows;
    let mut command = script::PROGRESS.call(2);
    command.arg(key::job(tenant, id)).arg(key::progress(tenant, id));
    command.arg(id.to_string()).arg(&progress.values()[..]);
    let may_run = id.time_to_live().as_duration() + KEPT_AFTER;
    command.arg(kept_millis(id)).arg(may_run.as_millis() as u64);
    command.arg(key::hints(tenant, id.bucket(key::BUCKETS)));
    command
}
