//! Reading how jobs ended.

use bytes::Bytes;
use gristmill_schemas::{
    JobId, JobState, Lineage, Outcome, RowsDone, TenantId, Timestamp,
    codec::DecodeError,
    key::{self, field},
};

use redis::{FromRedisValue, RedisError, Value};

use crate::store::{Store, StoreError, translate};

/// The fields that make a record; the first of them tell how the job ended.
pub(crate) const FIELDS: [&str; 4] = [field::STATE, field::OUTCOME, field::COMMITTED_AT, field::LINEAGE];
const ENDED: usize = 3;
/// What stands in them.
pub(crate) type Fields = (EndedFields, Option<Vec<u8>>);
pub(crate) type EndedFields = (Option<String>, Option<Vec<u8>>, Option<u64>);

/// How a job ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The terminal state.
    pub state: JobState,
    /// The encoded [`Outcome`].
    pub outcome: Bytes,
    /// When it was committed, by the store's clock.
    pub committed_at: Timestamp,
}

impl Ended {
    fn of_fields(fields: EndedFields) -> Result<Option<Self>, StoreError> {
        let (Some(state), Some(outcome), Some(committed_at)) = fields else {
            return Ok(None);
        };
        Ok(Some(Self {
            state: parse_state(&state)?,
            outcome: outcome.into(),
            committed_at: Timestamp::from_micros(committed_at),
        }))
    }

    /// The outcome, decoded.
    ///
    /// # Errors
    /// It was written by a build with another major version.
    pub fn outcome(&self) -> Result<Outcome, DecodeError> {
        Outcome::decode(&self.outcome)
    }
}

/// What the store knows of a job.
#[derive(Debug, Clone)]
pub enum Known {
    /// How it ended.
    Ended(Ended),
    /// It has no outcome; how far it has come, if it has told.
    Unended(Option<RowsDone>),
}

/// What the store holds of a job that has ended.
#[derive(Debug, Clone)]
pub struct Record {
    /// How it ended.
    pub ended: Ended,
    /// The encoded [`Lineage`], without its commit time.
    pub lineage: Bytes,
}

impl Record {
    /// What [`FIELDS`] hold; `None` while the job has no outcome.
    pub(crate) fn of_fields((ended, lineage): Fields) -> Result<Option<Self>, StoreError> {
        let record = |(ended, lineage): (Ended, Vec<u8>)| Self {
            ended,
            lineage: lineage.into(),
        };
        Ok(Ended::of_fields(ended)?.zip(lineage).map(record))
    }

    /// The lineage, decoded, with its commit time.
    ///
    /// # Errors
    /// It was written by a build with another major version.
    pub fn lineage(&self) -> Result<Lineage, DecodeError> {
        let mut lineage = Lineage::decode(&self.lineage)?;
        lineage.stages.committed_at = Some(self.ended.committed_at);
        Ok(lineage)
    }
}

impl Store {
    /// A job's record; `None` while it has no outcome.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read(&self, tenant: &TenantId, id: &JobId) -> Result<Option<Record>, StoreError> {
        let mut command = redis::cmd("HMGET");
        command.arg(key::job(tenant, id)).arg(&FIELDS);
        let (state, outcome, committed_at, lineage) = self.command(&command).await?;
        Record::of_fields(((state, outcome, committed_at), lineage))
    }

    /// How a job ended; `None` while it has no outcome.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ended(&self, tenant: &TenantId, id: &JobId) -> Result<Option<Ended>, StoreError> {
        let mut command = redis::cmd("HMGET");
        command.arg(key::job(tenant, id)).arg(&FIELDS[..ENDED]);
        Ended::of_fields(self.command(&command).await?)
    }

    /// What is known of a job, whether it has ended or not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn known(&self, tenant: &TenantId, id: &JobId) -> Result<Known, StoreError> {
        let mut command = redis::cmd("HMGET");
        let key = key::job(tenant, id);
        command.arg(key).arg(&FIELDS[..ENDED]).arg(field::PROGRESS);
        let (state, outcome, committed_at, progress) = self.command(&command).await?;
        let progress: Option<String> = progress;
        let rows_done = progress.as_deref().and_then(RowsDone::from_field);
        let ended = Ended::of_fields((state, outcome, committed_at))?;
        Ok(ended.map_or(Known::Unended(rows_done), Known::Ended))
    }

    /// How jobs ended, in their order; `None` for those without an outcome.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ended_all(&self, tenant: &TenantId, ids: &[JobId]) -> Result<Vec<Option<Ended>>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::Pipeline::with_capacity(ids.len());
        for id in ids {
            pipeline.cmd("HMGET").arg(key::job(tenant, id)).arg(&FIELDS[..ENDED]);
        }
        let rows: Vec<EndedFields> = self.query(&pipeline).await?;
        rows.into_iter().map(Ended::of_fields).collect()
    }

    /// A job's terminal state alone; `None` while it has none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn state(&self, tenant: &TenantId, id: &JobId) -> Result<Option<JobState>, StoreError> {
        let mut command = redis::cmd("HGET");
        command.arg(key::job(tenant, id)).arg(field::STATE);
        let state: Option<String> = self.command(&command).await?;
        state.as_deref().map(parse_state).transpose()
    }

    /// The terminal states of several jobs in one round trip, in their order; `None` for those that have none.
    ///
    /// # Errors
    /// [`StoreError`]; within the answer, that of one job.
    pub async fn states(
        &self,
        jobs: &[(&TenantId, &JobId)],
    ) -> Result<Vec<Result<Option<JobState>, StoreError>>, StoreError> {
        let command = |(tenant, id): &(&TenantId, &JobId)| {
            let mut command = redis::cmd("HGET");
            command.arg(key::job(tenant, id)).arg(field::STATE);
            command
        };
        let answers = self.run(jobs.iter().map(command).collect()).await?;
        let state = |answer: Result<Value, RedisError>| {
            let word = answer.and_then(|value| Option::<String>::from_redis_value(value).map_err(RedisError::from));
            let word = word.map_err(|error| translate(&error))?;
            word.as_deref().map(parse_state).transpose()
        };
        Ok(answers.into_iter().map(state).collect())
    }
}

pub(crate) fn parse_state(word: &str) -> Result<JobState, StoreError> {
    word.parse()
        .map_err(|_| StoreError::Unreadable("a job's state is none of ours".to_owned()))
}
