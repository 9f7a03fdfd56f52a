//! What a load test found out: as a table for people, as JSON for machines, and whether it passed.

use std::{collections::BTreeMap, fmt, time::Duration};

use gristmill_schemas::Lane;
use serde::{Deserialize, Serialize};

use crate::{
    config::{Encoding, Model, Texts, Wait},
    ledger::Counts,
    plan,
    search::Probe,
    slo::Slo,
    stages::Stage,
    timeline::Step,
};

/// What a load test found out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The run's tag: every `Idempotency-Key` of the first load begins with it.
    pub run: String,
    /// One sentence of the scenario.
    pub description: String,
    /// Whether the test passed, [`Self::passed`].
    pub passed: bool,
    /// Why it did not.
    pub complaints: Vec<String>,
    /// What was to be reached.
    pub slo: String,
    /// Seconds from the first submission to the last end.
    pub elapsed_s: f64,
    /// Whether the test was ended early.
    pub interrupted: bool,
    /// Microseconds of processor time that the load tester itself took for a job.
    pub cpu_us_per_job: f64,
    /// Of a search: the highest rate that passed, in jobs a second. This report is of that rate then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub highest_rate_per_s: Option<f64>,
    /// Of a search: every rate that was tried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<Probe>,
    /// What went on at the same time.
    pub loads: Vec<Load>,
}

/// What became of one load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// What it is called.
    pub name: String,
    /// What was asked for.
    pub setting: Setting,
    /// Jobs that were run one by one at the start as references; not counted below.
    pub references: u64,
    /// Seconds from the first submission to the last end.
    pub elapsed_s: f64,
    /// Jobs begun a second.
    pub offered_per_s: f64,
    /// Terminal jobs a second.
    pub jobs_per_s: f64,
    /// Jobs a second that ended right.
    pub goodput_per_s: f64,
    /// Rows of succeeded jobs a second.
    pub rows_per_s: f64,
    /// Times of terminal jobs from their due time (in a closed loop: the first send) to the result in hand, repetitions and
    /// their pauses included.
    pub latency_ms: Option<Latency>,
    /// What became of every job.
    pub counts: Counts,
    /// Where the time of some jobs went.
    pub stages: Vec<Stage>,
    /// The first things that went wrong, one line each.
    pub troubles: Vec<String>,
    /// Shares of jobs, and the milliseconds that so many stayed below.
    pub latency_curve: Vec<[f64; 2]>,
    /// What happened when.
    pub timeline: Vec<Step>,
    /// How many seconds a step of that is.
    pub step_s: f64,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// The server.
    pub url: String,
    /// Which model.
    pub model: Model,
    /// Rows of a job.
    pub rows: u16,
    /// How long the texts were, of a model of texts.
    #[serde(default)]
    pub texts: Texts,
    /// Where the jobs waited.
    pub lane: Lane,
    /// Whether submissions had no idempotency keys.
    #[serde(default)]
    pub no_idempotency_key: bool,
    /// How requests were written.
    pub encoding: Encoding,
    /// How results came to hand.
    pub wait: Wait,
    /// How fast the jobs came.
    pub pace: String,
}

impl Setting {
    pub(crate) fn of(load: &plan::Load) -> Self {
        Self {
            url: load.target.url.to_string(),
            model: load.work.model,
            rows: load.work.rows,
            texts: load.work.texts,
            no_idempotency_key: load.target.no_idempotency_key,
            lane: load.work.lane,
            encoding: load.target.encoding,
            wait: load.target.wait,
            pace: load.pace.words(),
        }
    }
}

/// Times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Half of the jobs were faster.
    pub p50: f64,
    /// Nine of ten were.
    pub p90: f64,
    /// 95 of 100 were.
    pub p95: f64,
    /// 99 of 100 were.
    pub p99: f64,
    /// 999 of 1000 were.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
}

/// What [`Load::new`] puts together.
pub(crate) struct Findings {
    pub(crate) name: String,
    pub(crate) setting: Setting,
    pub(crate) references: u64,
    pub(crate) elapsed: Duration,
    pub(crate) begun: u64,
    pub(crate) latency_ms: Option<Latency>,
    pub(crate) curve: Vec<[f64; 2]>,
    pub(crate) timeline: Vec<Step>,
    pub(crate) step_s: f64,
    pub(crate) stages: Vec<Stage>,
    pub(crate) counts: Counts,
    pub(crate) troubles: Vec<String>,
}

impl Load {
    pub(crate) fn new(findings: Findings) -> Self {
        let Findings { counts, elapsed, .. } = findings;
        let per_second = |count: u64| count as f64 / elapsed.as_secs_f64().max(1e-6);
        Self {
            name: findings.name,
            references: findings.references,
            elapsed_s: elapsed.as_secs_f64(),
            offered_per_s: per_second(findings.begun),
            jobs_per_s: per_second(counts.terminal),
            goodput_per_s: per_second(counts.succeeded - counts.wrong),
            rows_per_s: per_second(counts.succeeded * u64::from(findings.setting.rows)),
            latency_ms: findings.latency_ms,
            setting: findings.setting,
            stages: findings.stages,
            troubles: findings.troubles,
            latency_curve: findings.curve,
            timeline: findings.timeline,
            step_s: findings.step_s,
            counts,
        }
    }
}

/// What a test is held against.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    pub(crate) allow_failures: bool,
    pub(crate) slo: Slo,
}

impl Report {
    pub(crate) fn new(
        (run, description): (String, String),
        loads: Vec<Load>,
        verdict: &Verdict,
        (elapsed, cpu, interrupted): (Duration, Duration, bool),
    ) -> Self {
        let mut complaints = Vec::new();
        for load in &loads {
            let mut own = complaints_of(&load.counts, verdict);
            own.extend(verdict.slo.missed(load));
            let named = |complaint: String| match loads.len() {
                1 => complaint,
                _ => format!("{}: {complaint}", load.name),
            };
            complaints.extend(own.into_iter().map(named));
        }
        let jobs: u64 = loads.iter().map(|load| load.counts.terminal).sum();
        Self {
            run,
            description,
            passed: complaints.is_empty(),
            complaints,
            slo: verdict.slo.to_string(),
            elapsed_s: elapsed.as_secs_f64(),
            interrupted,
            cpu_us_per_job: cpu.as_secs_f64() * 1e6 / jobs.max(1) as f64,
            highest_rate_per_s: None,
            probes: Vec::new(),
            loads,
        }
    }

    /// Whether every accepted job ended once and right, nothing was left without an answer and, unless that was allowed,
    /// nothing failed; and every gate was reached. A test in which nothing was accepted shows nothing, and has not passed.
    #[must_use]
    pub const fn passed(&self) -> bool {
        self.passed
    }
}

/// All that keeps a load from passing, but for its gates.
fn complaints_of(counts: &Counts, verdict: &Verdict) -> Vec<String> {
    // who has said how many errors there may be has said it of these
    let gated = verdict.slo.gates_errors();
    let unless = |allowed: bool, count: u64| if allowed { 0 } else { count };
    let rows = [
        (counts.lost_in_all(), "lost"),
        (counts.duplicated, "duplicated"),
        (counts.wrong, "wrong"),
        (
            unless(verdict.allow_failures || gated, counts.unsuccessful()),
            "failed, expired or cancelled",
        ),
        (unless(gated, counts.refused_in_all()), "refused"),
        (unless(gated, counts.given_up), "given up: no certain answer in time"),
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
        if !self.description.is_empty() {
            row(f, "scenario", &self.description)?;
        }
        for load in &self.loads {
            if self.loads.len() > 1 {
                writeln!(f, "\n{}", load.name)?;
            }
            load.fmt(f)?;
        }
        if self.loads.len() > 1 {
            writeln!(f)?;
        }
        let ended = if self.interrupted { ", ended early" } else { "" };
        row(
            f,
            "run",
            format_args!(
                "{}, {:.2} s{ended}, {:.0} µs of processor time a job in the load tester itself",
                self.run, self.elapsed_s, self.cpu_us_per_job
            ),
        )?;
        if !self.slo.is_empty() {
            row(f, "gates", &self.slo)?;
        }
        for probe in &self.probes {
            row(f, "tried", probe)?;
        }
        if !self.probes.is_empty() {
            match self.highest_rate_per_s {
                Some(rate) => row(f, "highest rate", format_args!("{rate:.1} jobs/s"))?,
                None => row(f, "highest rate", "none that was tried")?,
            }
        }
        if self.passed {
            let terminal: u64 = self.loads.iter().map(|load| load.counts.terminal).sum();
            row(f, "verdict", format_args!("passed: {terminal} accepted = terminal"))
        } else {
            row(f, "verdict", format_args!("NOT PASSED: {}", self.complaints.join("; ")))
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let setting = &self.setting;
        let mut words = vec![setting.encoding.as_str(), setting.wait.as_str(), setting.lane.as_str()];
        words.extend((setting.texts == Texts::Mixed).then_some("mixed texts"));
        words.extend(setting.no_idempotency_key.then_some("no idempotency keys"));
        let words = words.join(", ");
        let (model, rows) = (setting.model.as_str(), setting.rows);
        row(f, "server", &setting.url)?;
        row(
            f,
            "setting",
            format_args!("{model}, {rows} rows a job, {}, {words}", setting.pace),
        )?;
        row(
            f,
            "references",
            format_args!("{} jobs, not counted below", self.references),
        )?;
        row(
            f,
            "rate",
            format_args!(
                "{:.1} jobs/s begun, {:.1} ended, {:.1} rows/s",
                self.offered_per_s, self.jobs_per_s, self.rows_per_s
            ),
        )?;
        if let Some(Latency {
            p50,
            p90,
            p99,
            p999,
            max,
            ..
        }) = self.latency_ms
        {
            row(
                f,
                "latency",
                format_args!("p50 {p50:.1}  p90 {p90:.1}  p99 {p99:.1}  p99.9 {p999:.1}  max {max:.1} ms"),
            )?;
        }
        if !self.stages.is_empty() {
            let stages: Vec<String> = self
                .stages
                .iter()
                .map(|stage| format!("{} {:.1}", stage.name, stage.p50_ms))
                .collect();
            row(f, "stages", format_args!("p50 in ms: {}", stages.join(", ")))?;
        }
        self.conservation(f)?;
        for trouble in &self.troubles {
            row(f, "trouble", trouble)?;
        }
        Ok(())
    }
}

impl Load {
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
pub(crate) mod tests {
    use super::*;

    /// A load of which only this is known.
    pub(crate) fn load(counts: Counts) -> Load {
        Load::new(Findings {
            name: "load".to_owned(),
            setting: Setting {
                url: String::new(),
                model: Model::Identity,
                rows: 1,
                texts: Texts::Short,
                no_idempotency_key: false,
                lane: Lane::Interactive,
                encoding: Encoding::Json,
                wait: Wait::Prefer,
                pace: String::new(),
            },
            references: 0,
            elapsed: Duration::from_secs(10),
            begun: counts.submitted,
            latency_ms: None,
            curve: Vec::new(),
            timeline: Vec::new(),
            step_s: 1.0,
            stages: Vec::new(),
            counts,
            troubles: Vec::new(),
        })
    }

    fn complaints(counts: &Counts, allow_failures: bool) -> Vec<String> {
        let slo = Slo::default();
        complaints_of(counts, &Verdict { allow_failures, slo })
    }

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
