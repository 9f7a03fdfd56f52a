//! What a load test is to do, from flags or from a scenario.

use gristmill_schemas::Span;

use crate::{
    config::{LoadtestArgs, PaceArgs, TargetArgs, WorkArgs},
    pace::{FOR_EVER, IN_FLIGHT, MOST_IN_FLIGHT, Pace},
    scenario,
    schedule::Phase,
    slo::Slo,
};

/// All of it.
#[derive(Debug)]
pub(crate) struct Plan {
    /// One sentence for people.
    pub(crate) description: String,
    /// What goes on at the same time.
    pub(crate) loads: Vec<Load>,
    /// What each is to reach.
    pub(crate) slo: Slo,
}

/// One kind of callers.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    /// What it is called.
    pub(crate) name: String,
    /// Whom it asks, as whom.
    pub(crate) target: TargetArgs,
    /// For what.
    pub(crate) work: WorkArgs,
    /// How fast.
    pub(crate) pace: Pace,
}

impl Plan {
    /// The plan of a command line.
    ///
    /// # Errors
    /// Its scenario cannot be read.
    pub(crate) fn of(args: &LoadtestArgs) -> anyhow::Result<Self> {
        let mut plan = match &args.scenario {
            Some(file) => scenario::read(file, &args.target)?,
            None => Self {
                description: String::new(),
                loads: vec![Load {
                    name: args.work.model.as_str().to_owned(),
                    target: args.target.clone(),
                    work: args.work.clone(),
                    pace: pace(&args.pace),
                }],
                slo: Slo::default(),
            },
        };
        if let Some(slo) = &args.report.slo {
            plan.slo = slo.clone();
        }
        Ok(plan)
    }
}

fn pace(args: &PaceArgs) -> Pace {
    let duration = args.duration.map(Span::as_duration);
    let jobs = duration.is_none().then_some(args.jobs);
    match args.rate {
        None => Pace::Closed {
            in_flight: args.in_flight.unwrap_or(IN_FLIGHT),
            jobs,
            duration,
        },
        Some(rate) => Pace::Open {
            phases: vec![Phase {
                duration: duration.unwrap_or(FOR_EVER),
                from: rate,
                to: rate,
                burst: 1,
            }],
            arrivals: args.arrivals,
            jobs,
            in_flight: args.in_flight.unwrap_or(MOST_IN_FLIGHT),
        },
    }
}
