//! Where the time of a job went, from the lineage of some of them.

use std::time::Duration;

use gristmill_schemas::{JobId, Lineage, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::client::Client;

/// Jobs that are asked about.
pub(crate) const SAMPLE: usize = 200;

/// How long asking may take in all.
const LIMIT: Duration = Duration::from_secs(10);

/// The medians of one stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// What happened in it.
    pub name: String,
    /// Its median in milliseconds.
    pub p50_ms: f64,
    /// Jobs that have told of it.
    pub jobs: u64,
}

type Moment = fn(&Lineage) -> Option<Timestamp>;

/// From where to where each stage goes. Clocks of three hosts are in it: what they disagree by is counted as nothing.
const STAGES: [(&str, Moment, Moment); 6] = [
    ("publish", |of| Some(of.stages.accepted_at), |of| of.stages.published_at),
    ("queue", |of| of.stages.published_at, |of| of.stages.received_at),
    ("batch", |of| of.stages.received_at, |of| of.stages.claimed_at),
    (
        "engine's turn",
        |of| of.stages.claimed_at,
        |of| of.stages.compute_started_at,
    ),
    (
        "compute",
        |of| of.stages.compute_started_at,
        |of| of.stages.compute_finished_at,
    ),
    (
        "commit",
        |of| of.stages.compute_finished_at,
        |of| of.stages.committed_at,
    ),
];

/// Asks about some jobs; what they do not know is not there, and a server that does not answer is not waited for.
pub(crate) async fn of(client: &Client, jobs: &[JobId]) -> Vec<Stage> {
    let mut lineages = Vec::new();
    let asking = async {
        for id in jobs {
            lineages.extend(client.lineage(id).await);
        }
    };
    // what was told by then is enough for medians
    let _ = timeout(LIMIT, asking).await;
    medians(&lineages)
}

fn medians(lineages: &[Lineage]) -> Vec<Stage> {
    let stages = STAGES.iter().filter_map(|(name, from, to)| {
        let took = lineages.iter().filter_map(|of| Some(to(of)?.since(from(of)?)));
        let mut millis: Vec<f64> = took.map(|took| took.as_secs_f64() * 1000.0).collect();
        millis.sort_by(f64::total_cmp);
        Some(Stage {
            name: (*name).to_owned(),
            p50_ms: *millis.get(millis.len() / 2)?,
            jobs: millis.len() as u64,
        })
    });
    stages.collect()
}
