//! Which rows and which defects make a suite, at which size, and the running of it, one after another.

use anyhow::ensure;

use crate::chaos::{
    fault::{self, Fault},
    planted::{self, Hunt, Planted},
    row::{self, Row},
    seed::Seed,
    table,
};

/// What every change has to survive, in `make test`. The other rows differ from these by degree.
const SMALL: [&str; 14] = [
    "kill-worker",
    "kill-ingest",
    "kill-nats",
    "kill-redis",
    "kill-both-stores",
    "freeze-worker",
    "freeze-redis",
    "rolling-restart",
    "duplicate-publishes",
    "overload",
    "cancel-storm",
    "short-deadlines-without-workers",
    "crash-between-commit-and-ack",
    "crash-after-publish",
];
/// Jobs a row, at least.
const SMALL_JOBS: u64 = 500;
const FULL_JOBS: u64 = 2000;
/// Jobs that show a defect, at any size.
const PLANTED_JOBS: u64 = 300;

/// What is run, and what decides every choice in it.
#[derive(Debug, Clone)]
pub struct Suite {
    /// Jobs a row, at least.
    pub jobs: u64,
    /// The same seed makes the same plan.
    pub seed: Seed,
    small: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// A row for each fault.
    pub rows: Vec<Row>,
    /// A hunt for each defect.
    pub hunts: Vec<Hunt>,
}

impl Report {
    /// Whether every row kept every promise and every defect was noticed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.rows.iter().all(Row::passed) && self.hunts.iter().all(Hunt::caught)
    }
}

impl Suite {
    /// The suite of `make test`, or all there is.
    #[must_use]
    pub const fn new(small: bool, seed: Seed) -> Self {
        let jobs = if small { SMALL_JOBS } else { FULL_JOBS };
        Self { jobs, seed, small }
    }

    /// Its faults.
    #[must_use]
    pub fn faults(&self) -> Vec<Box<dyn Fault>> {
        let mut faults = fault::all();
        faults.retain(|fault| !self.small || SMALL.contains(&fault.name()));
        faults
    }

    /// Everything at once, for long, in one row.
    pub async fn soak(&self) -> Row {
        let row = row::run(fault::soak().as_ref(), self.jobs, &self.seed).await;
        println!("{}", table::line(&row));
        row
    }

    /// The defects that it hunts.
    #[must_use]
    pub fn defects(&self) -> Vec<&'static Planted> {
        let hunted = |planted: &&Planted| !(self.small && planted.large);
        planted::ALL.iter().filter(hunted).collect()
    }

    /// Runs it, or what is named of it, and prints a line as soon as there is one.
    ///
    /// # Errors
    /// It has nothing of a name.
    pub async fn run(&self, only: &[String]) -> anyhow::Result<Report> {
        let (mut faults, mut defects) = (self.faults(), self.defects());
        for name in only {
            let known =
                faults.iter().any(|fault| fault.name() == name) || defects.iter().any(|planted| planted.name == name);
            ensure!(known, "there is no row and no defect {name}");
        }
        let wanted = |name: &str| only.is_empty() || only.iter().any(|only| only == name);
        faults.retain(|fault| wanted(fault.name()));
        defects.retain(|planted| wanted(planted.name));
        Ok(self.run_all(&faults, &defects).await)
    }

    async fn run_all(&self, faults: &[Box<dyn Fault>], defects: &[&'static Planted]) -> Report {
        let mut report = Report::default();
        for fault in faults {
            let row = row::run(fault.as_ref(), self.jobs, &self.seed).await;
            println!("{}", table::line(&row));
            report.rows.push(row);
        }
        for planted in defects {
            let hunt = planted::hunt(planted, PLANTED_JOBS, &self.seed).await;
            println!("{hunt}");
            report.hunts.push(hunt);
        }
        report
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_is_of_one_fault_or_defect_and_every_named_row_is_there() {
        let faults = Suite::new(false, Seed::new(1)).faults();
        let names: BTreeSet<_> = faults.iter().map(|fault| fault.name()).collect();
        assert_eq!(names.len(), faults.len());
        assert!(SMALL.iter().all(|name| names.contains(name)));
        assert!(planted::ALL.iter().all(|planted| names.contains(planted.row)));
        assert!(planted::ALL.iter().all(|planted| !names.contains(planted.name)));
    }
}
