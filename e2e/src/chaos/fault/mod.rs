//! What is done to a running pipeline, and how one sees that it was done. A fault is a struct in a file of its own; adding
//! one is adding it to [`all`].

mod scene;

mod backlog;
mod cancels;
mod clocks;
mod crash;
mod deadlines;
mod duplicates;
mod freeze;
mod full_disk;
mod full_store;
mod kill;
mod network;
mod overload;
mod poison;
mod power_loss;
mod retries;
mod rolling;
mod slow_readers;
mod slow_run;
mod soak;

use std::time::Duration;

use futures_util::future::BoxFuture;

pub use scene::Scene;

use crate::chaos::{checker::Allowance, cluster::Setup, plan::Mix};

/// One fault.
pub trait Fault: Send + Sync {
    /// Its name in tables, on the command line and in errors.
    fn name(&self) -> &'static str;

    /// How many jobs it takes in a suite of so many a row.
    fn jobs(&self, jobs: u64) -> u64 {
        jobs
    }

    /// How the processes are started for it.
    fn setup(&self) -> Setup {
        Setup::default()
    }

    /// The load it is injected under.
    fn mix(&self, _jobs: u64) -> Mix {
        Mix::default()
    }

    /// Within which time of the end of the fault every job ends.
    fn drain_limit(&self) -> Duration {
        Duration::from_secs(120)
    }

    /// What it may lead to.
    fn allowance(&self) -> Allowance {
        Allowance::default()
    }

    /// Injects it under the load, and heals it: every process lives and nothing is in the way when this returns.
    fn inject<'s>(&'s self, scene: &'s mut Scene) -> BoxFuture<'s, anyhow::Result<()>>;

    /// What shows that it happened. Asked once everything has been drained.
    fn proof<'s>(&'s self, scene: &'s Scene) -> BoxFuture<'s, anyhow::Result<Proof>>;
}

/// A fault that strikes once and heals, whatever was struck before: what a soak is mixed of.
pub trait Strike: Fault {
    /// Strikes, and heals.
    fn strike<'s>(&'s self, scene: &'s mut Scene) -> BoxFuture<'s, anyhow::Result<()>>;
}

/// Figures that a fault cannot have left at 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proof(Vec<(&'static str, u64)>);

impl Proof {
    /// A proof by these figures.
    #[must_use]
    pub fn of<const N: usize>(figures: [(&'static str, u64); N]) -> Self {
        Self(figures.into())
    }

    /// Which figures are missing: all of them must be there.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let missing = self.0.iter().filter(|(_, figure)| *figure == 0);
        missing.map(|(name, _)| *name).collect()
    }
}

impl std::fmt::Display for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let figures: Vec<_> = self.0.iter().map(|(name, figure)| format!("{name} {figure}")).collect();
        f.write_str(&figures.join(", "))
    }
}

/// All that can strike at random, for hours, in one row.
#[must_use]
pub fn soak() -> Box<dyn Fault> {
    Box::new(soak::Soak::default())
}

/// Every fault of the suite, in the order of the table.
#[must_use]
pub fn all() -> Vec<Box<dyn Fault>> {
    let mut faults: Vec<Box<dyn Fault>> = vec![
        Box::new(kill::Kill::WORKER),
        Box::new(kill::Kill::INGEST),
        Box::new(kill::Kill::INGESTS),
        Box::new(kill::Kill::NATS),
        Box::new(kill::Kill::REDIS),
        Box::new(kill::Kill::STORES),
        Box::new(freeze::Freeze::WORKER),
        Box::new(freeze::Freeze::INGEST),
        Box::new(freeze::Freeze::NATS),
        Box::new(freeze::Freeze::REDIS),
        Box::new(rolling::RollingRestart),
        Box::new(duplicates::Duplicates),
        Box::new(retries::IdempotentRetries),
        Box::new(overload::Overload),
        Box::new(cancels::CancelStorm),
        Box::new(deadlines::Deadlines),
        Box::new(backlog::Backlog),
        Box::new(slow_readers::SlowReaders),
        Box::new(crash::Crash::BETWEEN_COMMIT_AND_ACK),
        Box::new(crash::Crash::BEFORE_PUBLISH),
        Box::new(crash::Crash::AFTER_PUBLISH),
        Box::new(poison::Poison),
        Box::new(poison::PoisonousGraph),
        Box::new(slow_run::SlowRun),
        Box::new(power_loss::PowerLoss::NATS),
        Box::new(power_loss::PowerLoss::REDIS),
        Box::new(power_loss::PowerLoss::STORES),
        Box::new(full_disk::FullDisk::NATS),
        Box::new(full_disk::FullDisk::REDIS),
        Box::new(full_store::FullStore),
        Box::new(clocks::ShiftedClocks::INGEST_AHEAD),
        Box::new(clocks::ShiftedClocks::INGEST_BEHIND),
    ];
    let weathers = network::Network::all().into_iter();
    faults.extend(weathers.map(|weather| Box::new(weather) as Box<dyn Fault>));
    faults
}
