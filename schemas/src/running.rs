//! A job that a worker has claimed and not ended, as the worker reports it while it lasts: text in a sorted set of its tenant's
//! bucket in Redis, by when it was last reported. Words stand with spaces between, in this order: id, model, version, lane, worker,
//! attempt, when it was claimed (Unix microseconds by the worker's clock), and the caller's labels as a JSON object, to the end.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    api::{Links, text},
    job_id::JobId,
    lane::Lane,
    name::{ModelName, VersionName},
    time::Timestamp,
};

/// A job that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningJob {
    /// The job.
    pub id: JobId,
    /// What it was accepted for.
    pub model: ModelName,
    /// And the version.
    pub version: VersionName,
    /// The lane it waited in.
    pub lane: Lane,
    /// Who has it.
    pub worker: String,
    /// Which attempt it is, from 1.
    pub attempt: u32,
    /// When it was claimed, by the worker's clock.
    pub claimed_at: Timestamp,
    /// The caller's labels.
    pub metadata: BTreeMap<String, String>,
}

impl RunningJob {
    /// As it is reported.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!(
            "{} {} {} {} {} {} {} {}",
            self.id,
            self.model,
            self.version,
            self.lane,
            // its name is made of a host's, which may be anything
            self.worker.replace(' ', "_"),
            self.attempt,
            self.claimed_at.as_micros(),
            serde_json::to_string(&self.metadata).expect("a map of text"),
        )
    }

    /// Reads a report; `None` if it is none of ours.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let mut words = text.splitn(8, ' ');
        Some(Self {
            id: words.next()?.parse().ok()?,
            model: words.next()?.parse().ok()?,
            version: words.next()?.parse().ok()?,
            lane: words.next()?.parse().ok()?,
            worker: words.next()?.to_owned(),
            attempt: words.next()?.parse().ok()?,
            claimed_at: Timestamp::from_micros(words.next()?.parse().ok()?),
            metadata: serde_json::from_str(words.next()?).ok()?,
        })
    }
}

/// A job that runs, in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunningView {
    /// Its id.
    #[serde(with = "text")]
    pub id: JobId,
    /// The model it was accepted for.
    pub model: ModelName,
    /// And the version.
    pub version: VersionName,
    /// The lane it waited in.
    pub lane: Lane,
    /// When it was accepted.
    #[serde(with = "text")]
    pub created_at: Timestamp,
    /// When it was claimed, by the worker's clock.
    #[serde(with = "text")]
    pub claimed_at: Timestamp,
    /// When it expires if it has not ended by then.
    #[serde(with = "text")]
    pub deadline: Timestamp,
    /// Which attempt it is, from 1.
    pub attempt: u32,
    /// The worker that has it, as its lineage will name it.
    pub worker: String,
    /// The caller's labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Where its parts are.
    pub links: Links,
}

impl From<RunningJob> for RunningView {
    fn from(job: RunningJob) -> Self {
        Self {
            id: job.id,
            model: job.model,
            version: job.version,
            lane: job.lane,
            created_at: job.id.accepted_at(),
            claimed_at: job.claimed_at,
            deadline: job.id.deadline(),
            attempt: job.attempt,
            worker: job.worker,
            metadata: job.metadata,
            links: Links::of(&job.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_is_read_back_whatever_its_labels_say() {
        let job = RunningJob {
            id: "0".repeat(56).parse().unwrap(),
            model: "minilm".parse().unwrap(),
            version: "1".parse().unwrap(),
            lane: Lane::Batch,
            worker: "mill-17-0a0b0c0d".to_owned(),
            attempt: 2,
            claimed_at: Timestamp::from_micros(1_700_000_000_000_001),
            metadata: [("run \u{e9}\"".to_owned(), "7\n 8 9".to_owned())].into(),
        };
        assert_eq!(RunningJob::from_text(&job.to_text()), Some(job.clone()));
        let host_with_a_space = RunningJob {
            worker: "my mill".to_owned(),
            ..job.clone()
        };
        let read = RunningJob::from_text(&host_with_a_space.to_text()).unwrap();
        assert_eq!((read.worker.as_str(), read.attempt), ("my_mill", 2));
        let text = job.to_text();
        assert_eq!(RunningJob::from_text(text.split_once(' ').unwrap().1), None);
        assert_eq!(RunningJob::from_text(&text[..text.len() - 1]), None);
    }
}
