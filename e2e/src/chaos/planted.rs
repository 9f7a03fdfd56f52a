//! The suite's own test: defects on purpose, each behind a fail point or a setting of Redis, and the row that has to notice
//! it, by the promise that it breaks.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::BoxFuture;

use crate::chaos::{
    checker::{Allowance, Promise},
    cluster::Setup,
    fault::{self, Fault, Proof, Scene},
    plan::Mix,
    row,
    seed::Seed,
};

/// A defect and who has to notice it.
#[derive(Debug)]
pub struct Planted {
    /// Its name.
    pub name: &'static str,
    /// The row that notices it.
    pub row: &'static str,
    /// The promise that is seen to be broken.
    pub promise: Promise,
    ingests: &'static str,
    workers: &'static str,
    redis: &'static [(&'static str, &'static str)],
    /// Whether its row needs more of the machine than every change can ask for.
    pub large: bool,
}

/// Every defect.
pub const ALL: [Planted; 6] = [
    Planted {
        name: "ack-before-commit",
        row: "kill-worker",
        promise: Promise::NothingLost,
        ingests: "",
        workers: "bug-ack-before-commit=return",
        redis: &[],
        large: false,
    },
    Planted {
        name: "plain-set-commit",
        row: "cancel-storm",
        promise: Promise::NoLateSuccess,
        ingests: "",
        workers: "bug-plain-set=return;worker-slow-run=sleep(20)",
        redis: &[],
        large: false,
    },
    Planted {
        name: "no-attempt-count",
        row: "poison-kills-its-worker",
        promise: Promise::BoundedExecutions,
        ingests: "",
        workers: "bug-no-attempt-count=return",
        redis: &[],
        large: false,
    },
    Planted {
        name: "heartbeat-on-inference-thread",
        row: "runs-longer-than-ack-wait",
        promise: Promise::BoundedExecutions,
        ingests: "",
        workers: "bug-heartbeat-on-inference-thread=return",
        redis: &[],
        large: false,
    },
    Planted {
        name: "read-before-subscribe",
        row: "duplicate-publishes",
        promise: Promise::PromptNews,
        ingests: "bug-read-before-subscribe=return",
        workers: "",
        redis: &[],
        large: false,
    },
    Planted {
        name: "redis-everysec",
        row: "power-loss-redis",
        promise: Promise::NothingLost,
        ingests: "",
        workers: "",
        redis: &[("appendfsync", "everysec")],
        large: true,
    },
];

/// What became of a defect.
#[derive(Debug)]
pub struct Hunt {
    /// Which.
    pub planted: &'static Planted,
    /// The promises that its row saw broken, and how often.
    pub broken: BTreeMap<Promise, u64>,
    /// What the row had to say.
    pub row: row::Row,
}

impl Hunt {
    /// Whether it was caught by name.
    #[must_use]
    pub fn caught(&self) -> bool {
        self.broken.contains_key(&self.planted.promise)
    }
}

impl std::fmt::Display for Hunt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let verdict = if self.caught() { "caught" } else { "MISSED" };
        let Planted { name, row, promise, .. } = self.planted;
        write!(f, "{verdict} {name:<30} by {row}: {promise}; broken: {:?}", self.broken)?;
        if !self.caught() {
            write!(f, "\n{}", crate::chaos::table::line(&self.row))?;
        }
        Ok(())
    }
}

/// Runs a defect's row with the defect in it.
pub async fn hunt(planted: &'static Planted, jobs: u64, seed: &Seed) -> Hunt {
    let faults = fault::all();
    let fault = faults.iter().find(|fault| fault.name() == planted.row);
    let fault = fault.expect("a defect names a row of the suite").as_ref();
    let row = row::run(&WithBug { fault, planted }, jobs, seed).await;
    Hunt {
        planted,
        broken: row.broken.clone(),
        row,
    }
}

/// A fault in a pipeline that has a defect.
struct WithBug<'f> {
    fault: &'f dyn Fault,
    planted: &'f Planted,
}

impl Fault for WithBug<'_> {
    fn name(&self) -> &'static str {
        self.fault.name()
    }

    fn setup(&self) -> Setup {
        let mut setup = self.fault.setup();
        for (points, more) in [
            (&mut setup.ingest_fail_points, self.planted.ingests),
            (&mut setup.worker_fail_points, self.planted.workers),
        ] {
            if !points.is_empty() && !more.is_empty() {
                points.push(';');
            }
            points.push_str(more);
        }
        setup.redis_settings.extend(self.planted.redis);
        setup
    }

    fn jobs(&self, jobs: u64) -> u64 {
        self.fault.jobs(jobs)
    }

    fn mix(&self, jobs: u64) -> Mix {
        self.fault.mix(jobs)
    }

    fn allowance(&self) -> Allowance {
        self.fault.allowance()
    }

    /// What is lost is not waited for.
    fn drain_limit(&self) -> Duration {
        Duration::from_secs(15)
    }

    fn inject<'s>(&'s self, scene: &'s mut Scene) -> BoxFuture<'s, anyhow::Result<()>> {
        self.fault.inject(scene)
    }

    fn proof<'s>(&'s self, scene: &'s Scene) -> BoxFuture<'s, anyhow::Result<Proof>> {
        self.fault.proof(scene)
    }
}
