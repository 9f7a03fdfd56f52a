//! A row's processes: both servers, ingests and workers, each of which may be killed, paused and started again on the same
//! address and data. It injects nothing by itself.

use anyhow::Context;
use gristmill_broker::Store;
use gristmill_servers::{Durability, Pair, Role};
use tempfile::TempDir;

use crate::{
    Client, Stack,
    chaos::{caller::Caller, history::History, member::Member, plan::TENANTS, secrets, stores},
    graphs,
    inject::{Disks, Link},
    stack,
};

/// Clocks that are off, as libfaketime writes it.
#[derive(Debug, Clone, Copy)]
pub struct ClockShift {
    /// The first ingest's.
    pub ingest: &'static str,
    /// The first worker's.
    pub worker: &'static str,
}

/// How a row's processes are started.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Further flags of both ingests.
    pub ingest_flags: Vec<&'static str>,
    /// Further flags of every worker.
    pub worker_flags: Vec<&'static str>,
    /// The workers' `--ack-wait`: the shortest there is, so that rows are short.
    pub ack_wait: &'static str,
    /// Fail points that are switched on in both ingests, until they are disarmed; none by default.
    pub ingest_fail_points: String,
    /// Fail points that are switched on in every worker, until it is disarmed; none by default.
    pub worker_fail_points: String,
    /// To how many workers, the first ones, these are confined.
    pub armed_workers: usize,
    /// Workers that run from the beginning.
    pub workers: usize,
    /// Whether each process has a proxy between itself and each server.
    pub linked: bool,
    /// What both stores promise to keep.
    pub durability: Durability,
    /// Whether the servers' data is on disks that can be cut off and full.
    pub disks: bool,
    /// How far the clocks of the first ingest and the first worker are off.
    pub clock_shift: Option<ClockShift>,
    /// Whether the model is the edition that some nonces are poison to.
    pub poisonous_model: bool,
    /// What Redis is told once everybody has seen that it keeps the level; its next life forgets it.
    pub redis_settings: Vec<(&'static str, &'static str)>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            ingest_flags: Vec::new(),
            worker_flags: Vec::new(),
            ack_wait: "3s",
            ingest_fail_points: String::new(),
            worker_fail_points: String::new(),
            armed_workers: usize::MAX,
            workers: 2,
            linked: false,
            durability: Durability::PowerLoss,
            disks: false,
            clock_shift: None,
            poisonous_model: false,
            redis_settings: Vec::new(),
        }
    }
}

/// What every worker is told.
const WORKER_FLAGS: [&str; 4] = ["--model", super::question::MODEL, "--pull-expires", "2s"];
/// Debug lines tell of every job: a secret that leaks there leaks.
const LOG_LEVEL: [&str; 2] = ["--log", "info,gristmill=debug"];

/// The processes. Dropping it ends them.
#[derive(Debug)]
pub struct Cluster {
    /// Two of them.
    pub ingests: Vec<Member>,
    /// As many as the row wants.
    pub workers: Vec<Member>,
    /// nats-server and redis-server.
    pub servers: Pair,
    /// What their data is on, if it is on anything of ours. Servers go before their disks.
    pub disks: Option<Disks>,
    keys: Vec<String>,
    setup: Setup,
    catalog_flags: Vec<String>,
    dir: TempDir,
}

impl Cluster {
    /// Starts everything, and makes an API key for each tenant.
    ///
    /// # Errors
    /// A part cannot be started.
    pub async fn start(setup: Setup) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let disks = setup.disks.then(|| Disks::mount(dir.path())).transpose()?;
        let servers = Pair::start(setup.durability, dir.path()).await?;
        let catalog_flags = if setup.poisonous_model {
            graphs::install_poisonous(dir.path())?
        } else {
            Vec::new()
        };
        let mut cluster = Self {
            ingests: Vec::new(),
            workers: Vec::new(),
            servers,
            disks,
            keys: Vec::new(),
            setup,
            catalog_flags,
            dir,
        };
        for number in 1..=2 {
            cluster.add_ingest(number).await?;
        }
        for _ in 0..cluster.setup.workers {
            cluster.add_worker().await?;
        }
        let store = cluster.store()?;
        for tenant in TENANTS {
            let key = stack::new_api_key(&store, tenant).await?;
            for ingest in &cluster.ingests {
                stack::until_known(&key, &url(ingest)?).await?;
            }
            cluster.keys.push(key);
        }
        for (setting, value) in &cluster.setup.redis_settings {
            stores::set(&cluster.servers.redis.url(), setting, value).await?;
        }
        Ok(cluster)
    }

    async fn add_ingest(&mut self, number: usize) -> anyhow::Result<()> {
        let (link, servers) = self.way_to_servers(Role::Ingest).await?;
        let mut args = Stack::ingest_args(servers, &self.dir.path().join("keys.json"));
        args.extend_from_slice(&self.catalog_flags);
        args.extend(self.setup.ingest_flags.iter().map(|flag| (*flag).to_owned()));
        args.extend(LOG_LEVEL.map(str::to_owned));
        let shift = self.setup.clock_shift.filter(|_| number == 1).map(|shift| shift.ingest);
        let tampered = (self.setup.ingest_fail_points.as_str(), shift);
        let mut ingest = Member::start(format!("ingest-{number}"), args, self.dir.path(), tampered).await?;
        // its next life is to be found where this one is
        let address = url(&ingest)?.trim_start_matches("http://").to_owned();
        if let Some(listen) = ingest.args.iter_mut().find(|arg| *arg == "127.0.0.1:0") {
            *listen = address;
        }
        ingest.link = link;
        self.ingests.push(ingest);
        Ok(())
    }

    /// Starts one more worker.
    ///
    /// # Errors
    /// It does not become ready.
    pub async fn add_worker(&mut self) -> anyhow::Result<()> {
        let mut args = vec!["worker".to_owned()];
        let (link, servers) = self.way_to_servers(Role::Worker).await?;
        args.extend(servers);
        args.extend_from_slice(&self.catalog_flags);
        args.extend(WORKER_FLAGS.iter().chain(&LOG_LEVEL).map(|flag| (*flag).to_owned()));
        args.extend(self.setup.worker_flags.iter().map(|flag| (*flag).to_owned()));
        let name = format!("worker-{}", self.workers.len() + 1);
        let armed = self.workers.len() < self.setup.armed_workers;
        let fail_points = if armed { &self.setup.worker_fail_points } else { "" };
        let shift = self
            .setup
            .clock_shift
            .filter(|_| self.workers.is_empty())
            .map(|shift| shift.worker);
        let mut worker = Member::start(name, args, self.dir.path(), (fail_points, shift)).await?;
        worker.link = link;
        self.workers.push(worker);
        Ok(())
    }

    /// How the next process reaches the servers.
    async fn way_to_servers(&self, role: Role) -> anyhow::Result<(Option<Link>, Vec<String>)> {
        let link = if self.setup.linked {
            Some(Link::to(&self.servers, role).await?)
        } else {
            None
        };
        let direct = || [self.servers.nats.url_of(role), self.servers.redis.url_of(role)];
        let urls = link.as_ref().map_or_else(direct, Link::urls);
        let args = Stack::server_args_by(&self.servers, urls);
        Ok((link, args))
    }

    /// The servers' disks.
    ///
    /// # Errors
    /// They have none of ours.
    pub fn disks(&self) -> anyhow::Result<&Disks> {
        self.disks.as_ref().context("the servers' data is on no disk of ours")
    }

    /// The store, as an operator reaches it.
    ///
    /// # Errors
    /// Its URL is not one.
    pub fn store(&self) -> anyhow::Result<Store> {
        stack::store_of(&self.servers)
    }

    /// A client for each tenant, with both doors.
    ///
    /// # Errors
    /// An ingest did not say where it is.
    pub fn callers(&self, history: &History) -> anyhow::Result<Vec<Caller>> {
        let urls = self.ingests.iter().map(url).collect::<anyhow::Result<Vec<_>>>()?;
        let caller = |(tenant, key): (usize, &String)| Caller {
            tenant,
            doors: urls.iter().map(|url| Client::new(url, key)).collect(),
            history: history.clone(),
        };
        Ok(self.keys.iter().enumerate().map(caller).collect())
    }

    /// A metric of all workers together, over all their lives.
    ///
    /// # Errors
    /// One does not answer.
    pub async fn of_workers(&self, name: &str, with: &str) -> anyhow::Result<u64> {
        sum(&self.workers, name, with).await
    }

    /// A metric of both ingests together, over all their lives.
    ///
    /// # Errors
    /// One does not answer.
    pub async fn of_ingests(&self, name: &str, with: &str) -> anyhow::Result<u64> {
        sum(&self.ingests, name, with).await
    }

    /// Where a secret of an API key or the servers' password stands: in the logs, in what broker and store have on disk
    /// (streams, dead letters, outcomes, lineage, key records), in the metrics.
    ///
    /// # Errors
    /// A process does not answer, or the folder cannot be read.
    pub async fn leaked_secrets(&self) -> anyhow::Result<Vec<String>> {
        let mut texts = secrets::files_below(self.dir.path())?;
        for member in self.ingests.iter().chain(&self.workers) {
            let place = format!("the metrics of {}", member.name);
            let told = member.metrics().await?.into_iter();
            texts.extend(told.map(|text| (place.clone(), text.into_bytes())));
        }
        let Pair { nats, redis } = &self.servers;
        let urls = [Role::Ingest, Role::Worker, Role::Operator].map(|role| [nats.url_of(role), redis.url_of(role)]);
        let passwords = urls.iter().flatten().map(|url| secrets::password(url));
        let keys = self.keys.iter().filter_map(|key| key.rsplit('_').next());
        let secrets: Vec<&str> = keys.chain(passwords).collect();
        Ok(secrets::places(&texts, &secrets))
    }
}

async fn sum(members: &[Member], name: &str, with: &str) -> anyhow::Result<u64> {
    let mut sum = 0.0;
    for member in members {
        sum += member.metric(name, with).await?;
    }
    Ok(sum as u64)
}

fn url(ingest: &Member) -> anyhow::Result<String> {
    ingest.process()?.at.url.clone().context("an ingest announces its URL")
}
