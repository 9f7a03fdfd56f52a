//! What a load test found out: as a table for people, as JSON for machines, and whether it passed.

use std::{collections::BTreeMap, fmt, time::Duration};

use gristmill_schemas::Lane;
use serde::Serialize;

use crate::{
    config::{Encoding, LoadtestArgs, Model, Wait},
    ledger::Counts,
};

/// What a load test found out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The run's tag: every `Idempotency-Key` begins with it.
    pub run: String,
    /// Whether the test passed, [`Self::passed`].
    pub passed: bool,
    /// Why it did not.
    pub complaints: Vec<String>,
    /// What was asked for.
    pub setting: Setting,
    /// Jobs that were run one by one at the start as references; not counted below.
    pub references: u64,
    /// Seconds from the first submission to the last end.
    pub elapsed_s: f64,
    /// Whether the test was ended early.
    pub interrupted: bool,
    /// Terminal jobs a second.
    pub jobs_per_s: f64,
    /// Rows of succeeded jobs a second.
    pub rows_per_s: f64,
    /// Times of terminal jobs from the first send to the result in hand, repetitions and their pauses included.
    pub latency_ms: Option<Latency>,
    /// What became of every job.
    pub counts: Counts,
    /// The first things that went wrong, one line each.
    pub troubles: Vec<String>,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// The server.
    pub url: String,
    /// Which model.
    pub model: Model,
    /// Rows of a job.
    pub rows: u16,
    /// Where the jobs waited.
    pub lane: Lane,
    /// How requests were written.
    pub encoding: Encoding,
    /// How results came to hand.
    pub wait: Wait,
    /// Jobs in flight at once.
    pub in_flight: u16,
    /// Failed, expired and cancelled jobs were allowed.
    pub allow_failures: bool,
}

impl Setting {
    pub(crate) fn of(args: &LoadtestArgs) -> Self {
        Self {
            url: args.target.url.clone(),
            model: args.work.model,
            rows: args.work.rows,
            lane: args.work.lane,
            encoding: args.target.encoding,
            wait: args.target.wait,
            in_flight: args.pace.in_flight,
            allow_failures: args.allow_failures,
        }
    }
}

/// Times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Latency {
    /// Half of the jobs were faster.
    pub p50: f64,
    /// Nine of ten were.
    pub p90: f64,
    /// 99 of 100 were.
    pub p99: f64,
    /// The slowest.
    pub max: f64,
}

/// What [`Report::new`] puts together.
pub(crate) struct Findings {
    pub(crate) run: String,
    pub(crate) setting: Setting,
    pub(crate) references: u64,
    pub(crate) elapsed: Duration,
    pub(crate) interrupted: bool,
    pub(crate) latency: Option<Latency>,
    pub(crate) counts: Counts,
    pub(crate) troubles: Vec<String>,
}

impl Report {
    pub(crate) fn new(findings: Findings) -> Self {
        let Findings {
            setting,
            counts,
            elapsed,
            ..
        } = findings;
        let complaints = complaints(&counts, setting.allow_failures);
        let per_second = |count: u64| count as f64 / elapsed.as_secs_f64().max(1e-6);
        Self {
            run: findings.run,
            passed: complaints.is_empty(),
            complaints,
            references: findings.references,
            elapsed_s: elapsed.as_secs_f64(),
            interrupted: findings.interrupted,
            jobs_per_s: per_second(counts.terminal),
            rows_per_s: per_second(counts.succeeded * u64::from(setting.rows)),
            latency_ms: findings.latency,
            setting,
            counts,
            troubles: findings.troubles,
        }
    }

    /// Whether every accepted job ended once and right, nothing was left without an answer and, unless that was allowed,
    /// nothing failed. A test in which nothing was accepted shows nothing, and has not passed.
    #[must_use]
    pub const fn passed(&self) -> bool {
        self.passed
    }
}

/// All that keeps a test from passing.
fn complaints(counts: &Counts, allow_failures: bool) -> Vec<String> {
    let failures = if allow_failures { 0 } else { counts.unsuccessful() };
    let rows = [
        (counts.lost_in_all(), "lost"),
        (counts.duplicated, "duplicated"),
        (counts.wrong, "wrong"),
        (failures, "failed, expired or cancelled"),
        (counts.refused_in_all(), "refused"),
        (counts.given_up, "given up: no answer in time"),
        (counts.unfinished, "unfinished"),
    ];
    let found = rows.into_iter().filter(|(count, _)| *count > 0);
    let mut complaints: Vec<_> = found.map(|(count, what)| format!("{count} {what}")).collect();
    if counts.accepted == 0 {
        complaints.push("nothing was accepted".to_owned());
    }
    if counts.accepted != counts.terminal && complaints.is_empty() {
        complaints.push(format!(
            "{} accepted, but {} terminal",
            counts.accepted, counts.terminal
        ));
    }
    complaints
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (setting, counts) = (&self.setting, &self.counts);
        row(f, "run", format_args!("{} against {}", self.run, setting.url))?;
        let words = [setting.encoding.as_str(), setting.wait.as_str(), setting.lane.as_str()].join(", ");
        let (model, rows) = (setting.model.as_str(), setting.rows);
        row(
            f,
            "setting",
            format_args!("{model}, {rows} rows a job, {} in flight, {words}", setting.in_flight),
        )?;
        row(
            f,
            "references",
            format_args!("{} jobs, not counted below", self.references),
        )?;
        let ended = if self.interrupted { ", ended early" } else { "" };
        row(f, "elapsed", format_args!("{:.2} s{ended}", self.elapsed_s))?;
        row(
            f,
            "rate",
            format_args!("{:.1} jobs/s, {:.1} rows/s", self.jobs_per_s, self.rows_per_s),
        )?;
        if let Some(Latency { p50, p90, p99, max }) = self.latency_ms {
            row(
                f,
                "latency",
                format_args!("p50 {p50:.1}  p90 {p90:.1}  p99 {p99:.1}  max {max:.1} ms"),
            )?;
        }
        self.conservation(f)?;
        for trouble in &self.troubles {
            row(f, "trouble", trouble)?;
        }
        match self.passed {
            true => row(
                f,
                "verdict",
                format_args!("passed: {} accepted = terminal", counts.accepted),
            ),
            false => row(f, "verdict", format_args!("NOT PASSED: {}", self.complaints.join("; "))),
        }
    }
}

impl Report {
    fn conservation(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        row(f, "submitted", counts.submitted)?;
        row(f, "accepted", counts.accepted)?;
        row(f, "terminal", counts.terminal)?;
        row(f, "  succeeded", counts.succeeded)?;
        row(f, "  failed", ByCode(&counts.failed))?;
        row(f, "  expired", counts.expired)?;
        row(f, "  cancelled", counts.cancelled)?;
        row(f, "lost", ByCode(&counts.lost))?;
        row(f, "duplicated", counts.duplicated)?;
        row(f, "wrong", counts.wrong)?;
        row(f, "refused", ByCode(&counts.refused))?;
        row(f, "given up", counts.given_up)?;
        row(f, "unfinished", counts.unfinished)?;
        row(f, "retries", ByCode(&counts.retries))?;
        row(f, "unknown sends", counts.unknown)
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, value: impl fmt::Display) -> fmt::Result {
    writeln!(f, "{name:<14} {value}")
}

/// A sum, and what it is made of.
struct ByCode<'a>(&'a BTreeMap<String, u64>);

impl fmt::Display for ByCode<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.values().sum::<u64>())?;
        if self.0.is_empty() {
            return Ok(());
        }
        let parts: Vec<_> = self.0.iter().map(|(code, count)| format!("{code} {count}")).collect();
        write!(f, " ({})", parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Counts {
        Counts {
            submitted: 3,
            accepted: 3,
            terminal: 3,
            succeeded: 3,
            ..Counts::default()
        }
    }

    #[test]
    fn sound_counts_pass_and_retries_do_no_harm() {
        assert!(complaints(&sound(), false).is_empty());
        let retries = BTreeMap::from([("overloaded".to_owned(), 7)]);
        assert!(
            complaints(
                &Counts {
                    retries,
                    unknown: 2,
                    ..sound()
                },
                false
            )
            .is_empty()
        );
    }

    #[test]
    fn each_fault_alone_fails_the_test_and_is_named() {
        let one = || BTreeMap::from([("x".to_owned(), 1)]);
        let faults = [
            (Counts { terminal: 2, ..sound() }, "terminal"),
            (Counts { lost: one(), ..sound() }, "lost"),
            (
                Counts {
                    duplicated: 1,
                    ..sound()
                },
                "duplicated",
            ),
            (Counts { wrong: 1, ..sound() }, "wrong"),
            (
                Counts {
                    refused: one(),
                    ..sound()
                },
                "refused",
            ),
            (Counts { given_up: 1, ..sound() }, "given up"),
            (
                Counts {
                    unfinished: 1,
                    ..sound()
                },
                "unfinished",
            ),
            (Counts::default(), "nothing was accepted"),
        ];
        for (counts, word) in faults {
            let complaints = complaints(&counts, true);
            assert!(
                complaints.len() == 1 && complaints[0].contains(word),
                "{word}: {complaints:?}"
            );
        }
    }

    #[test]
    fn failures_fail_the_test_unless_allowed() {
        let failed = BTreeMap::from([("inference_failed".to_owned(), 1)]);
        for counts in [
            Counts { failed, ..sound() },
            Counts { expired: 1, ..sound() },
            Counts {
                cancelled: 1,
                ..sound()
            },
        ] {
            assert_eq!(complaints(&counts, false), ["1 failed, expired or cancelled"]);
            assert!(complaints(&counts, true).is_empty());
        }
    }

    #[test]
    fn sums_show_what_they_are_made_of() {
        let counts = BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 3)]);
        assert_eq!(ByCode(&counts).to_string(), "5 (a 2, b 3)");
        assert_eq!(ByCode(&BTreeMap::new()).to_string(), "0");
    }
}
