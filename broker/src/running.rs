//! Which jobs are being run: reports of workers, repeated while it lasts and forgotten soon after. No outcome depends on them.

use std::{collections::BTreeMap, time::Duration};

use gristmill_schemas::{
    RunningJob, TenantId,
    key::{self, BUCKETS},
};
use redis::{Pipeline, Value};

use crate::{
    events, script,
    store::{Store, StoreError, translate},
};

/// How long a report counts. Workers report every second; a few may be lost.
pub const COUNTS_FOR: Duration = Duration::from_secs(5);
/// Jobs reported by one call of the script: Lua takes some thousands of arguments at most.
const JOBS_A_CALL: usize = 500;
/// The most that is read of one bucket; the rest is seen when these have ended.
const MOST_A_BUCKET: usize = 200;

impl Store {
    /// Reports what is being run, in one pipeline.
    ///
    /// # Errors
    /// [`StoreError`]: some may not be known.
    pub async fn report_running(&self, jobs: &[(TenantId, RunningJob)]) -> Result<(), StoreError> {
        let mut by_key: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (tenant, job) in jobs {
            let key = key::running(tenant, job.id.bucket(BUCKETS));
            by_key.entry(key).or_default().push(job.to_text());
        }
        let mut commands = Vec::new();
        for (key, jobs) in &by_key {
            for jobs in jobs.chunks(JOBS_A_CALL) {
                let mut command = script::RUNNING.call(1);
                command.arg(key).arg(COUNTS_FOR.as_millis() as u64).arg(jobs);
                commands.push(command);
            }
        }
        let answers = self.run(commands).await?;
        let mut failed = answers.into_iter().filter_map(Result::err);
        failed.next().map_or(Ok(()), |error| Err(translate(&error)))
    }

    /// The tenant's jobs that are being run, as far as their workers have said so, the last claimed first. One that is begun is
    /// known within two seconds; one that has ended may be among them for as long as its report counts.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn running(&self, tenant: &TenantId) -> Result<Vec<RunningJob>, StoreError> {
        let mut pipeline = Pipeline::with_capacity(1 + usize::from(BUCKETS));
        pipeline.cmd("TIME");
        for bucket in 0..BUCKETS {
            let range = pipeline.cmd("ZRANGE").arg(key::running(tenant, bucket));
            range.arg(0).arg(MOST_A_BUCKET - 1).arg("REV").arg("WITHSCORES");
        }
        let mut answers = self.query::<Vec<Value>>(&pipeline).await?.into_iter();
        let (seconds, micros): (u64, u64) = events::read(answers.next())?;
        let buckets: Vec<Vec<(String, f64)>> = answers
            .map(|answer| events::read(Some(answer)))
            .collect::<Result<_, _>>()?;
        let oldest = (seconds * 1000 + micros / 1000) as f64 - COUNTS_FOR.as_millis() as f64;
        let reports = buckets.iter().flatten().filter(|(_, at)| *at >= oldest);
        let mut newest: BTreeMap<_, RunningJob> = BTreeMap::new();
        for job in reports.filter_map(|(report, _)| RunningJob::from_text(report)) {
            // of a job whose worker died, both attempts may have been reported
            if newest.get(&job.id).is_none_or(|known| known.attempt < job.attempt) {
                newest.insert(job.id, job);
            }
        }
        let mut running: Vec<RunningJob> = newest.into_values().collect();
        running.sort_unstable_by_key(|job| std::cmp::Reverse((job.claimed_at, job.id)));
        Ok(running)
    }
}
