//! How fast a queue is worked off that has a backlog, and what memory the backlog takes. Jobs come onto the stream as an ingest
//! would publish them, in full envelopes, as fast as they leave it.

use gristmill_broker::nats::bare;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context;
use async_nats::jetstream::{self, stream::Stream};
use clap::Parser;
use futures_util::future::try_join_all;
use gristmill_loadtest::WorkArgs;
use gristmill_models::{CatalogArgs, ModelVersion};
use gristmill_schemas::{
    Digest, Envelope, Job, JobIdKeys, Lane, Retention, Span, TenantId, Tensor, Timestamp,
    job_id::Mint,
    subject::{Queue, QueueTag, STREAM, TenantGroup},
};

use crate::{bench::site::Site, scrape};

/// Jobs of an envelope: as many as an ingest puts into one.
pub const ENVELOPE: u64 = 64;
/// Envelopes of an empty backlog: what keeps a worker busy.
pub const BUSY: u64 = 16;
/// Envelopes on their way to the stream at once.
const AT_ONCE: u64 = 16;
/// How often the stream is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// What a backlog showed.
#[derive(Debug)]
pub struct Shown {
    /// Jobs a second that ended, window by window.
    pub rates: Vec<f64>,
    /// Resident memory of each process in bytes, when the backlog was there.
    pub memory: BTreeMap<&'static str, u64>,
    /// Bytes of the stream's files.
    pub stream_bytes: u64,
    /// Jobs on it.
    pub queued: u64,
}

/// Puts jobs onto a site's stream.
pub struct Backlog {
    jetstream: jetstream::Context,
    stream: Stream,
    queue: Queue,
    version: std::sync::Arc<ModelVersion>,
    keys: JobIdKeys,
    tenant: TenantId,
    inputs: Vec<Vec<Tensor>>,
    next: u64,
}

impl Backlog {
    /// Jobs of the model `identity` for this site.
    ///
    /// # Errors
    /// The broker does not answer, or there is no such model.
    pub async fn on(site: &Site) -> anyhow::Result<Self> {
        #[derive(Parser)]
        struct Defaults {
            #[command(flatten)]
            catalog: CatalogArgs,
            #[command(flatten)]
            work: WorkArgs,
        }
        let Defaults { catalog, work } = Defaults::parse_from(["backlog"]);
        let version = catalog.catalog()?.resolve(&work.model.as_str().parse()?, None)?;
        let tenant: TenantId = "bench".parse()?;
        let queue = Queue {
            model: version.manifest.name.clone(),
            version: version.manifest.version.clone(),
            lane: Lane::Interactive,
            group: TenantGroup::of(&tenant),
        };
        let jetstream = jetstream::new(bare(&site.stack.servers.nats.url()).await?);
        Ok(Self {
            stream: jetstream.get_stream(STREAM).await?,
            jetstream,
            queue,
            version,
            keys: JobIdKeys::new(BTreeMap::from([(1, [7; 32])])).context("a key")?,
            tenant,
            inputs: gristmill_loadtest::inputs(&work, 0..1024),
            next: 0,
        })
    }

    /// Keeps so many envelopes on the stream and tells how fast they leave it in each of so many windows.
    ///
    /// # Errors
    /// A server does not answer.
    pub async fn hold(&mut self, site: &Site, envelopes: u64, windows: (usize, Duration)) -> anyhow::Result<Shown> {
        self.fill(envelopes).await?;
        let (memory, info) = (memory_of(site)?, self.stream.info().await?);
        let (stream_bytes, queued) = (info.state.bytes, info.state.messages * ENVELOPE);
        let mut rates = Vec::new();
        for _ in 0..windows.0 {
            let (began, before) = (Instant::now(), ended(site).await?);
            while began.elapsed() < windows.1 {
                self.fill(envelopes).await?;
                tokio::time::sleep(LOOK).await;
            }
            rates.push((ended(site).await? - before) / began.elapsed().as_secs_f64());
        }
        Ok(Shown {
            rates,
            memory,
            stream_bytes,
            queued,
        })
    }

    /// Puts envelopes onto the stream until it has so many.
    async fn fill(&mut self, envelopes: u64) -> anyhow::Result<()> {
        loop {
            let there = self.stream.info().await?.state.messages;
            let missing = envelopes.saturating_sub(there).min(AT_ONCE);
            if missing == 0 {
                return Ok(());
            }
            let subject = self.queue.subject();
            let mut publishes = Vec::new();
            for _ in 0..missing {
                let envelope = self.envelope()?.encode();
                publishes.push(self.jetstream.publish(subject.clone(), envelope.into()).await?);
            }
            try_join_all(publishes.into_iter().map(std::future::IntoFuture::into_future)).await?;
        }
    }

    fn envelope(&mut self) -> anyhow::Result<Envelope> {
        let jobs: anyhow::Result<Vec<Job>> = (0..ENVELOPE).map(|_| self.job()).collect();
        Ok(Envelope::new(jobs?))
    }

    fn job(&mut self) -> anyhow::Result<Job> {
        self.next += 1;
        let manifest = &self.version.manifest;
        let mint = Mint {
            accepted_at: Timestamp::from(SystemTime::now()),
            time_to_live: Span::from_secs(3600),
            retention: Retention::from_minutes(24 * 60).context("a day")?,
            queue: QueueTag::of(&manifest.name, &manifest.version, self.queue.lane),
            random: self.next.to_le_bytes(),
        };
        let inputs = self.inputs[self.next as usize % self.inputs.len()].clone();
        Ok(Job {
            id: self.keys.mint(&self.tenant, mint),
            tenant: self.tenant.clone(),
            submitted_by: "bench".parse()?,
            model: manifest.name.clone(),
            version: manifest.version.clone(),
            artifact: manifest.model_digest(),
            lane: self.queue.lane,
            input_digest: Digest::of_tensors(&inputs),
            inputs,
            provenance: gristmill_schemas::Provenance::default(),
            metadata: BTreeMap::new(),
            traceparent: None,
            webhook: None,
        })
    }
}

/// Jobs that a site's workers have ended well.
async fn ended(site: &Site) -> anyhow::Result<f64> {
    let mut sum = 0.0;
    for worker in &site.workers {
        sum += scrape::sum(&worker.at.admin_url, "gristmill_jobs_ended_total", "succeeded").await?;
    }
    Ok(sum)
}

/// Resident memory by process.
fn memory_of(site: &Site) -> anyhow::Result<BTreeMap<&'static str, u64>> {
    let of = |(name, pids): (&'static str, Vec<u32>)| {
        let sizes: anyhow::Result<Vec<u64>> = pids.iter().map(|pid| resident(*pid)).collect();
        Ok((name, sizes?.into_iter().sum()))
    };
    site.target()?.processes.into_iter().map(of).collect()
}

/// Resident memory of a process in bytes.
pub fn resident(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("the memory of a process (Linux)")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .context("VmRSS in kB")?
        .parse()?;
    Ok(kib << 10)
}
