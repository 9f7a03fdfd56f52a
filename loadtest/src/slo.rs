//! What a load test is to reach to pass: `p99<200ms,errors<0.1%,lost=0`. Pure.

use std::{fmt, str::FromStr, time::Duration};

use crate::report::Load;

/// Every gate of a test.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Slo(Vec<Gate>);

/// One of them.
#[derive(Debug, Clone, PartialEq)]
struct Gate {
    measure: Measure,
    comparison: Comparison,
    /// Milliseconds, jobs a second, a share of 1 or a number, as the measure has it.
    limit: f64,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measure {
    P50,
    P90,
    P95,
    P99,
    P999,
    Max,
    Errors,
    Lost,
    Wrong,
    Rate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Below,
    AtMost,
    Above,
    AtLeast,
    Is,
}

/// Text that names no gates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no gate: expected a measure (p50, p90, p95, p99, p999, max, errors, lost, wrong, rate), one of < <= > >= = and a \
     limit, such as \"p99<200ms\", \"errors<0.1%\", \"lost=0\" or \"rate>=500\""
)]
pub struct NotAGate(String);

const MEASURES: [(&str, Measure); 10] = [
    ("p50", Measure::P50),
    ("p90", Measure::P90),
    ("p95", Measure::P95),
    ("p999", Measure::P999),
    ("p99", Measure::P99),
    ("max", Measure::Max),
    ("errors", Measure::Errors),
    ("lost", Measure::Lost),
    ("wrong", Measure::Wrong),
    ("rate", Measure::Rate),
];
/// Longer ones first: one may begin as another does.
const COMPARISONS: [(&str, Comparison); 5] = [
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("<", Comparison::Below),
    (">", Comparison::Above),
    ("=", Comparison::Is),
];

impl Slo {
    /// What a load did not reach, a sentence each.
    pub(crate) fn missed(&self, load: &Load) -> Vec<String> {
        let missed = self.0.iter().filter_map(|gate| {
            let found = gate.measure.of(load);
            let holds = found.is_some_and(|found| gate.comparison.holds(found, gate.limit));
            (!holds).then(|| match found {
                Some(found) => format!(
                    "{} is {}, not {}",
                    gate.measure.word(),
                    gate.measure.written(found),
                    gate.text
                ),
                None => format!("{} is unknown, as nothing ended: {}", gate.measure.word(), gate.text),
            })
        });
        missed.collect()
    }

    /// Whether it says how many errors there may be.
    pub(crate) fn gates_errors(&self) -> bool {
        self.0.iter().any(|gate| gate.measure == Measure::Errors)
    }
}

impl Measure {
    fn word(self) -> &'static str {
        MEASURES
            .iter()
            .find(|(_, measure)| *measure == self)
            .map_or("", |(word, _)| word)
    }

    const fn is_time(self) -> bool {
        matches!(
            self,
            Self::P50 | Self::P90 | Self::P95 | Self::P99 | Self::P999 | Self::Max
        )
    }

    fn of(self, load: &Load) -> Option<f64> {
        let latency = load.latency_ms;
        Some(match self {
            Self::P50 => latency?.p50,
            Self::P90 => latency?.p90,
            Self::P95 => latency?.p95,
            Self::P99 => latency?.p99,
            Self::P999 => latency?.p999,
            Self::Max => latency?.max,
            Self::Errors => load.counts.error_share(),
            Self::Lost => load.counts.lost_in_all() as f64,
            Self::Wrong => load.counts.wrong as f64,
            Self::Rate => load.goodput_per_s,
        })
    }

    fn written(self, found: f64) -> String {
        match self {
            _ if self.is_time() => format!("{found:.1} ms"),
            Self::Errors => format!("{:.3} %", found * 100.0),
            Self::Rate => format!("{found:.1} jobs/s"),
            _ => format!("{found}"),
        }
    }

    fn limit(self, text: &str) -> Option<f64> {
        if self.is_time() {
            let time: Duration = humantime::parse_duration(text).ok()?;
            return Some(time.as_secs_f64() * 1000.0);
        }
        let (number, unit) = match text.strip_suffix('%') {
            Some(number) if self == Self::Errors => (number, 0.01),
            Some(_) => return None,
            None => (text, 1.0),
        };
        let limit: f64 = number.trim().parse().ok()?;
        (limit.is_finite() && limit >= 0.0).then_some(limit * unit)
    }
}

impl Comparison {
    fn holds(self, found: f64, limit: f64) -> bool {
        match self {
            Self::Below => found < limit,
            Self::AtMost => found <= limit,
            Self::Above => found > limit,
            Self::AtLeast => found >= limit,
            Self::Is => (found - limit).abs() < f64::EPSILON,
        }
    }
}

impl FromStr for Slo {
    type Err = NotAGate;

    fn from_str(text: &str) -> Result<Self, NotAGate> {
        text.split(',')
            .map(|gate| gate.trim().parse())
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl FromStr for Gate {
    type Err = NotAGate;

    fn from_str(text: &str) -> Result<Self, NotAGate> {
        let wrong = || NotAGate(text.to_owned());
        let (word, measure) = MEASURES
            .iter()
            .find(|(word, _)| text.starts_with(word))
            .ok_or_else(wrong)?;
        let rest = text[word.len()..].trim_start();
        let (sign, comparison) = COMPARISONS
            .iter()
            .find(|(sign, _)| rest.starts_with(sign))
            .ok_or_else(wrong)?;
        let limit = measure.limit(rest[sign.len()..].trim()).ok_or_else(wrong)?;
        Ok(Self {
            measure: *measure,
            comparison: *comparison,
            limit,
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for Slo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gates: Vec<&str> = self.0.iter().map(|gate| gate.text.as_str()).collect();
        f.write_str(&gates.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ledger::Counts,
        report::{Latency, tests::load},
    };

    fn tested(slo: &str) -> Vec<String> {
        let mut load = load(Counts {
            submitted: 1000,
            accepted: 1000,
            terminal: 1000,
            succeeded: 998,
            expired: 2,
            ..Counts::default()
        });
        load.goodput_per_s = 99.8;
        load.latency_ms = Some(Latency {
            p50: 5.0,
            p90: 9.0,
            p95: 20.0,
            p99: 199.0,
            p999: 400.0,
            max: 1500.0,
        });
        slo.parse::<Slo>().unwrap().missed(&load)
    }

    #[test]
    fn gates_that_hold_say_nothing_and_those_that_do_not_say_what_was_found() {
        let none: [String; 0] = [];
        assert_eq!(
            tested("p99<200ms, errors<=0.2%, lost=0, rate>99, max<2s, p999 < 401ms"),
            none
        );
        let missed = tested("p99<100ms,errors<0.1%,rate>=100,p50>1s");
        let expected = [
            "p99 is 199.0 ms, not p99<100ms",
            "errors is 0.200 %, not errors<0.1%",
            "rate is 99.8 jobs/s, not rate>=100",
            "p50 is 5.0 ms, not p50>1s",
        ];
        assert_eq!(missed, expected);
    }

    #[test]
    fn what_never_ended_misses_every_time() {
        let slo: Slo = "p99<1h".parse().unwrap();
        assert_eq!(slo.missed(&load(Counts::default())).len(), 1);
    }

    #[test]
    fn what_is_no_gate_is_named() {
        for text in [
            "",
            "p99",
            "p98<1s",
            "p99<fast",
            "lost<10%",
            "errors<x",
            "rate>-1",
            "p99<200ms,,",
        ] {
            let error = text.parse::<Slo>().unwrap_err();
            assert!(error.to_string().contains("is no gate"), "{text}");
        }
    }
}
