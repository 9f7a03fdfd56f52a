//! The raw content of both stores once everything is over: what is there whoever asks, ghosts included.

use gristmill_broker::nats::bare;
use std::collections::BTreeMap;

use anyhow::{Context, anyhow};
use gristmill_schemas::{Digest, JobId, JobResult, JobState, Lineage, Outcome, Timestamp, key::field, subject::STREAM};
use redis::aio::MultiplexedConnection;

/// A job's hash.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredJob {
    /// The tenant in its key.
    pub tenant: String,
    /// The id in its key.
    pub id: JobId,
    /// Its terminal state, if it has ended.
    pub state: Option<JobState>,
    /// When it ended, by the store's clock.
    pub committed_at: Option<Timestamp>,
    /// The digest of the outputs in its outcome, if it succeeded.
    pub outputs: Option<Digest>,
    /// Its lineage, without the commit's time.
    pub lineage: Option<Lineage>,
    /// Attempts that were counted; 0 if none was but the first.
    pub attempts: u32,
}

impl StoredJob {
    /// How often it was tried, as far as anybody counted.
    #[must_use]
    pub fn tries(&self) -> u32 {
        let told = self.lineage.as_ref().map_or(0, |lineage| lineage.attempt);
        self.attempts.max(told)
    }
}

/// What both stores hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stored {
    /// Every job's hash.
    pub jobs: Vec<StoredJob>,
    /// Events of each job's end, by job.
    pub events: BTreeMap<JobId, Vec<JobState>>,
    /// Envelopes that are still on the stream.
    pub envelopes: u64,
}

impl Stored {
    /// Reads all of it.
    ///
    /// # Errors
    /// A store does not answer, or holds what is none of ours.
    pub async fn read(redis_url: &str, nats_url: &str) -> anyhow::Result<Self> {
        let mut redis = connected(redis_url).await?;
        let mut jobs = Vec::new();
        for key in keys(&mut redis, "gm:{*}:job:*", "hash").await? {
            jobs.push(job(&mut redis, &key).await.with_context(|| format!("the hash {key}"))?);
        }
        let mut events: BTreeMap<JobId, Vec<JobState>> = BTreeMap::new();
        for key in keys(&mut redis, "gm:{*}:events", "stream").await? {
            type Entry = (String, Vec<(String, String)>);
            let entries: Vec<Vec<Entry>> = redis::cmd("XRANGE")
                .arg(&key)
                .arg("-")
                .arg("+")
                .query_async::<Vec<Entry>>(&mut redis)
                .await
                .map(|entries| vec![entries])?;
            for (_, fields) in entries.into_iter().flatten() {
                let (id, state) = event(&fields).with_context(|| format!("an event of {key}"))?;
                events.entry(id).or_default().push(state);
            }
        }
        let envelopes = envelopes(nats_url).await?;
        Ok(Self {
            jobs,
            events,
            envelopes,
        })
    }
}

/// Envelopes that the stream holds.
///
/// # Errors
/// The broker does not answer.
pub async fn envelopes(nats_url: &str) -> anyhow::Result<u64> {
    let client = bare(nats_url).await?;
    let words = |error: &dyn std::fmt::Display| anyhow!("{error}");
    let stream = async_nats::jetstream::new(client).get_stream(STREAM).await;
    let mut stream = stream.map_err(|error| words(&error))?;
    Ok(stream.info().await.map_err(|error| words(&error))?.state.messages)
}

/// Changes a setting of the running Redis.
///
/// # Errors
/// It does not answer, or refuses.
pub async fn set(redis_url: &str, setting: &str, value: &str) -> anyhow::Result<()> {
    let mut redis = connected(redis_url).await?;
    let mut set = redis::cmd("CONFIG");
    set.arg("SET").arg(setting).arg(value);
    let done: Result<(), _> = set.query_async(&mut redis).await;
    done.with_context(|| format!("set {setting} of Redis to {value}"))
}

/// A figure of Redis's INFO; 0 where it has none of that name.
///
/// # Errors
/// It does not answer.
pub async fn info(redis_url: &str, section: &str, name: &str) -> anyhow::Result<u64> {
    let mut redis = connected(redis_url).await?;
    let text: String = redis::cmd("INFO").arg(section).query_async(&mut redis).await?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    // an error's count is `count=N`
    let digits = line.map(|value| value.trim_start_matches("count="));
    Ok(digits.map(str::parse).transpose()?.unwrap_or_default())
}

async fn connected(url: &str) -> anyhow::Result<MultiplexedConnection> {
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(std::time::Duration::from_secs(20)));
    let client = redis::Client::open(url)?;
    Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
}

/// Keys of a pattern and a type: what a job has told while it ran is no hash.
async fn keys(redis: &mut MultiplexedConnection, pattern: &str, kind: &str) -> anyhow::Result<Vec<String>> {
    let (mut cursor, mut found) = (0_u64, Vec::new());
    loop {
        let (next, some): (u64, Vec<String>) = redis::cmd("SCAN")
            .arg(cursor)
            .arg("MATCH")
            .arg(pattern)
            .arg("COUNT")
            .arg(1000)
            .arg("TYPE")
            .arg(kind)
            .query_async(redis)
            .await?;
        found.extend(some);
        if next == 0 {
            found.sort_unstable();
            found.dedup();
            return Ok(found);
        }
        cursor = next;
    }
}

async fn job(redis: &mut MultiplexedConnection, key: &str) -> anyhow::Result<StoredJob> {
    let (tag, id) = key.split_once("}:job:").context("the form of its key")?;
    let tenant = tag.trim_start_matches("gm:{").rsplit_once(':').context("the tenant")?.0;
    let fields = (
        field::STATE,
        field::OUTCOME,
        field::LINEAGE,
        field::COMMITTED_AT,
        field::ATTEMPTS,
    );
    type Row = (
        Option<String>,
        Option<Vec<u8>>,
        Option<Vec<u8>>,
        Option<u64>,
        Option<u32>,
    );
    let (state, outcome, lineage, committed_at, attempts): Row =
        redis::cmd("HMGET").arg(key).arg(fields).query_async(redis).await?;
    let outputs = match outcome
        .map(|bytes| Outcome::decode(&bytes))
        .transpose()?
        .map(|outcome| outcome.result)
    {
        Some(JobResult::Succeeded(outputs)) => Some(Digest::of_tensors(&outputs)),
        Some(JobResult::Failed(_) | JobResult::Expired | JobResult::Cancelled) | None => None,
    };
    Ok(StoredJob {
        tenant: tenant.to_owned(),
        id: id.parse()?,
        state: state.map(|state| state.parse()).transpose()?,
        committed_at: committed_at.map(Timestamp::from_micros),
        outputs,
        lineage: lineage.map(|bytes| Lineage::decode(&bytes)).transpose()?,
        attempts: attempts.unwrap_or_default(),
    })
}

fn event(fields: &[(String, String)]) -> anyhow::Result<(JobId, JobState)> {
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    let id = field("id").context("its id")?.parse()?;
    Ok((id, field("state").context("its state")?.parse()?))
}
