//! A pipeline at one durability level, put under load by the product's own load tester.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, ensure};
use clap::Parser;
use gristmill_loadtest::{Encoding, Load, LoadtestArgs, Model};
use gristmill_servers::Durability;

use crate::{Process, Stack};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    load: LoadtestArgs,
}

/// Servers, an ingest and a worker.
#[derive(Debug)]
pub struct Site {
    /// Servers and ingest.
    pub stack: Stack,
    worker: Process,
    api_key: String,
}

/// One load: a closed loop over HTTP, the result in hand by `Prefer: wait`.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    /// Of which model.
    pub model: Model,
    /// In which words.
    pub encoding: Encoding,
    /// How many jobs are on their way.
    pub in_flight: u16,
    /// For how long.
    pub duration: Duration,
}

/// What a load showed.
#[derive(Debug)]
pub struct Shown {
    /// As the load tester tells it.
    pub load: Load,
    /// Microseconds of processor time a job, by process; `loadtest` is the load tester's.
    pub cpu_us: BTreeMap<&'static str, f64>,
}

impl Site {
    /// Starts one.
    ///
    /// # Errors
    /// A part cannot be started.
    pub async fn start(level: Durability) -> anyhow::Result<Self> {
        let stack = Stack::start_at(level, tempfile::tempdir()?, &[]).await?;
        let worker = stack
            .worker("worker", &["--model", "light", "--model", "identity"])
            .await?;
        let api_key = stack.api_key("bench").await?;
        Ok(Self { stack, worker, api_key })
    }

    /// Puts a load on it.
    ///
    /// # Errors
    /// A job was lost, doubled, failed or answered wrongly: then its speed means nothing.
    pub async fn run(&self, order: Order) -> anyhow::Result<Shown> {
        let (in_flight, duration) = (order.in_flight.to_string(), format!("{}ms", order.duration.as_millis()));
        let url = self.stack.url()?;
        let words = [
            "load",
            "--url",
            &url,
            "--api-key",
            &self.api_key,
            "--model",
            order.model.as_str(),
            "--encoding",
            order.encoding.as_str(),
            "--in-flight",
            &in_flight,
            "--duration",
            &duration,
        ];
        let args = Command::parse_from(words).load;
        let before = self.cpu()?;
        let report = gristmill_loadtest::run_until(args, std::future::pending()).await?;
        let after = self.cpu()?;
        ensure!(report.passed(), "{report}");
        let load = report.loads.into_iter().next().context("one load")?;
        // the references were run within it, too
        let jobs = (load.counts.terminal + load.references) as f64;
        let mut cpu_us: BTreeMap<_, _> = after
            .into_iter()
            .map(|(name, time)| (name, time.saturating_sub(before[name]).as_secs_f64() * 1e6 / jobs))
            .collect();
        cpu_us.insert("loadtest", report.cpu_us_per_job);
        Ok(Shown { load, cpu_us })
    }

    fn cpu(&self) -> anyhow::Result<BTreeMap<&'static str, Duration>> {
        let processes = [
            ("ingest", self.stack.ingest.pid()),
            ("worker", self.worker.pid()),
            ("nats", self.stack.servers.nats.pid()),
            ("redis", self.stack.servers.redis.pid()),
        ];
        let times = processes.map(|(name, pid)| Ok((name, cpu_time(pid)?)));
        times.into_iter().collect()
    }
}

/// The processor time of a process so far.
fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let stat =
        std::fs::read_to_string(format!("/proc/{pid}/stat")).context("the processor time of a process (Linux)")?;
    // the name may hold anything, and ends with the last bracket; then come the state and what is counted from there
    let rest = stat.rsplit_once(')').context("a name in brackets")?.1;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    let a_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?.context("ticks a second")?;
    Ok(Duration::from_secs_f64(ticks as f64 / a_second as f64))
}
