//! Scenarios: what several kinds of callers do at once, phase by phase, as a TOML file says it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use gristmill_schemas::{Lane, Span};
use serde::Deserialize;

use crate::{
    config::{ApiKey, Encoding, Model, TargetArgs, Texts, Wait, WorkArgs},
    pace::{IN_FLIGHT, MOST_IN_FLIGHT, Pace},
    plan::{Load, Plan},
    schedule::{Arrivals, Phase},
    slo::Slo,
};

/// The highest rate that is taken for meant.
const MAX_RATE: f64 = 1e6;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    #[serde(default)]
    description: String,
    #[serde(default)]
    slo: Option<String>,
    #[serde(rename = "load")]
    loads: Vec<LoadTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LoadTable {
    name: String,
    /// The variable that holds the tenant's API key; the command line's key if not given.
    #[serde(default)]
    api_key_env: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    rows: Option<u16>,
    #[serde(default)]
    texts: Texts,
    #[serde(default)]
    lane: Lane,
    #[serde(default)]
    deadline: Option<Span>,
    #[serde(default)]
    encoding: Option<String>,
    #[serde(default)]
    wait: Option<String>,
    #[serde(default)]
    in_flight: Option<u16>,
    #[serde(default)]
    jobs: Option<u64>,
    #[serde(default)]
    duration: Option<Span>,
    #[serde(default)]
    arrivals: Arrivals,
    #[serde(default, rename = "phase")]
    phases: Vec<PhaseTable>,
    /// A file of beginnings: seconds from the load's own, one a line, in order.
    #[serde(default)]
    trace: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PhaseTable {
    duration: Span,
    rate: f64,
    #[serde(default)]
    to: Option<f64>,
    #[serde(default)]
    burst: Option<u32>,
}

/// Reads a scenario; what it does not say is as the command line has it.
///
/// # Errors
/// The file cannot be read, or asks for what there is not, by the name of the field.
pub(crate) fn read(file: &Path, target: &TargetArgs) -> anyhow::Result<Plan> {
    read_with(file, target, |variable| std::env::var(variable).ok())
}

/// [`read`], with the environment as given.
fn read_with(file: &Path, target: &TargetArgs, variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Plan> {
    let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let folder = file.parent().unwrap_or(Path::new("."));
    let plan = parse(&text, folder, (target, &variable));
    plan.with_context(|| format!("the scenario {}", file.display()))
}

type Callers<'a> = (&'a TargetArgs, &'a dyn Fn(&str) -> Option<String>);

fn parse(text: &str, folder: &Path, callers: Callers<'_>) -> anyhow::Result<Plan> {
    let scenario: Scenario = toml::from_str(text)?;
    ensure!(!scenario.loads.is_empty(), "it has no [[load]]");
    let slo: Slo = match &scenario.slo {
        Some(slo) => slo.parse().context("slo")?,
        None => Slo::default(),
    };
    let mut loads = Vec::new();
    for table in scenario.loads {
        let name = table.name.clone();
        let load = table.load(folder, callers);
        loads.push(load.with_context(|| format!("the load {name:?}"))?);
    }
    Ok(Plan {
        description: scenario.description,
        loads,
        slo,
    })
}

impl LoadTable {
    fn load(self, folder: &Path, (target, variable_of): Callers<'_>) -> anyhow::Result<Load> {
        let mut target = target.clone();
        if let Some(variable) = &self.api_key_env {
            let key = variable_of(variable).with_context(|| format!("api_key_env: there is no variable {variable}"))?;
            target.api_key = key.parse::<ApiKey>()?;
        }
        if let Some(word) = &self.encoding {
            target.encoding = word_of::<Encoding>("encoding", word)?;
        }
        if let Some(word) = &self.wait {
            target.wait = word_of::<Wait>("wait", word)?;
        }
        let model = match &self.model {
            Some(word) => word_of::<Model>("model", word)?,
            None => Model::default(),
        };
        let rows = self.rows.unwrap_or(1);
        ensure!((1..=4096).contains(&rows), "rows: 1 to 4096");
        let work = WorkArgs {
            model,
            rows,
            texts: self.texts,
            lane: self.lane,
            deadline: self.deadline,
        };
        let pace = self.pace(folder)?;
        Ok(Load {
            name: self.name,
            target,
            work,
            pace,
        })
    }

    fn pace(&self, folder: &Path) -> anyhow::Result<Pace> {
        if let Some(in_flight) = self.in_flight {
            ensure!(
                (1..=MOST_IN_FLIGHT).contains(&in_flight),
                "in_flight: 1 to {MOST_IN_FLIGHT}"
            );
        }
        match (&self.phases[..], &self.trace) {
            ([], None) => {
                ensure!(
                    self.jobs.is_some() != self.duration.is_some(),
                    "without phases or a trace it is a closed loop, and has either jobs or a duration"
                );
                Ok(Pace::Closed {
                    in_flight: self.in_flight.unwrap_or(IN_FLIGHT),
                    jobs: self.jobs,
                    duration: self.duration.map(Span::as_duration),
                })
            }
            _ if self.jobs.is_some() || self.duration.is_some() => {
                bail!("phases or a trace say how much there is: jobs and duration do not go with them")
            }
            ([], Some(trace)) => Ok(Pace::Trace {
                beginnings: beginnings(&folder.join(trace)).context("trace")?,
                in_flight: self.in_flight.unwrap_or(MOST_IN_FLIGHT),
            }),
            (phases, None) => Ok(Pace::Open {
                phases: phases.iter().map(PhaseTable::phase).collect::<anyhow::Result<_>>()?,
                arrivals: self.arrivals,
                jobs: None,
                in_flight: self.in_flight.unwrap_or(MOST_IN_FLIGHT),
            }),
            (_, Some(_)) => bail!("phases and a trace do not go together"),
        }
    }
}

impl PhaseTable {
    fn phase(&self) -> anyhow::Result<Phase> {
        let to = self.to.unwrap_or(self.rate);
        for rate in [self.rate, to] {
            ensure!(
                (0.0..=MAX_RATE).contains(&rate),
                "phase: a rate is 0 to {MAX_RATE} jobs a second"
            );
        }
        let burst = self.burst.unwrap_or(1);
        ensure!((1..=100_000).contains(&burst), "phase: a burst is 1 to 100000 jobs");
        Ok(Phase {
            duration: self.duration.as_duration(),
            from: self.rate,
            to,
            burst,
        })
    }
}

fn word_of<T: clap::ValueEnum>(field: &str, word: &str) -> anyhow::Result<T> {
    T::from_str(word, false).map_err(|_| {
        let words: Vec<String> = T::value_variants()
            .iter()
            .filter_map(|variant| Some(variant.to_possible_value()?.get_name().to_owned()))
            .collect();
        anyhow::anyhow!("{field}: {word:?} is none of {}", words.join(", "))
    })
}

fn beginnings(file: &Path) -> anyhow::Result<Vec<Duration>> {
    let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let mut beginnings: Vec<Duration> = Vec::new();
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let seconds: f64 = line
            .parse()
            .with_context(|| format!("line {number}: {line:?} is no number of seconds"))?;
        let at = Duration::try_from_secs_f64(seconds).with_context(|| format!("line {number}"))?;
        ensure!(
            beginnings.last().is_none_or(|last| *last <= at),
            "line {number} is before the one above it"
        );
        beginnings.push(at);
    }
    ensure!(!beginnings.is_empty(), "{} has no beginnings", file.display());
    Ok(beginnings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> TargetArgs {
        TargetArgs {
            url: gristmill_broker::ServerUrl::new("http://127.0.0.1:8080".to_owned()),
            api_key: "gm_test".parse().unwrap(),
            encoding: Encoding::Msgpack,
            wait: Wait::Prefer,
            no_idempotency_key: false,
        }
    }

    #[test]
    fn every_scenario_of_the_repository_can_be_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let mut read_so_far = 0;
        for entry in fs::read_dir(folder).unwrap() {
            let file = entry.unwrap().path();
            if file.extension().is_some_and(|ending| ending == "toml") {
                let key = |_: &str| Some("gm_other".to_owned());
                let plan = read_with(&file, &target(), key).unwrap_or_else(|error| panic!("{error:#}"));
                assert!(!plan.description.is_empty(), "{}", file.display());
                read_so_far += 1;
            }
        }
        assert!(read_so_far >= 8, "{read_so_far}");
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_the_name_of_its_field() {
        let cases = [
            ("", "missing field `load`"),
            ("load = []", "no [[load]]"),
            ("[[load]]\nname = \"a\"", "either jobs or a duration"),
            ("[[load]]\nname = \"a\"\njobs = 3\nmodle = \"identity\"", "modle"),
            (
                "[[load]]\nname = \"a\"\njobs = 3\nmodel = \"gpt\"",
                "model: \"gpt\" is none of identity",
            ),
            ("[[load]]\nname = \"a\"\njobs = 3\nrows = 0", "rows: 1 to 4096"),
            ("[[load]]\nname = \"a\"\njobs = 3\nin_flight = 0", "in_flight: 1 to"),
            (
                "[[load]]\nname = \"a\"\njobs = 3\n[[load.phase]]\nduration = \"1s\"\nrate = 1",
                "do not go with them",
            ),
            (
                "[[load]]\nname = \"a\"\n[[load.phase]]\nduration = \"1s\"\nrate = -1",
                "a rate is 0 to",
            ),
            (
                "[[load]]\nname = \"a\"\n[[load.phase]]\nduration = \"1s\"\nrate = 1\nburst = 0",
                "a burst is 1 to",
            ),
            ("[[load]]\nname = \"a\"\ntrace = \"nowhere.txt\"", "nowhere.txt"),
            (
                "[[load]]\nname = \"a\"\njobs = 1\napi_key_env = \"GRISTMILL_NO_SUCH\"",
                "GRISTMILL_NO_SUCH",
            ),
            (
                "slo = \"fast\"\n[[load]]\nname = \"a\"\njobs = 1",
                "\"fast\" is no gate",
            ),
        ];
        for (text, named) in cases {
            let error = parse(text, Path::new("/"), (&target(), &|_| None)).expect_err(text);
            assert!(format!("{error:#}").contains(named), "{text}: {error:#}");
        }
    }
}
