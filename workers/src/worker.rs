//! The worker process: loads its models, fetches, and when told to end finishes what it has begun.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail};
use gristmill_broker::{Broker, DeadInputs, Level, StartError, Store, start::until_ready};
use gristmill_models::{ArtifactStore, ModelVersion};
use gristmill_schemas::lineage::WorkerRecord;
use gristmill_telemetry::{Readiness, Shutdown, health::Component};
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
};

use crate::{
    config::{HEARTBEAT, WorkerArgs},
    engine::{Engine, EngineStopped, Runtime},
    heartbeat,
    held_job::Provenancer,
    intake::Intake,
    lease::Leases,
    line::Line,
    metrics, running,
    settle::Settler,
};

/// How often broker and store are asked whether they are there.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);
/// How long the other models may take to finish when one engine has stopped.
const STOPPED_GRACE: Duration = Duration::from_secs(5);
/// How long the last acks may take to leave.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

/// Runs until the shutdown is requested, then drains.
///
/// # Errors
/// The configuration contradicts itself, a model cannot be loaded, the servers keep less than the durability level, or an engine stopped: then the process has to end, and
/// what it held is delivered to others.
pub async fn run(args: WorkerArgs, readiness: Readiness, shutdown: Shutdown) -> anyhow::Result<()> {
    let problems = args.problems();
    if !problems.is_empty() {
        bail!("the configuration contradicts itself:\n  {}", problems.join("\n  "));
    }
    metrics::describe();
    gristmill_broker::describe_metrics();
    let (models, broker_health, store_health) = (
        readiness.component("models"),
        readiness.component("broker"),
        readiness.component("store"),
    );
    let store = Store::connect(&args.store)?;
    let broker = Broker::connect(&args.nats).await?;
    let loaded = load(&args).await?;
    models.ready();
    let store_up = watch::Sender::new(true);
    let health = Health {
        broker: broker.clone(),
        store: store.clone(),
        store_up: store_up.clone(),
    };
    let level = Level::new(&args.durability, &broker, &store);
    tokio::select! {
        started = start(&broker, &level, (&broker_health, &store_health)) => started?,
        () = shutdown.requested() => return Ok(()),
    }
    let watching = tokio::spawn(health.watch(broker_health, store_health));
    let leases = Arc::new(Leases::default());
    let drained = Shutdown::new();
    heartbeat::start(Arc::clone(&leases), HEARTBEAT, drained.clone())?;
    if let Some((_, _, about)) = loaded.first() {
        let worker = about.worker.id.clone();
        let (leases, store) = (Arc::clone(&leases), store.clone());
        tokio::spawn(running::report(leases, store, worker, drained.clone()));
    }
    let lines = loaded.into_iter().map(|(version, engine, about)| {
        let (store, dead_inputs, clock) = (store.clone(), DeadInputs::new(&broker), broker.clock());
        let max_attempts = args.holding.max_attempts;
        let settler = Settler {
            store,
            dead_inputs,
            clock,
            about,
            max_attempts,
            store_up: store_up.clone(),
        };
        Line::new(version, engine, settler)
    });
    let lines: Vec<Arc<Line>> = lines.collect();
    let intake = Intake {
        broker,
        leases,
        store_up: store_up.subscribe(),
        args: args.holding.clone(),
    };
    let result = serve(&lines, &intake, &shutdown, args.holding.worker_grace.into()).await;
    if result.is_err() {
        lines.iter().for_each(|line| line.abandon());
    }
    intake.broker.flush(FLUSH_LIMIT).await;
    drained.request();
    watching.abort();
    drop(models);
    result
}

/// Fetches and executes until told to end; then fetches no more, gives back what was not begun and finishes the rest.
async fn serve(lines: &[Arc<Line>], intake: &Intake, shutdown: &Shutdown, grace: Duration) -> anyhow::Result<()> {
    let mut fetching = JoinSet::new();
    let mut executing: JoinSet<Result<(), EngineStopped>> = JoinSet::new();
    for line in lines {
        for queue in line.queues() {
            fetching.spawn(intake.clone().run(queue, Arc::clone(line), shutdown.clone()));
        }
        fetching.spawn(Arc::clone(line).expire_waiting(shutdown.clone()));
        for _ in 0..line.executors() {
            executing.spawn(Arc::clone(line).execute(shutdown.clone()));
        }
    }
    let stopped = tokio::select! {
        () = shutdown.requested() => None,
        Some(ended) = executing.join_next() => executed(ended).err(),
    };
    // what the other models have computed is not thrown away for one engine that stopped
    shutdown.request();
    let grace = if stopped.is_some() {
        grace.min(STOPPED_GRACE)
    } else {
        grace
    };
    let drain = async {
        while fetching.join_next().await.is_some() {}
        for line in lines {
            line.give_back().await;
        }
        while let Some(ended) = executing.join_next().await {
            executed(ended)?;
        }
        for line in lines {
            line.committed().await;
        }
        Ok(())
    };
    let drained = match tokio::time::timeout(grace, drain).await {
        Ok(drained) => drained,
        Err(_) => Err(anyhow::anyhow!(
            "what was begun did not finish within {grace:?}; others will take it"
        )),
    };
    stopped.map_or(drained, Err)
}

/// How an executor's end is told.
fn executed(ended: Result<Result<(), EngineStopped>, JoinError>) -> anyhow::Result<()> {
    ended.context("an executor panicked")?.context("an engine stopped")
}

/// Waits until both servers keep the level and an ingest has made the stream: before that, nothing may be acked.
async fn start(
    broker: &Broker,
    level: &Level,
    (broker_health, store_health): (&Component, &Component),
) -> Result<(), StartError> {
    until_ready(
        "broker, and for an ingest to make the stream",
        broker_health,
        || async {
            level.of_broker().await?;
            Ok(broker.find_stream().await?)
        },
    )
    .await?;
    until_ready("store", store_health, || async { Ok(level.of_store().await?) }).await
}

/// Asks broker and store how they are, for readiness, and for whether to fetch.
struct Health {
    broker: Broker,
    store: Store,
    store_up: watch::Sender<bool>,
}

impl Health {
    async fn watch(self, broker: Component, store: Component) {
        let mut ticks = tokio::time::interval(HEALTH_INTERVAL);
        loop {
            ticks.tick().await;
            match self.broker.health() {
                Ok(()) => broker.ready(),
                Err(trouble) => broker.degraded(trouble),
            }
            match self.store.ping().await {
                Ok(()) => store.ready(),
                Err(error) => store.degraded(error.to_string()),
            }
            // a full store answers too: the commits themselves say when it takes writes again
            if *self.store_up.borrow() {
                continue;
            }
            if self.store.writable().await {
                self.store_up.send_replace(true);
            }
        }
    }
}

type Loaded = (Arc<ModelVersion>, Engine, Provenancer);

/// Loads and warms every model that is to be served, off the async threads.
async fn load(args: &WorkerArgs) -> anyhow::Result<Vec<Loaded>> {
    let catalog = args.catalog.catalog()?;
    let wanted = &args.holding.models;
    if let Some(unknown) = wanted.iter().find(|name| catalog.aliases(name).is_none()) {
        bail!(
            "--model {unknown}: there is no such model in {}",
            args.catalog.models_dir.display()
        );
    }
    let served = |version: &&Arc<ModelVersion>| wanted.is_empty() || wanted.contains(&version.manifest.name);
    let versions: Vec<_> = catalog.versions().filter(served).cloned().collect();
    let (engine_args, artifacts) = (args.engine.clone(), args.catalog.store());
    let max_outcome_bytes = args.holding.max_outcome_bytes;
    tokio::task::spawn_blocking(move || {
        let runtime = Runtime::load(&engine_args)?;
        let worker = worker_record(&runtime)?;
        let load = |version: Arc<ModelVersion>| load_version(&runtime, version, &artifacts, &engine_args);
        versions
            .into_iter()
            .map(|version| {
                let model = version.manifest.record();
                let (version, engine) = load(version)?;
                Ok((
                    version,
                    engine,
                    Provenancer {
                        worker: worker.clone(),
                        model,
                        max_outcome_bytes,
                    },
                ))
            })
            .collect()
    })
    .await
    .context("loading models panicked")?
}

fn load_version(
    runtime: &Runtime,
    version: Arc<ModelVersion>,
    artifacts: &ArtifactStore,
    args: &crate::engine::EngineArgs,
) -> anyhow::Result<(Arc<ModelVersion>, Engine)> {
    let started = std::time::Instant::now();
    let name = format!("{} {}", version.manifest.name, version.manifest.version);
    let engine = Engine::load(runtime, &version, artifacts, args).with_context(|| format!("model {name}"))?;
    tracing::info!(
        model = name,
        load.seconds = started.elapsed().as_secs_f64(),
        "model loaded and warm"
    );
    Ok((version, engine))
}

fn worker_record(runtime: &Runtime) -> anyhow::Result<WorkerRecord> {
    let host = nix::unistd::gethostname()
        .context("the host's name")?
        .to_string_lossy()
        .into_owned();
    let mut random = [0; 4];
    getrandom::fill(&mut random).context("random bytes")?;
    Ok(WorkerRecord {
        id: format!("{host}-{}-{:08x}", std::process::id(), u32::from_le_bytes(random)),
        host,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        runtime: runtime.version().to_owned(),
        provider: runtime.provider().to_owned(),
    })
}
