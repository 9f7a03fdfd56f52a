//! Load at a door: a closed loop, where each caller hands in its next job when the last one is stored, or a fixed rate.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::bench::bytes_of;
use crate::door::Door;

/// What a job weighs here.
pub(crate) const JOB_BYTES: usize = 1024;

/// How a loop went.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    /// Jobs that were stored.
    pub(crate) jobs: usize,
    /// Jobs stored a second.
    pub(crate) rate: f64,
    /// Half of the jobs were stored within this.
    pub(crate) p50: Duration,
    /// All but a hundredth of the jobs were stored within this.
    pub(crate) p99: Duration,
}

/// How jobs arrive.
#[derive(Clone, Copy)]
pub(crate) enum Arrival {
    /// So many callers in a closed loop.
    Callers(usize),
    /// So many jobs a second, whatever becomes of those before.
    Rate(usize),
}

impl std::fmt::Display for Arrival {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Callers(callers) => write!(f, "{callers} callers"),
            Self::Rate(rate) => write!(f, "{rate} jobs/s"),
        }
    }
}

/// Lets jobs arrive for a `span`.
pub(crate) async fn arrive(door: &Door, arrival: Arrival, span: Duration) -> anyhow::Result<Load> {
    match arrival {
        Arrival::Callers(callers) => closed_loop(door, callers, span).await,
        Arrival::Rate(rate) => paced(door, rate, span).await,
    }
}

/// Runs `callers` for a `span`.
pub(crate) async fn closed_loop(door: &Door, callers: usize, span: Duration) -> anyhow::Result<Load> {
    let start = Instant::now();
    let tasks = (0..callers).map(|_| {
        let door = door.clone();
        async move { tokio::spawn(caller(door, start + span)).await? }
    });
    let latencies = try_join_all(tasks).await?.concat();
    Ok(Load::of(latencies, start.elapsed()))
}

/// Hands in jobs at a fixed rate; a job's time counts from when it was due, so that a stall is charged in full.
async fn paced(door: &Door, rate: usize, span: Duration) -> anyhow::Result<Load> {
    let start = Instant::now();
    let body = bytes_of(JOB_BYTES);
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut jobs = JoinSet::new();
    while start.elapsed() < span {
        ticks.tick().await;
        while due(jobs.len(), rate) <= start.elapsed() {
            let (door, body, due) = (door.clone(), body.clone(), start + due(jobs.len(), rate));
            jobs.spawn(async move {
                door.submit(body).await?;
                anyhow::Ok(due.elapsed())
            });
        }
    }
    let latencies: anyhow::Result<Vec<Duration>> = jobs.join_all().await.into_iter().collect();
    Ok(Load::of(latencies?, start.elapsed()))
}

fn due(number: usize, rate: usize) -> Duration {
    Duration::from_secs_f64(number as f64 / rate as f64)
}

async fn caller(door: Door, until: Instant) -> anyhow::Result<Vec<Duration>> {
    let body = bytes_of(JOB_BYTES);
    let mut latencies = Vec::new();
    while Instant::now() < until {
        let begun = Instant::now();
        door.submit(body.clone()).await?;
        latencies.push(begun.elapsed());
    }
    Ok(latencies)
}

impl Load {
    fn of(mut latencies: Vec<Duration>, elapsed: Duration) -> Self {
        latencies.sort_unstable();
        let at = |part: f64| {
            let index = (latencies.len() as f64 * part) as usize;
            latencies.get(index).copied().unwrap_or_default()
        };
        Self {
            jobs: latencies.len(),
            rate: latencies.len() as f64 / elapsed.as_secs_f64(),
            p50: at(0.5),
            p99: at(0.99),
        }
    }

    /// The round in the middle, by rate.
    pub(crate) fn median(rounds: &[Self]) -> Option<Self> {
        let mut sorted = rounds.to_vec();
        sorted.sort_by(|a, b| a.rate.total_cmp(&b.rate));
        sorted.get(sorted.len() / 2).copied()
    }
}
