//! An ingest as a whole: what is started, in which order, and how it ends.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use gristmill_broker::{
    Backlog, Broker, BrokerError, DeadInputs, DeadLetterArgs, Door, Level, Publisher, StartError, Store, StreamArgs,
    Watch, start::until_ready,
};
use gristmill_models::Catalog;
use gristmill_schemas::{JobIdKeys, subject};
use gristmill_telemetry::{Readiness, Shutdown, admin, health::Component};
use gristmill_webhooks::{Addresses, Deliverer};
use tokio::net::{TcpListener, TcpSocket};

use crate::{
    admission::Admission,
    config::IngestArgs,
    dead_letters::DeadLetters,
    deliveries::Deliveries,
    drain_rate::DrainRates,
    feed::Feeds,
    http::{self, App, Services},
    job_id_keys,
    jobs::Jobs,
    keys::KeyRing,
    level_watch::LevelWatch,
    metrics, nats_door,
    position::Positions,
    queues::Queues,
    reconciler::Reconciler,
    serve,
    store_room::StoreRoom,
    submit::Submitter,
    tenant_quota::TenantQuota,
};

/// How often the broker and the store are looked after, for `/readyz`.
const LOOK: Duration = Duration::from_secs(1);
/// Connections that the kernel keeps until they are taken, while this process starts or stands still: a client whose connection
/// finds no place there is not refused, it tries again and again after ever longer pauses, up to half a minute.
const BACKLOG: u32 = 4096;
/// How long publishes in progress and background tasks may take to end, after the last request.
const BACKGROUND_GRACE: Duration = Duration::from_secs(10);

/// Where an ingest listens.
#[derive(Debug)]
pub struct Listeners {
    /// For clients.
    pub http: TcpListener,
    /// For operators: `/livez`, `/readyz`, `/metrics`.
    pub admin: Option<TcpListener>,
}

impl Listeners {
    /// Binds the addresses of the arguments.
    ///
    /// # Errors
    /// An address cannot be had.
    pub async fn bind(args: &IngestArgs) -> anyhow::Result<Self> {
        let admin = args.telemetry.admin_addr.map(listen).transpose()?;
        let http = listen(args.http.listen)?;
        Ok(Self { http, admin })
    }
}

fn listen(addr: SocketAddr) -> anyhow::Result<TcpListener> {
    let listen = || {
        let socket = if addr.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        socket.listen(BACKLOG)
    };
    listen().with_context(|| format!("listen on {addr}"))
}

/// Runs an ingest until the shutdown is requested: then it takes nothing new, lets requests in progress end, and returns.
///
/// Servers that are not there yet are waited for; `/readyz` tells which. Logs are the process's own affair, to be set up
/// before.
///
/// # Errors
/// Settings that do not go together, models or keys that cannot be read, a key that has signed ids and is lost, or servers
/// that keep less than the durability level.
pub async fn run(args: IngestArgs, listeners: Listeners, shutdown: Shutdown) -> anyhow::Result<()> {
    args.check()?;
    let catalog = args.catalog.catalog().context("the models cannot be served")?;
    let keys = job_id_keys::read(&args.job_id_keys)?;
    let recorded = gristmill_telemetry::metrics::install()?;
    metrics::describe();
    gristmill_broker::describe_metrics();
    gristmill_webhooks::describe_metrics();
    let readiness = Readiness::new();
    // the publisher and the watch outlive the last request, and the admin listener all of them
    let (background, last) = (Shutdown::new(), Shutdown::new());
    if let Some(listener) = listeners.admin {
        let operator = args.telemetry.operator(&shutdown);
        let serving = admin::serve(listener, readiness.clone(), recorded, operator, last.requested());
        last.spawn(serving);
    }
    let parts = Parts {
        args: &args,
        catalog,
        keys,
    };
    let served = parts.serve(listeners.http, &readiness, (&shutdown, &background)).await;
    readiness.drain();
    if let Err(still) = background.drain(BACKGROUND_GRACE).await {
        tracing::warn!(error = %still, "not everything ended in time");
    }
    // nothing to add: what still runs then is the answer to an operator
    let _ = last.drain(BACKGROUND_GRACE).await;
    served
}

/// What was read before anything is connected.
struct Parts<'a> {
    args: &'a IngestArgs,
    catalog: Catalog,
    keys: JobIdKeys,
}

impl Parts<'_> {
    async fn serve(
        self,
        listener: TcpListener,
        readiness: &Readiness,
        (shutdown, background): (&Shutdown, &Shutdown),
    ) -> anyhow::Result<()> {
        let args = self.args;
        let (broker_ready, store_ready) = (readiness.component("broker"), readiness.component("store"));
        let models_ready = readiness.component("models");
        models_ready.ready();
        let broker = Broker::connect(&args.nats).await?;
        let store = Store::connect(&args.store)?;
        let streams = Streams::of(args, &broker);
        let level = Level::new(&args.durability, &broker, &store);
        let started = tokio::select! {
            started = start(&streams, (&store, &level), &self.keys, (&broker_ready, &store_ready)) => started,
            () = shutdown.requested() => return Ok(()),
        };
        started?;
        let app = self.app(&broker, &store, (shutdown, background));
        let ring = app.ring.clone().follow(store.clone(), app.jobs.watch.clone());
        let reconciler = Reconciler {
            backlog: Backlog::new(&broker),
            store: store.clone(),
            clock: broker.clock(),
            catalog: Arc::clone(&app.catalog),
        };
        let deliverer = Deliverer::new(&args.webhooks, store.clone(), broker.clock());
        let rates = app.submitter.drain_rates.clone().follow(broker.clone());
        let quota = app.submitter.quota.clone().follow(store.clone(), broker.clock());
        let room = app.submitter.store_room.clone();
        let look = look_after(streams, (store, room, level), broker_ready, store_ready);
        for task in [
            boxed(ring),
            boxed(look),
            boxed(rates),
            boxed(quota),
            boxed(reconciler.run()),
            boxed(deliverer.run()),
        ] {
            let told = background.clone();
            background.spawn(async move { told.token().run_until_cancelled(task).await });
        }
        tracing::info!(address = %listener.local_addr()?, "serving HTTP");
        let draining = {
            let (readiness, shutdown) = (readiness.clone(), shutdown.clone());
            background.spawn(async move {
                shutdown.requested().await;
                readiness.drain();
            })
        };
        let router = http::router(app);
        let over_nats = async {
            if args.nats_door.nats_door {
                let door = Door::open(&args.nats).await?;
                tracing::info!(subject = subject::REQUESTS, "serving NATS");
                nats_door::serve(door, router.clone(), args.http.drain_timeout, shutdown).await;
            }
            Ok::<_, BrokerError>(())
        };
        let over_http = async {
            serve::serve(listener, router.clone(), &args.http, shutdown).await;
            Ok(())
        };
        tokio::try_join!(over_http, over_nats)?;
        draining.abort();
        Ok(())
    }

    fn app(self, broker: &Broker, store: &Store, (shutdown, background): (&Shutdown, &Shutdown)) -> App {
        let args = self.args;
        let (catalog, keys) = (Arc::new(self.catalog), Arc::new(self.keys));
        let drain_rates = DrainRates::default();
        let watch = Watch::start(store, background);
        let submitter = Submitter {
            catalog: Arc::clone(&catalog),
            publisher: Publisher::start(broker, args.publisher.clone(), background),
            store: store.clone(),
            watch: watch.clone(),
            clock: broker.clock(),
            keys: Arc::clone(&keys),
            limits: args.limits.clone(),
            quota: TenantQuota::new(args.limits.max_queued_per_tenant),
            drain_rates: drain_rates.clone(),
            store_room: StoreRoom::new(args.limits.store_memory_limit),
            webhook_addresses: Arc::new(Addresses::new(args.webhooks.webhook_allow.clone())),
            shutdown: shutdown.clone(),
        };
        let deliveries = Deliveries {
            store: store.clone(),
            clock: broker.clock(),
            keys: Arc::clone(&keys),
        };
        let dead_letters = DeadLetters {
            store: store.clone(),
            inputs: DeadInputs::new(broker),
            submitter: submitter.clone(),
            keys: Arc::clone(&keys),
        };
        let feeds = Feeds {
            store: store.clone(),
            watch: watch.clone(),
            shutdown: shutdown.clone(),
        };
        let queues = Queues {
            broker: broker.clone(),
            store: store.clone(),
            catalog: Arc::clone(&catalog),
        };
        let jobs = Jobs {
            store: store.clone(),
            watch,
            clock: broker.clock(),
            positions: Positions::new(&catalog, drain_rates, broker.clock()),
            keys,
            grace: args.limits.expiry_grace.into(),
            shutdown: shutdown.clone(),
        };
        App::new(Services {
            submitter,
            jobs,
            feeds,
            queues,
            dead_letters,
            deliveries,
            ring: KeyRing::default(),
            catalog,
            admission: Admission::new(&args.limits),
            limits: args.limits.clone(),
            http: args.http.clone(),
        })
    }
}

fn boxed(task: impl Future<Output = ()> + Send + 'static) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(task)
}

/// What the streams are to be.
struct Streams {
    broker: Broker,
    jobs: StreamArgs,
    dead_letters: DeadLetterArgs,
}

impl Streams {
    fn of(args: &IngestArgs, broker: &Broker) -> Self {
        Self {
            broker: broker.clone(),
            jobs: args.stream.clone(),
            dead_letters: args.dead_letters.clone(),
        }
    }

    async fn ensure(&self) -> Result<(), BrokerError> {
        self.broker.ensure_stream(&self.jobs).await?;
        let inputs = DeadInputs::new(&self.broker);
        inputs
            .ensure_stream(&self.dead_letters, self.jobs.stream_replicas)
            .await
    }
}

/// Waits until both servers keep the level, the stream is there and the store knows our keys: before that, no id may be
/// signed.
async fn start(
    streams: &Streams,
    (store, level): (&Store, &Level),
    keys: &JobIdKeys,
    (broker_ready, store_ready): (&Component, &Component),
) -> Result<(), StartError> {
    until_ready("broker", broker_ready, || async {
        level.of_broker().await?;
        Ok(streams.ensure().await?)
    })
    .await?;
    until_ready("store", store_ready, || async {
        level.of_store().await?;
        Ok(store.register_job_id_keys(keys).await?)
    })
    .await
}

/// Reports how the broker and the store stand, and makes the stream again if the broker has lost it. Never ends.
async fn look_after(
    streams: Streams,
    (store, room, level): (Store, StoreRoom, Level),
    broker_ready: Component,
    store_ready: Component,
) {
    let mut kept = LevelWatch::new(level, &streams.broker);
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match streams.broker.health() {
            Ok(()) => report(&broker_ready, kept.broker(&streams.broker).await),
            Err(trouble) => {
                broker_ready.degraded(trouble);
                if streams.broker.is_connected()
                    && let Err(error) = streams.ensure().await
                {
                    tracing::warn!(%error, "the stream is not there");
                }
            }
        }
        match store.memory().await {
            Ok(memory) => {
                room.note(memory);
                report(&store_ready, kept.store().await);
            }
            Err(error) => store_ready.degraded(error.to_string()),
        }
    }
}

fn report(component: &Component, trouble: Option<&str>) {
    match trouble {
        None => component.ready(),
        Some(trouble) => component.degraded(trouble),
    }
}
