//! Two runs side by side: ratios, since absolute times on another day or machine mean little.

use std::{fmt, path::Path};

use anyhow::Context;
use serde::Serialize;

use crate::report::{Load, Report};

/// How a run compares with an earlier one, load by load of the same name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The earlier run's tag.
    pub baseline: String,
    /// Every figure of every load that both have.
    pub rows: Vec<Row>,
}

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Of which load.
    pub load: String,
    /// Which figure, with its unit.
    pub figure: &'static str,
    /// What it was.
    pub before: f64,
    /// What it is.
    pub now: f64,
}

impl Row {
    /// How much more it is now.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.now / self.before
    }
}

type Figure = (&'static str, fn(&Load) -> Option<f64>);

const FIGURES: [Figure; 6] = [
    ("goodput, jobs/s", |load| Some(load.goodput_per_s)),
    ("p50, ms", |load| Some(load.latency_ms?.p50)),
    ("p90, ms", |load| Some(load.latency_ms?.p90)),
    ("p99, ms", |load| Some(load.latency_ms?.p99)),
    ("p99.9, ms", |load| Some(load.latency_ms?.p999)),
    ("errors, share", |load| Some(load.counts.error_share())),
];

impl Comparison {
    /// With the run of a file.
    ///
    /// # Errors
    /// It cannot be read, or is no report.
    pub fn with(file: &Path, report: &Report) -> anyhow::Result<Self> {
        let text = std::fs::read(file).with_context(|| format!("read the baseline {}", file.display()))?;
        let before: Report =
            serde_json::from_slice(&text).with_context(|| format!("the baseline {} is no report", file.display()))?;
        Ok(Self::of(&before, report))
    }

    fn of(before: &Report, now: &Report) -> Self {
        let mut rows = Vec::new();
        for load in &now.loads {
            let Some(earlier) = before.loads.iter().find(|earlier| earlier.name == load.name) else {
                continue;
            };
            let both = FIGURES.iter().filter_map(|(figure, of)| {
                Some(Row {
                    load: load.name.clone(),
                    figure,
                    before: of(earlier)?,
                    now: of(load)?,
                })
            });
            rows.extend(both);
        }
        Self {
            baseline: before.run.clone(),
            rows,
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\ncompared with {}", self.baseline)?;
        for row in &self.rows {
            let (load, figure, ratio) = (&row.load, row.figure, row.ratio());
            let ratio = if ratio.is_finite() {
                format!("x {ratio:.2}")
            } else {
                String::new()
            };
            writeln!(
                f,
                "{load:<20} {figure:<16} {:>12.2} {:>12.2}  {ratio}",
                row.before, row.now
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ledger::Counts, report::tests::load};

    #[test]
    fn figures_that_both_runs_have_are_compared_by_the_loads_name() {
        let report = |name: &str, succeeded| {
            let mut load = load(Counts {
                submitted: succeeded,
                succeeded,
                ..Counts::default()
            });
            load.name = name.to_owned();
            Report {
                run: "0000".to_owned(),
                description: String::new(),
                passed: true,
                complaints: Vec::new(),
                slo: String::new(),
                elapsed_s: 10.0,
                interrupted: false,
                cpu_us_per_job: 0.0,
                highest_rate_per_s: None,
                probes: Vec::new(),
                loads: vec![load],
            }
        };
        let compared = Comparison::of(&report("a", 100), &report("a", 150));
        assert_eq!(
            (compared.rows[0].figure, compared.rows[0].ratio()),
            ("goodput, jobs/s", 1.5)
        );
        assert!(
            compared.rows.iter().all(|row| !row.figure.starts_with('p')),
            "nothing is known of times"
        );
        assert!(Comparison::of(&report("a", 1), &report("b", 1)).rows.is_empty());
    }
}
