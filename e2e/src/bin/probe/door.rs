//! The ways in that are compared: one publish a job, an atomic batch of what waits, an envelope of what waits.

use std::sync::Arc;

use anyhow::Context as _;
use async_nats::HeaderMap;
use async_nats::jetstream::Context;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// How jobs become messages.
#[derive(Clone, Copy)]
pub(crate) enum Mode {
    /// One publish a job.
    Plain,
    /// What waits goes into one atomic batch, one batch in flight.
    AtomicBatch,
    /// What waits, at most `max_jobs`, goes into one message, `in_flight` publishes at once.
    Envelopes {
        /// Jobs in a message.
        max_jobs: usize,
        /// Publishes at once.
        in_flight: usize,
    },
}

/// A way in, shared by all callers.
#[derive(Clone)]
pub(crate) enum Door {
    /// Publishes by itself.
    Plain {
        /// JetStream.
        js: Box<Context>,
        /// Where to.
        subject: String,
    },
    /// Hands over to a task that takes what waits.
    Seam(mpsc::Sender<Waiting>),
}

/// A job and whom to tell that it is stored.
pub(crate) struct Waiting {
    body: Vec<u8>,
    stored: oneshot::Sender<()>,
}

impl Door {
    /// Opens a door on one subject.
    pub(crate) fn open(mode: Mode, js: &Context, subject: &str) -> Self {
        let subject = subject.to_owned();
        let (sender, receiver) = mpsc::channel(4096);
        match mode {
            Mode::Plain => {
                let js = Box::new(js.clone());
                return Self::Plain { js, subject };
            }
            Mode::AtomicBatch => drop(tokio::spawn(batches(js.clone(), subject, receiver))),
            Mode::Envelopes { max_jobs, in_flight } => {
                let slots = Arc::new(Semaphore::new(in_flight));
                drop(tokio::spawn(envelopes(js.clone(), subject, receiver, max_jobs, slots)));
            }
        }
        Self::Seam(sender)
    }

    /// Returns once the job is stored.
    pub(crate) async fn submit(&self, body: Vec<u8>) -> anyhow::Result<()> {
        match self {
            Self::Plain { js, subject } => {
                js.publish(subject.clone(), body.into()).await?.await?;
            }
            Self::Seam(sender) => {
                let (stored, told) = oneshot::channel();
                sender
                    .send(Waiting { body, stored })
                    .await
                    .ok()
                    .context("the seam is gone")?;
                told.await.context("the publish failed")?;
            }
        }
        Ok(())
    }
}

async fn envelopes(
    js: Context,
    subject: String,
    mut receiver: mpsc::Receiver<Waiting>,
    max_jobs: usize,
    slots: Arc<Semaphore>,
) {
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else {
            return;
        };
        let mut jobs = Vec::with_capacity(max_jobs);
        if receiver.recv_many(&mut jobs, max_jobs).await == 0 {
            return;
        }
        let (js, subject) = (js.clone(), subject.clone());
        tokio::spawn(async move {
            let body = jobs.iter().flat_map(|job| &job.body).copied().collect::<Vec<u8>>();
            let published = async { anyhow::Ok(js.publish(subject, body.into()).await?.await?) };
            tell(jobs, published.await.map(|_| ()));
            drop(slot);
        });
    }
}

async fn batches(js: Context, subject: String, mut receiver: mpsc::Receiver<Waiting>) {
    // The server's bound is 1,000 messages a batch.
    const MAX_JOBS: usize = 1000;
    let mut number = 0_u64;
    loop {
        let mut jobs = Vec::with_capacity(MAX_JOBS);
        if receiver.recv_many(&mut jobs, MAX_JOBS).await == 0 {
            return;
        }
        number += 1;
        let published = publish_batch(&js, &subject, &format!("probe-{number}"), &jobs).await;
        tell(jobs, published);
    }
}

/// All but the last message go without a reply; the reply to the last one speaks for the batch (ADR-50 of NATS).
async fn publish_batch(js: &Context, subject: &str, id: &str, jobs: &[Waiting]) -> anyhow::Result<()> {
    let client = js.client();
    for (index, job) in jobs.iter().enumerate() {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Batch-Id", id);
        headers.insert("Nats-Batch-Sequence", (index + 1).to_string());
        let body = job.body.clone().into();
        if index + 1 < jobs.len() {
            client.publish_with_headers(subject.to_owned(), headers, body).await?;
            continue;
        }
        headers.insert("Nats-Batch-Commit", "1");
        let reply = client.request_with_headers(subject.to_owned(), headers, body).await?;
        let reply: serde_json::Value = serde_json::from_slice(&reply.payload)?;
        anyhow::ensure!(reply.get("error").is_none(), "batch refused: {reply}");
    }
    Ok(())
}

fn tell(jobs: Vec<Waiting>, published: anyhow::Result<()>) {
    match published {
        Ok(()) => {
            for job in jobs {
                // A caller past its time no longer listens.
                job.stored.send(()).ok();
            }
        }
        Err(error) => eprintln!("publish of {} jobs failed: {error:#}", jobs.len()),
    }
}
