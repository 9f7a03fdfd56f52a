//! The rounds: everything once in each of them, so that a slow minute of the machine falls on all alike.

use std::{collections::BTreeMap, time::Duration};

use gristmill_loadtest::{Encoding, Model};
use gristmill_servers::Durability;

use crate::bench::{
    alone,
    figure::{Figure, Goal},
    site::{BareSite, Site},
    target::{Order, Shown},
};

/// Jobs on their way where the most is wanted.
const MANY: u16 = 64;

/// What is run.
#[derive(Debug, Clone, Copy)]
pub struct Suite {
    /// How often.
    pub rounds: usize,
    /// How long each load lasts.
    pub duration: Duration,
}

/// Rounds by the figure's name.
#[derive(Debug, Default)]
struct Rounds(BTreeMap<String, Vec<f64>>);

impl Rounds {
    fn note(&mut self, name: impl Into<String>, value: f64) {
        self.0.entry(name.into()).or_default().push(value);
    }
}

/// What is measured in turn.
struct Sites {
    durable: Site,
    quick: Site,
    bare: BareSite,
}

impl Suite {
    /// Runs it, and tells of each load as it ends.
    ///
    /// # Errors
    /// A part cannot be started, or a load has lost or spoilt a job.
    pub async fn run(self) -> anyhow::Result<Vec<Figure>> {
        let flags = ["--model", "light", "--model", "identity"];
        let sites = Sites {
            durable: Site::start(Durability::PowerLoss, &flags).await?,
            quick: Site::start(Durability::ProcessCrash, &flags).await?,
            bare: BareSite::start(Durability::PowerLoss).await?,
        };
        let mut rounds = Rounds::default();
        for round in 1..=self.rounds {
            eprintln!("round {round} of {}", self.rounds);
            self.light(&mut rounds, &sites).await?;
            self.one_at_a_time(&mut rounds, &sites).await?;
        }
        Ok(figures(&rounds))
    }

    async fn light(self, rounds: &mut Rounds, sites: &Sites) -> anyhow::Result<()> {
        for encoding in [Encoding::Msgpack, Encoding::Json] {
            let order = Order {
                model: Model::Light,
                encoding,
                in_flight: MANY,
                rate: None,
                duration: self.duration,
            };
            let word = encoding.as_str();
            let with = sites.durable.target()?.run(order).await?;
            let bare = sites.bare.target().run(order).await?;
            let without = sites.quick.target()?.run(order).await?;
            let [with_rate, without_rate, bare_rate] = [&with, &without, &bare].map(|shown| shown.load.goodput_per_s);
            eprintln!(
                "  light, {word}: {with_rate:.0} jobs/s at power-loss (the bare path {bare_rate:.0}), {without_rate:.0} \
                 at process-crash"
            );
            rounds.note(format!("light_{word}_power_loss"), with_rate);
            rounds.note(format!("light_{word}_process_crash"), without_rate);
            rounds.note(format!("light_{word}_durability_share"), with_rate / without_rate);
            rounds.note(format!("light_{word}_bare"), bare_rate);
            rounds.note(format!("light_{word}_bare_share"), with_rate / bare_rate);
            rounds.note(format!("light_{word}_p50"), with.p50());
            rounds.note(format!("light_{word}_p99"), with.p99());
            note_cpu(rounds, &format!("light_{word}"), &with);
            note_cpu(rounds, &format!("light_{word}_bare"), &bare);
            let share = with.cpu_us["loadtest"] / with.cpu_us["ingest"];
            rounds.note(format!("light_{word}_loadtest_cpu_share"), share);
        }
        Ok(())
    }

    async fn one_at_a_time(self, rounds: &mut Rounds, sites: &Sites) -> anyhow::Result<()> {
        let order = Order {
            model: Model::Identity,
            encoding: Encoding::Msgpack,
            in_flight: 1,
            rate: None,
            duration: self.duration,
        };
        let alone = alone::pair_ms(&sites.durable.stack.servers).await?;
        let through = sites.durable.target()?.run(order).await?.p50();
        eprintln!("  identity, one at a time: p50 {through:.2} ms, its two durable writes alone {alone:.2} ms");
        rounds.note("durable_pair_p50", alone);
        rounds.note("identity_low_load_p50", through);
        rounds.note("identity_low_load_ratio", through / alone);
        Ok(())
    }
}

fn note_cpu(rounds: &mut Rounds, name: &str, shown: &Shown) {
    for (process, micros) in &shown.cpu_us {
        rounds.note(format!("{name}_cpu_{process}"), *micros);
    }
}

fn figures(rounds: &Rounds) -> Vec<Figure> {
    let of = |(name, rounds): (&String, &Vec<f64>)| {
        let (unit, goal) = kind(name);
        Figure::of(name, unit, goal, rounds)
    };
    rounds.0.iter().map(of).collect()
}

/// A figure's unit and goal, by its name.
fn kind(name: &str) -> (&'static str, Option<Goal>) {
    match name {
        "light_msgpack_power_loss" => ("jobs/s", Some(Goal::AtLeast(10_300.0))),
        "light_json_power_loss" => ("jobs/s", Some(Goal::AtLeast(8_700.0))),
        "identity_low_load_ratio" => ("×", Some(Goal::AtMost(3.0))),
        name if name.ends_with("_bare_share") => ("×", Some(Goal::AtLeast(0.7))),
        name if name.ends_with("_durability_share") => ("×", Some(Goal::AtLeast(0.8))),
        name if name.ends_with("_loadtest_cpu_share") => ("×", Some(Goal::AtMost(1.0 / 3.0))),
        name if name.ends_with("_process_crash") || name.ends_with("_bare") => ("jobs/s", None),
        name if name.contains("_cpu_") => ("µs/job", None),
        _ => ("ms", None),
    }
}
