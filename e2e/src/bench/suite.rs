//! The rounds: everything once in each of them, so that a slow minute of the machine falls on all alike.

use std::{collections::BTreeMap, time::Duration};

use gristmill_loadtest::{Encoding, Model};
use gristmill_servers::Durability;

use crate::bench::{
    alone,
    figure::{Figure, Goal},
    site::{Order, Shown, Site},
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

impl Suite {
    /// Runs it, and tells of each load as it ends.
    ///
    /// # Errors
    /// A part cannot be started, or a load has lost or spoilt a job.
    pub async fn run(self) -> anyhow::Result<Vec<Figure>> {
        let durable = Site::start(Durability::PowerLoss).await?;
        let quick = Site::start(Durability::ProcessCrash).await?;
        let mut rounds = Rounds::default();
        for round in 1..=self.rounds {
            eprintln!("round {round} of {}", self.rounds);
            self.round(&mut rounds, &durable, &quick).await?;
        }
        Ok(figures(&rounds))
    }

    async fn round(self, rounds: &mut Rounds, durable: &Site, quick: &Site) -> anyhow::Result<()> {
        let light = |encoding| Order {
            model: Model::Light,
            encoding,
            in_flight: MANY,
            duration: self.duration,
        };
        for encoding in [Encoding::Msgpack, Encoding::Json] {
            let word = encoding.as_str();
            let (with, without) = (durable.run(light(encoding)).await?, quick.run(light(encoding)).await?);
            let (fast, free) = (with.load.goodput_per_s, without.load.goodput_per_s);
            eprintln!("  light, {word}: {fast:.0} jobs/s at power-loss, {free:.0} at process-crash");
            rounds.note(format!("light_{word}_power_loss"), fast);
            rounds.note(format!("light_{word}_process_crash"), free);
            rounds.note(format!("light_{word}_durability_share"), fast / free);
            note_cpu(rounds, word, &with);
        }
        let one = Order {
            model: Model::Identity,
            encoding: Encoding::Msgpack,
            in_flight: 1,
            duration: self.duration,
        };
        let alone = alone::pair_ms(&durable.stack.servers).await?;
        let through = durable
            .run(one)
            .await?
            .load
            .latency_ms
            .map_or(f64::NAN, |times| times.p50);
        eprintln!("  identity, one at a time: p50 {through:.2} ms, its two durable writes alone {alone:.2} ms");
        rounds.note("durable_pair_p50", alone);
        rounds.note("identity_low_load_p50", through);
        rounds.note("identity_low_load_ratio", through / alone);
        Ok(())
    }
}

fn note_cpu(rounds: &mut Rounds, word: &str, shown: &Shown) {
    for (process, micros) in &shown.cpu_us {
        rounds.note(format!("light_{word}_cpu_{process}"), *micros);
    }
    rounds.note(
        format!("light_{word}_loadtest_cpu_share"),
        shown.cpu_us["loadtest"] / shown.cpu_us["ingest"],
    );
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
        name if name.ends_with("_durability_share") => ("×", Some(Goal::AtLeast(0.8))),
        name if name.ends_with("_loadtest_cpu_share") => ("×", Some(Goal::AtMost(1.0 / 3.0))),
        name if name.ends_with("_process_crash") => ("jobs/s", None),
        name if name.contains("_cpu_") => ("µs/job", None),
        _ => ("ms", None),
    }
}
