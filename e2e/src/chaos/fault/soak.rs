//! Everything at once, for long: faults struck at random under a load of single submissions, bulk uploads, followers of single
//! jobs and of whole tenants, and webhooks for every job, whose receiver fails now and then as well.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
    time::Duration,
};

use anyhow::{Context, bail};
use futures_util::future::BoxFuture;
use gristmill_broker::WebhookSettings;
use gristmill_schemas::{JobId, JobState, Timestamp, WebhookSecret, WebhookUrl};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    Fault, Proof, Scene, Strike, freeze::Freeze, kill::Kill, network::Network, power_loss::PowerLoss,
    rolling::RollingRestart,
};
use crate::{
    chaos::{
        caller::Caller,
        cluster::Setup,
        history::End,
        plan::{Mix, TENANTS},
        stores::Stored,
    },
    sink::{Mode, Sink},
};

/// How many times the jobs of another row.
const TIMES: u64 = 50;
/// Submissions a second.
const RATE: u32 = 200;
/// Between two strikes.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(4));
/// How long a receiver that fails does.
const SINK_FAILS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(6));
/// No soak goes on longer.
const LIMIT: Duration = Duration::from_secs(3600);
/// How long the last webhooks may take, once nothing is in the way.
const LAST_WEBHOOKS: Duration = Duration::from_secs(180);
/// Lines of one upload. Each tenant has one under way.
const LINES: u64 = 500;
/// Bulk jobs have nonces from here on.
const BULK: u64 = 1 << 40;
/// How long after it is set a tenant's webhook may not know of what ends.
const SETTING: Duration = Duration::from_secs(1);

/// The fault.
#[derive(Debug, Default)]
pub(super) struct Soak {
    sink: OnceLock<Sink>,
    /// From when on every end is to be told.
    since: OnceLock<Timestamp>,
}

fn secret() -> WebhookSecret {
    WebhookSecret::of([42; 32])
}

fn strikes() -> Vec<Box<dyn Strike>> {
    let mut strikes: Vec<Box<dyn Strike>> = vec![
        Box::new(Kill::WORKER),
        Box::new(Kill::INGEST),
        Box::new(Kill::INGESTS),
        Box::new(Kill::NATS),
        Box::new(Kill::REDIS),
        Box::new(Kill::STORES),
        Box::new(Freeze::WORKER),
        Box::new(Freeze::INGEST),
        Box::new(Freeze::NATS),
        Box::new(Freeze::REDIS),
        Box::new(RollingRestart),
        Box::new(PowerLoss::NATS),
        Box::new(PowerLoss::REDIS),
        Box::new(PowerLoss::STORES),
    ];
    strikes.extend(
        Network::all()
            .into_iter()
            .map(|network| Box::new(network) as Box<dyn Strike>),
    );
    strikes
}

impl Soak {
    fn sink(&self) -> anyhow::Result<&Sink> {
        self.sink.get().context("the sink was started")
    }

    /// Lets every tenant be told of every end from now on.
    async fn set_webhooks(&self, scene: &Scene) -> anyhow::Result<WebhookUrl> {
        let sink = Sink::start(Mode::Status(200)).await?;
        let url: WebhookUrl = sink.url.parse()?;
        let store = scene.cluster.store()?;
        for tenant in TENANTS {
            let settings = WebhookSettings {
                url: Some(url.clone()),
                ..WebhookSettings::new(secret())
            };
            store.put_webhooks(&tenant.parse()?, &settings).await?;
        }
        let since = scene.history.clock_at(scene.history.now() + SETTING);
        self.since.get_or_init(|| since);
        self.sink.get_or_init(|| sink);
        Ok(url)
    }

    async fn strike_until_enough(&self, scene: &mut Scene) -> anyhow::Result<()> {
        let strikes = strikes();
        let mut kinds = BTreeSet::new();
        let until = Instant::now() + LIMIT;
        while scene.load.accepted() < scene.jobs {
            anyhow::ensure!(Instant::now() < until, "{} jobs after {LIMIT:?}", scene.load.accepted());
            // one more than there are: the receiver's
            let choice = scene.seed.below(strikes.len() as u64 + 1) as usize;
            scene.injected();
            match strikes.get(choice) {
                Some(strike) => {
                    kinds.insert(strike.name());
                    println!("{:7.1} s  {}", scene.history.now().as_secs_f64(), strike.name());
                    strike.strike(scene).await.with_context(|| strike.name())?;
                }
                None => {
                    kinds.insert("receiver");
                    let mode = if scene.seed.below(2) == 0 {
                        Mode::Status(503)
                    } else {
                        Mode::Stall
                    };
                    self.sink()?.set(mode);
                    sleep(scene.seed.between(SINK_FAILS.0, SINK_FAILS.1)).await;
                    self.sink()?.set(Mode::Status(200));
                }
            }
            sleep(scene.seed.between(REST.0, REST.1)).await;
        }
        scene.note("kinds of faults", kinds.len() as u64);
        Ok(())
    }

    /// Holds what the sink got against what the store has.
    async fn webhooks(&self, stored: &Stored) -> anyhow::Result<u64> {
        let (sink, since) = (self.sink()?, *self.since.get().context("webhooks were set")?);
        let ended = stored
            .jobs
            .iter()
            .filter(|job| job.committed_at.is_some_and(|at| at > since));
        let ended: BTreeMap<JobId, JobState> = ended.filter_map(|job| Some((job.id, job.state?))).collect();
        let until = Instant::now() + LAST_WEBHOOKS;
        loop {
            let told = told(sink)?;
            let missing = ended.keys().filter(|id| !told.contains_key(id)).count();
            if missing == 0 {
                let wrong = told
                    .iter()
                    .find(|(id, state)| ended.get(id).is_some_and(|ended| ended != *state));
                if let Some((id, state)) = wrong {
                    bail!("a webhook told of {id} that it was {state}");
                }
                return Ok(told.len() as u64);
            }
            if Instant::now() > until {
                bail!("webhooks did not tell of {missing} of {} jobs", ended.len());
            }
            sleep(Duration::from_secs(1)).await;
        }
    }
}

/// What the sink was told by messages that we have signed; a delivery that is repeated says the same.
fn told(sink: &Sink) -> anyhow::Result<BTreeMap<JobId, JobState>> {
    let mut told = BTreeMap::new();
    for received in sink.received() {
        let (id, sent) = (received.header("webhook-id"), received.header("webhook-timestamp"));
        let signature = secret().sign(&id.parse()?, sent.parse()?, &received.body);
        anyhow::ensure!(
            received.header("webhook-signature") == signature,
            "{id} is not signed by us"
        );
        let message = received.message()?;
        let before = told.insert(message.data.id, message.data.status);
        anyhow::ensure!(
            before.is_none_or(|before| before == message.data.status),
            "{id} was told in two ways"
        );
    }
    Ok(told)
}

/// Uploads so many jobs, and those again that have no answer, each under its key, until all are accepted.
async fn upload(caller: Caller, nonces: std::ops::Range<u64>, webhook: WebhookUrl) -> anyhow::Result<u64> {
    let mut left: Vec<u64> = nonces.collect();
    let (all, until) = (left.len() as u64, Instant::now() + LIMIT);
    for door in 0.. {
        let lines = left.iter().copied().take(LINES as usize).collect::<Vec<_>>();
        if lines.is_empty() {
            break;
        }
        anyhow::ensure!(
            Instant::now() < until,
            "{} bulk lines are not accepted after {LIMIT:?}",
            left.len()
        );
        let ends = caller.submit_in_bulk(door, &lines, &webhook).await;
        let accepted: BTreeSet<u64> = lines
            .iter()
            .zip(&ends)
            .filter_map(|(nonce, end)| matches!(end, End::Ok(_)).then_some(*nonce))
            .collect();
        if accepted.is_empty() {
            sleep(Duration::from_millis(200)).await;
        }
        left.retain(|nonce| !accepted.contains(nonce));
    }
    Ok(all)
}

impl Fault for Soak {
    fn name(&self) -> &'static str {
        "soak"
    }

    fn jobs(&self, jobs: u64) -> u64 {
        jobs * TIMES
    }

    fn setup(&self) -> Setup {
        Setup {
            linked: true,
            disks: true,
            ingest_flags: vec![
                "--webhook-allow",
                "127.0.0.1/32",
                "--webhook-retries",
                "500ms,1s,2s,4s,8s,15s,15s,15s,30s,30s,60s,60s",
                // a key that was noted, and whose job was not published before its deadline, stands for a job that readers end
                "--expiry-grace",
                "1s",
            ],
            ..Setup::default()
        }
    }

    fn mix(&self, _jobs: u64) -> Mix {
        Mix {
            rate: RATE,
            // each followed job asks again and again: some are enough
            followed: 20,
            waiting: 5,
            hurried: 2,
            ..Mix::default()
        }
    }

    fn drain_limit(&self) -> Duration {
        Duration::from_secs(300)
    }

    fn inject<'s>(&'s self, scene: &'s mut Scene) -> BoxFuture<'s, anyhow::Result<()>> {
        Box::pin(async move {
            let webhook = self.set_webhooks(scene).await?;
            scene.until_accepted(1).await?;
            let share = scene.jobs / 10 / TENANTS.len() as u64;
            let mut uploads = JoinSet::new();
            for caller in scene.callers.clone() {
                let first = BULK + caller.tenant as u64 * share;
                uploads.spawn(upload(caller, first..first + share, webhook.clone()));
            }
            self.strike_until_enough(scene).await?;
            while let Some(uploaded) = uploads.join_next().await {
                scene.note("jobs in bulk", uploaded??);
            }
            Ok(())
        })
    }

    fn proof<'s>(&'s self, scene: &'s Scene) -> BoxFuture<'s, anyhow::Result<Proof>> {
        Box::pin(async move {
            let servers = &scene.cluster.servers;
            let stored = Stored::read(&servers.redis.url(), &servers.nats.url()).await?;
            Ok(Proof::of([
                ("kinds of faults", scene.noted("kinds of faults")),
                ("jobs in bulk", scene.noted("jobs in bulk")),
                ("jobs told by webhooks", self.webhooks(&stored).await?),
            ]))
        })
    }
}
