//! Something that is put under load by the product's own load tester, and the processor time that its processes take for it.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, ensure};
use clap::Parser;
use gristmill_loadtest::{Encoding, Load, LoadtestArgs, Model, Texts};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    load: LoadtestArgs,
}

/// A door and what is behind it.
#[derive(Debug)]
pub struct Target {
    /// The door's URL.
    pub url: String,
    /// A key for it.
    pub api_key: String,
    /// Its processes by what they are.
    pub processes: BTreeMap<&'static str, Vec<u32>>,
}

/// One load over HTTP, the result in hand by `Prefer: wait`, without idempotency keys.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    /// Of which model.
    pub model: Model,
    /// How long its texts are.
    pub texts: Texts,
    /// In which words.
    pub encoding: Encoding,
    /// How many jobs are on their way; with a rate, at most.
    pub in_flight: u16,
    /// Jobs a second in an open loop; without one the loop is closed.
    pub rate: Option<f64>,
    /// For how long.
    pub duration: Duration,
}

/// Microseconds of processor time a job, by process.
pub type CpuMicros = BTreeMap<&'static str, f64>;

/// What a load showed.
#[derive(Debug)]
pub struct Shown {
    /// As the load tester tells it.
    pub load: Load,
    /// `loadtest` is the load tester's.
    pub cpu_us: CpuMicros,
}

impl Shown {
    /// The median latency in milliseconds.
    #[must_use]
    pub fn p50(&self) -> f64 {
        self.load.latency_ms.map_or(f64::NAN, |times| times.p50)
    }

    /// What 99 of 100 stayed below, in milliseconds.
    #[must_use]
    pub fn p99(&self) -> f64 {
        self.load.latency_ms.map_or(f64::NAN, |times| times.p99)
    }
}

impl Target {
    /// Puts a load on it.
    ///
    /// # Errors
    /// A job was lost, doubled, failed or answered wrongly: then its speed means nothing.
    pub async fn run(&self, order: Order) -> anyhow::Result<Shown> {
        let mut words = vec!["load".to_owned(), "--no-idempotency-key".to_owned()];
        let mut say = |flag: &str, value: String| words.extend([flag.to_owned(), value]);
        say("--url", self.url.clone());
        say("--api-key", self.api_key.clone());
        say("--model", order.model.as_str().to_owned());
        say("--texts", order.texts.as_str().to_owned());
        say("--encoding", order.encoding.as_str().to_owned());
        say("--in-flight", order.in_flight.to_string());
        say("--duration", format!("{}ms", order.duration.as_millis()));
        if let Some(rate) = order.rate {
            say("--rate", format!("{rate:.3}"));
        }
        let args = Command::parse_from(words).load;
        let before = self.cpu()?;
        let report = gristmill_loadtest::run_until(args, std::future::pending()).await?;
        let load = report.loads.first().context("one load")?;
        // the references were run within it, too
        let mut cpu_us = self.cpu_since(&before, (load.counts.terminal + load.references) as f64)?;
        ensure!(report.passed(), "{report}");
        let load = report.loads.into_iter().next().context("one load")?;
        cpu_us.insert("loadtest", report.cpu_us_per_job);
        Ok(Shown { load, cpu_us })
    }

    /// What its processes have taken for so many jobs since then.
    ///
    /// # Errors
    /// A process is gone.
    pub fn cpu_since(&self, before: &BTreeMap<&'static str, Duration>, jobs: f64) -> anyhow::Result<CpuMicros> {
        let micros = |(name, time): (&'static str, Duration)| {
            (name, time.saturating_sub(before[name]).as_secs_f64() * 1e6 / jobs)
        };
        Ok(self.cpu()?.into_iter().map(micros).collect())
    }

    /// The processor time that its processes have taken so far.
    ///
    /// # Errors
    /// A process is gone.
    pub fn cpu(&self) -> anyhow::Result<BTreeMap<&'static str, Duration>> {
        let of = |(name, pids): (&&'static str, &Vec<u32>)| {
            let times: anyhow::Result<Vec<Duration>> = pids.iter().map(|pid| cpu_time(*pid)).collect();
            Ok((*name, times?.into_iter().sum()))
        };
        self.processes.iter().map(of).collect()
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
