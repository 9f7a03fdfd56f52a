//! Dead letters in the store: the list of a tenant's failed jobs, spread over its buckets, and what each is worth.

use gristmill_schemas::{
    JobId, TenantId,
    key::{self, BUCKETS, field},
};
use redis::{FromRedisValue, Pipeline, RedisError};

use crate::{
    dead_inputs::KeptInput,
    outcomes::{self, Record},
    script,
    store::{Store, StoreError, translate},
};

/// What the store holds of a dead letter.
#[derive(Debug, Clone)]
pub struct DeadLetterRecord {
    /// The job's failure and lineage.
    pub record: Record,
    /// Where its inputs are kept, if they are.
    pub input: Option<KeptInput>,
    /// The job that a redrive made of it: it is on the list no more.
    pub redriven_as: Option<JobId>,
}

/// A place in the list of a tenant's dead letters: it goes from the newest to the oldest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// When the job failed, microseconds by the store's clock.
    pub failed_at: u64,
    /// The job; its text decides among equal times, as the store's own order does.
    pub id: JobId,
}

/// What may fail in the same microsecond of one bucket, and be read twice for it.
const TIES: usize = 16;

impl Store {
    /// At most `limit` dead letters behind a place, or the newest.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn dead_letters(
        &self,
        tenant: &TenantId,
        after: Option<Place>,
        limit: usize,
    ) -> Result<Vec<Place>, StoreError> {
        let mut pipeline = Pipeline::with_capacity(usize::from(BUCKETS));
        for bucket in 0..BUCKETS {
            let from = after.map_or_else(|| "+inf".to_owned(), |place| place.failed_at.to_string());
            let command = pipeline.cmd("ZREVRANGEBYSCORE").arg(key::dead_letters(tenant, bucket));
            command.arg(from).arg("-inf").arg("WITHSCORES");
            command.arg("LIMIT").arg(0).arg(limit + TIES);
        }
        let buckets: Vec<Vec<(String, f64)>> = self.query(&pipeline).await?;
        let places = buckets.into_iter().flatten().filter_map(|(id, failed_at)| {
            let id = id.parse().ok()?;
            let failed_at = failed_at as u64;
            Some(Place { failed_at, id })
        });
        let mut places: Vec<Place> = places
            .filter(|place| after.is_none_or(|after| *place < after))
            .collect();
        places.sort_unstable_by(|one, other| other.cmp(one));
        places.truncate(limit);
        Ok(places)
    }

    /// Dead letters by their ids, in that order; `None` for what is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn dead_letter_records(
        &self,
        tenant: &TenantId,
        ids: &[JobId],
    ) -> Result<Vec<Option<DeadLetterRecord>>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = Pipeline::with_capacity(ids.len());
        for id in ids {
            let command = pipeline.cmd("HMGET").arg(key::job(tenant, id));
            command
                .arg(&outcomes::FIELDS)
                .arg(field::DEAD_LETTER)
                .arg(field::REDRIVEN_AS);
        }
        let rows: Vec<Row> = self.query(&pipeline).await?;
        rows.into_iter().map(dead_letter).collect()
    }

    /// Takes a dead letter off the list, because it was dropped or because a redrive made another job of it. Answers
    /// where its inputs were kept; `None` if it was off the list already.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn bury(
        &self,
        tenant: &TenantId,
        id: &JobId,
        redriven_as: Option<&JobId>,
    ) -> Result<Option<Option<KeptInput>>, StoreError> {
        let mut command = script::BURY.call(2);
        command
            .arg(key::job(tenant, id))
            .arg(key::dead_letters(tenant, id.bucket(BUCKETS)))
            .arg(id.to_string())
            .arg(redriven_as.map(JobId::to_string).unwrap_or_default());
        let mut answers = self.run(vec![command]).await?;
        let answer = answers.pop().unwrap_or(Ok(redis::Value::Nil));
        let input = answer.and_then(|value| Option::<u64>::from_redis_value(value).map_err(RedisError::from));
        let input = input.map_err(|error| translate(&error))?;
        Ok(input.map(KeptInput::of_sequence))
    }
}

type Row = (
    Option<String>,
    Option<Vec<u8>>,
    Option<u64>,
    Option<Vec<u8>>,
    Option<u64>,
    Option<String>,
);

fn dead_letter(row: Row) -> Result<Option<DeadLetterRecord>, StoreError> {
    let (state, outcome, committed_at, lineage, input, redriven_as) = row;
    let redriven_as: Option<JobId> = redriven_as.and_then(|id| id.parse().ok());
    if input.is_none() && redriven_as.is_none() {
        return Ok(None);
    }
    let record = Record::of_fields(((state, outcome, committed_at), lineage))?;
    Ok(record.map(|record| DeadLetterRecord {
        record,
        input: input.and_then(KeptInput::of_sequence),
        redriven_as,
    }))
}
