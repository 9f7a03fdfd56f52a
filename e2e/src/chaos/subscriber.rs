//! One who follows all of a tenant's jobs through every fault: he breaks off again and again, and comes back by the last id
//! he has had, to the other door. He writes down what he was told, and judges nothing.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use eventsource_stream::Eventsource;
use futures_util::StreamExt;
use gristmill_schemas::{JobId, JobState, api::JobSummary};
use reqwest::{Method, Response};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{Client, chaos::caller::Caller};

/// Where no job has ended for so long, the stream may have lost its server: he comes back.
const SILENCE: Duration = Duration::from_secs(20);
/// After so many jobs he breaks off, in the middle of what is sent.
const STAY: usize = 97;
/// The pause before he comes back to a door that was shut.
const PAUSE: Duration = Duration::from_millis(50);
/// How long what is stored may take to be heard, once nothing is in the way.
const LAST_LIMIT: Duration = Duration::from_secs(30);

/// What was heard of one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// By whose subscriber: an index of the tenants.
    pub tenant: usize,
    /// The end.
    pub state: JobState,
}

/// All that was heard.
pub type AllHeard = BTreeMap<JobId, Vec<Heard>>;

/// The subscribers of all tenants.
#[derive(Debug)]
pub struct Subscribers {
    heard: Arc<Mutex<AllHeard>>,
    resets: Arc<Mutex<Vec<usize>>>,
    tasks: JoinSet<()>,
}

impl Subscribers {
    /// Subscribes for each tenant, before any job is handed in.
    ///
    /// # Errors
    /// A door is shut.
    pub async fn start(callers: &[Caller]) -> anyhow::Result<Self> {
        let mut all = Self {
            heard: Arc::default(),
            resets: Arc::default(),
            tasks: JoinSet::new(),
        };
        for caller in callers {
            let subscriber = Subscriber {
                tenant: caller.tenant,
                doors: caller.doors.clone(),
                cursor: caller.doors[0].cursor().await?,
                heard: Arc::clone(&all.heard),
                resets: Arc::clone(&all.resets),
            };
            all.tasks.spawn(subscriber.follow());
        }
        Ok(all)
    }

    /// What was heard, once all of these jobs are, or after a while. An id that is told of twice is told soon: what follows it
    /// is behind it.
    ///
    /// # Errors
    /// A subscriber was told that ends may be missing, though nothing was old enough to be gone.
    pub async fn finish(self, jobs: impl Iterator<Item = JobId> + Clone) -> anyhow::Result<AllHeard> {
        let until = Instant::now() + LAST_LIMIT;
        let all_heard = || {
            let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            jobs.clone().all(|id| heard.contains_key(&id))
        };
        while !all_heard() && Instant::now() < until {
            sleep(PAUSE).await;
        }
        drop(self.tasks);
        let resets = self.resets.lock().unwrap_or_else(PoisonError::into_inner);
        anyhow::ensure!(
            resets.is_empty(),
            "subscribers of tenants {resets:?} were told of a reset"
        );
        Ok(std::mem::take(
            &mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner),
        ))
    }
}

struct Subscriber {
    tenant: usize,
    doors: Vec<Client>,
    cursor: String,
    heard: Arc<Mutex<AllHeard>>,
    resets: Arc<Mutex<Vec<usize>>>,
}

impl Subscriber {
    async fn follow(mut self) {
        for door in self.doors.clone().iter().cycle() {
            // whatever the fault has done to the stream: what was missed is told to whoever comes back
            if self.listen(door).await.is_err() {
                sleep(PAUSE).await;
            }
        }
    }

    /// Listens for a while.
    async fn listen(&mut self, door: &Client) -> anyhow::Result<()> {
        let mut events = open(door, &self.cursor).await?.bytes_stream().eventsource();
        for _ in 0..STAY {
            let event = timeout(SILENCE, events.next())
                .await?
                .context("the stream has ended")??;
            match &*event.event {
                "outcome" => {
                    let summary: JobSummary = serde_json::from_str(&event.data)?;
                    let heard = Heard {
                        tenant: self.tenant,
                        state: summary.status,
                    };
                    let mut all = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
                    all.entry(summary.id).or_default().push(heard);
                }
                _ => self
                    .resets
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(self.tenant),
            }
            self.cursor = event.id;
        }
        Ok(())
    }
}

async fn open(door: &Client, cursor: &str) -> anyhow::Result<Response> {
    let call = door.request(Method::GET, "/v1/events").header("Last-Event-ID", cursor);
    Ok(timeout(SILENCE, call.send()).await??.error_for_status()?)
}
