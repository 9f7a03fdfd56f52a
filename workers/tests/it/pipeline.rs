//! A worker against a real broker and store: what is published comes out as outcomes, once, whatever dies in between.

use std::{path::Path, time::Duration};

use clap::Parser;
use gristmill_broker::{
    Broker, NatsArgs, Publisher, PublisherArgs, Record, ServerUrl, Store, StoreArgs, StreamArgs, Work,
};
use gristmill_schemas::{
    Digest, Job, JobId, JobIdKeys, JobResult, JobState, Lane, Provenance, Retention, TenantId, Tensor, job_id::Mint,
    subject::QueueTag,
};
use gristmill_servers::{Durability, Pair, Role};
use gristmill_telemetry::{Readiness, Shutdown};
use gristmill_workers::WorkerArgs;
use tempfile::TempDir;
use tokio::task::JoinHandle;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    worker: WorkerArgs,
}

#[derive(Parser)]
struct Publishing {
    #[command(flatten)]
    publisher: PublisherArgs,
    #[command(flatten)]
    nats: NatsArgs,
    #[command(flatten)]
    stream: StreamArgs,
}

struct Bench {
    servers: Pair,
    publisher: Publisher,
    store: Store,
    keys: JobIdKeys,
    tenant: TenantId,
    _dir: TempDir,
}

struct Worker {
    shutdown: Shutdown,
    ended: JoinHandle<anyhow::Result<()>>,
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

impl Bench {
    async fn start() -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let servers = Pair::start(Durability::PowerLoss, dir.path()).await?;
        let args = Publishing::parse_from(["publisher", "--nats-url", &servers.nats.url()]);
        let broker = Broker::connect(&args.nats).await?;
        broker.ensure_stream(&args.stream).await?;
        let publisher = Publisher::start(&broker, args.publisher, &Shutdown::new());
        let redis_url = ServerUrl::new(servers.redis.url());
        let store = Store::connect(&StoreArgs { redis_url })?;
        let keys = JobIdKeys::new([(1, [7; 32])].into()).unwrap();
        Ok(Self {
            servers,
            publisher,
            store,
            keys,
            tenant: "tests".parse()?,
            _dir: dir,
        })
    }

    fn args(servers: &Pair, more: &[&str]) -> WorkerArgs {
        let (models, artifacts) = (repository().join("models"), repository().join(".gristmill/artifacts"));
        let (nats, redis) = (servers.nats.url_of(Role::Worker), servers.redis.url_of(Role::Worker));
        let monitor = servers.nats.options().monitor_url();
        let mut args = vec![
            "worker",
            "--nats-url",
            &nats,
            "--redis-url",
            &redis,
            "--nats-monitor-url",
            &monitor,
            "--model",
            "identity",
        ];
        args.extend([
            "--models-dir",
            models.to_str().unwrap(),
            "--artifacts-dir",
            artifacts.to_str().unwrap(),
        ]);
        args.extend(more);
        Command::parse_from(args).worker
    }

    fn worker(&self, more: &[&str]) -> Worker {
        let shutdown = Shutdown::new();
        let args = Self::args(&self.servers, more);
        let ended = tokio::spawn(gristmill_workers::run(args, Readiness::new(), shutdown.clone()));
        Worker { shutdown, ended }
    }

    fn job(&self, rows: u16, ttl: Duration) -> anyhow::Result<Job> {
        let mut random = [0; 8];
        getrandom::fill(&mut random)?;
        let time_to_live = gristmill_schemas::Span::from_millis(u32::try_from(ttl.as_millis())?);
        let mint = Mint {
            accepted_at: std::time::SystemTime::now().into(),
            time_to_live,
            retention: Retention::from_minutes(24 * 60).unwrap(),
            queue: QueueTag::of(&"identity".parse()?, &"1".parse()?, Lane::Interactive),
            random,
        };
        let values: Vec<f32> = (0..rows)
            .map(f32::from)
            .chain([f32::from(random[0])])
            .take(rows.into())
            .collect();
        let inputs = vec![Tensor::from_f32("x", vec![rows.into(), 1], &values)?];
        let catalog = gristmill_models::Catalog::read(&repository().join("models"))?;
        let version = catalog.resolve(&"identity".parse()?, None)?;
        Ok(Job {
            id: self.keys.mint(&self.tenant, mint),
            tenant: self.tenant.clone(),
            submitted_by: "k1".parse()?,
            model: "identity".parse()?,
            version: "1".parse()?,
            artifact: version.manifest.model_digest(),
            lane: Lane::Interactive,
            input_digest: Digest::of_tensors(&inputs),
            inputs,
            provenance: Provenance::default(),
            metadata: Default::default(),
            traceparent: None,
            webhook: None,
        })
    }

    async fn outcome(&self, id: &JobId, worker: &Worker) -> anyhow::Result<Record> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            anyhow::ensure!(!worker.ended.is_finished(), "the worker ended by itself");
            match self.store.read(&self.tenant, id).await {
                Ok(Some(record)) => return Ok(record),
                _ if tokio::time::Instant::now() > deadline => anyhow::bail!("no outcome of {id}"),
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

impl Worker {
    async fn end(self) -> anyhow::Result<()> {
        self.shutdown.request();
        self.ended.await?
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn published_jobs_come_out_as_their_own_outputs() -> anyhow::Result<()> {
    let bench = Bench::start().await?;
    let worker = bench.worker(&[]);
    let jobs: Vec<Job> = (1..40)
        .map(|rows| bench.job(rows * 5, Duration::from_secs(60)))
        .collect::<anyhow::Result<_>>()?;
    let published = jobs
        .iter()
        .map(|job| bench.publisher.publish(job.clone(), Work::rows(64)));
    futures_util::future::try_join_all(published).await?;
    for job in &jobs {
        let record = bench.outcome(&job.id, &worker).await?;
        let JobResult::Succeeded(outputs) = record.ended.outcome()?.result else {
            panic!("{:?}", record.ended.state)
        };
        assert_eq!(outputs[0].data(), job.inputs[0].data());
        let lineage = record.lineage()?;
        let rows: u32 = lineage.batches.iter().map(|batch| batch.job_rows).sum();
        assert_eq!(u64::from(rows), job.rows());
    }
    worker.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outcomes_wait_for_a_store_that_is_away_and_are_computed_once() -> anyhow::Result<()> {
    let mut bench = Bench::start().await?;
    let worker = bench.worker(&[]);
    let first = bench.job(3, Duration::from_secs(60))?;
    bench.publisher.publish(first.clone(), Work::rows(64)).await?;
    bench.outcome(&first.id, &worker).await?;
    bench.servers.redis.kill().await?;
    let second = bench.job(3, Duration::from_secs(60))?;
    bench.publisher.publish(second.clone(), Work::rows(64)).await?;
    bench.servers.redis.restart().await?;
    let record = bench.outcome(&second.id, &worker).await?;
    assert_eq!(record.ended.state, JobState::Succeeded);
    assert_eq!(record.lineage()?.attempt, 1);
    worker.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_jobs_expire_promptly() -> anyhow::Result<()> {
    let bench = Bench::start().await?;
    let job = bench.job(1, Duration::from_millis(1))?;
    bench.publisher.publish(job.clone(), Work::rows(64)).await?;
    let worker = bench.worker(&[]);
    assert_eq!(bench.outcome(&job.id, &worker).await?.ended.state, JobState::Expired);
    worker.end().await
}
