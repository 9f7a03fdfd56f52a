//! A row's processes: both servers, ingests and workers, each of which may be killed, paused and started again on the same
//! address and data. It injects nothing by itself.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use gristmill_broker::Store;
use gristmill_servers::{Durability, Pair, Signal};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::{
    Client, Process, Stack,
    chaos::{caller::Caller, history::History, plan::TENANTS, stores},
    inject::{Disks, Link},
    scrape, stack,
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
            redis_settings: Vec::new(),
        }
    }
}

/// What every worker is told.
const WORKER_FLAGS: [&str; 4] = ["--model", super::question::MODEL, "--pull-expires", "2s"];
/// Who does not answer for so long is not asked for his metrics.
const ANSWER_LIMIT: Duration = Duration::from_millis(500);
/// Debug lines tell of every job: a secret that leaks there leaks.
const LOG_LEVEL: [&str; 2] = ["--log", "info,gristmill=debug"];

/// One ingest or worker over all its lives.
#[derive(Debug)]
pub struct Member {
    name: String,
    args: Vec<String>,
    dir: PathBuf,
    fail_points: String,
    clock_shift: Option<&'static str>,
    process: Option<Process>,
    /// What is between it and the servers, if anything is.
    pub link: Option<Link>,
    /// The metrics of its earlier lives, as they last were.
    bygone: Vec<String>,
}

impl Member {
    async fn start(
        name: String,
        args: Vec<String>,
        dir: &Path,
        (fail_points, clock_shift): (&str, Option<&'static str>),
    ) -> anyhow::Result<Self> {
        let mut member = Self {
            name,
            args,
            dir: dir.to_owned(),
            fail_points: fail_points.to_owned(),
            clock_shift,
            process: None,
            link: None,
            bygone: Vec::new(),
        };
        member.revive().await?;
        Ok(member)
    }

    /// Starts it again, where it was before.
    ///
    /// # Errors
    /// It does not become ready.
    pub async fn revive(&mut self) -> anyhow::Result<()> {
        let (name, args, dir) = (&self.name, &self.args, &self.dir);
        let tampered = (self.fail_points.as_str(), self.clock_shift);
        self.process = Some(Process::start_tampered(name, args, dir, tampered).await?);
        Ok(())
    }

    /// Whether it has ended by itself, as it does at a fail point; one that was killed has not.
    pub fn has_died(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::has_ended)
    }

    /// Ends it if it lives, and starts it without any fail point.
    ///
    /// # Errors
    /// It does not become ready.
    pub async fn disarm(&mut self) -> anyhow::Result<()> {
        self.fail_points.clear();
        if !self.has_died() {
            self.note_metrics().await;
        }
        self.process = None;
        self.revive().await
    }

    /// The process, if it lives.
    ///
    /// # Errors
    /// It does not.
    pub fn process(&self) -> anyhow::Result<&Process> {
        self.process.as_ref().with_context(|| format!("{} is dead", self.name))
    }

    /// Kills it as a power switch would, after noting its metrics if it answers.
    ///
    /// # Errors
    /// The operating system refuses.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.note_metrics().await;
        match self.process.take() {
            Some(mut process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// Stops it, gives the servers time to send it what it will never take, and kills it.
    ///
    /// # Errors
    /// It is dead, or the operating system refuses.
    pub async fn kill_with_hands_full(&mut self, stopped_for: Duration) -> anyhow::Result<()> {
        self.note_metrics().await;
        let mut process = self.process.take().with_context(|| format!("{} is dead", self.name))?;
        process.signal(Signal::SIGSTOP)?;
        sleep(stopped_for).await;
        process.kill().await
    }

    async fn note_metrics(&mut self) {
        let Some(process) = &self.process else { return };
        let asked = timeout(ANSWER_LIMIT, scrape::text(&process.at.admin_url)).await;
        self.bygone.extend(asked.ok().and_then(Result::ok));
    }

    /// Its metrics, those of its earlier lives first.
    async fn metrics(&self) -> anyhow::Result<Vec<String>> {
        let mut texts = self.bygone.clone();
        if let Some(process) = &self.process {
            texts.push(scrape::text(&process.at.admin_url).await?);
        }
        Ok(texts)
    }

    /// Asks it to end and says whether it drained and ended well.
    ///
    /// # Errors
    /// It is dead, or the operating system refuses.
    pub async fn terminate(&mut self) -> anyhow::Result<bool> {
        self.note_metrics().await;
        let mut process = self.process.take().with_context(|| format!("{} is dead", self.name))?;
        process.terminate().await
    }

    /// Stops or continues it.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        self.process()?.signal(signal)
    }

    /// The sum of one of its metrics over all its lives, as far as they could be asked.
    ///
    /// # Errors
    /// It lives and does not answer.
    pub async fn metric(&self, name: &str, with: &str) -> anyhow::Result<f64> {
        let texts = self.metrics().await?;
        texts.iter().map(|text| scrape::sum_in(text, name, with)).sum()
    }
}

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
        let mut cluster = Self {
            ingests: Vec::new(),
            workers: Vec::new(),
            servers,
            disks,
            keys: Vec::new(),
            setup,
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
        let (link, servers) = self.way_to_servers().await?;
        let mut args = Stack::ingest_args(servers, &self.dir.path().join("keys.json"));
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
        let (link, servers) = self.way_to_servers().await?;
        args.extend(servers);
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
    async fn way_to_servers(&self) -> anyhow::Result<(Option<Link>, Vec<String>)> {
        if !self.setup.linked {
            let urls = [self.servers.nats.url(), self.servers.redis.url()];
            return Ok((None, Stack::server_args_by(&self.servers, urls)));
        }
        let link = Link::to(&self.servers).await?;
        let args = Stack::server_args_by(&self.servers, link.urls());
        Ok((Some(link), args))
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

    /// Where a secret of an API key stands: in the logs, in what broker and store have on disk (streams, dead letters,
    /// outcomes, lineage, key records), in the metrics.
    ///
    /// # Errors
    /// A process does not answer, or the folder cannot be read.
    pub async fn leaked_secrets(&self) -> anyhow::Result<Vec<String>> {
        let secrets: Vec<&str> = self.keys.iter().filter_map(|key| key.rsplit('_').next()).collect();
        let mut texts = files_below(self.dir.path())?;
        for member in self.ingests.iter().chain(&self.workers) {
            let place = format!("the metrics of {}", member.name);
            texts.extend(
                member
                    .metrics()
                    .await?
                    .into_iter()
                    .map(|text| (place.clone(), text.into_bytes())),
            );
        }
        let leaks = |text: &[u8]| {
            let text = String::from_utf8_lossy(text);
            secrets.iter().any(|secret| text.contains(secret))
        };
        Ok(texts
            .into_iter()
            .filter(|(_, text)| leaks(text))
            .map(|(place, _)| place)
            .collect())
    }
}

/// Every file in a folder and the folders in it. What is deleted meanwhile is passed over: the servers tidy up.
fn files_below(folder: &Path) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let found = if path.is_dir() {
            files_below(&path)
        } else if path.is_file() {
            std::fs::read(&path).map(|bytes| vec![(path.display().to_string(), bytes)])
        } else {
            continue;
        };
        match found {
            Ok(found) => files.extend(found),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(files)
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
