//! The rounds: everything once in each of them, so that a slow minute of the machine falls on all alike.

use std::{collections::BTreeMap, time::Duration};

use gristmill_loadtest::{Encoding, Model, Texts};
use gristmill_servers::Durability;

use crate::bench::{
    alone,
    backlog::{BUSY, Backlog, ENVELOPE},
    bulk, engine,
    figure::{Figure, Goal},
    site::{BareSite, Site},
    target::{CpuMicros, Order},
};

/// Jobs on their way where the most is wanted.
const MANY: u16 = 64;
/// More than ever are where there is room.
const PLENTY: u16 = 1024;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// A model that is hardly any work, and the bare path.
    Light,
    /// One job at a time.
    LowLoad,
    /// Models of some weight, and the engine alone.
    Heavy,
    /// A long upload.
    Bulk,
    /// Queues of very different lengths.
    Backlogs,
}

/// What is run.
#[derive(Debug, Clone)]
pub struct Suite {
    /// These alone; all, where there are none.
    pub only: Vec<Part>,
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
    /// With two workers that serve models of some weight.
    heavy: Site,
    /// With one.
    single: Site,
}

/// Models of some weight, by the figures' names.
const HEAVY: [(&str, Model, Texts); 3] = [
    ("magika", Model::Magika, Texts::Short),
    ("minilm", Model::Minilm, Texts::Short),
    ("minilm_mixed", Model::Minilm, Texts::Mixed),
];
/// The fixed size that `minilm` on mixed lengths is measured by.
const FIXED: usize = 32;
const SESSIONS: usize = 2;
/// Lines of an upload.
const BULK: u64 = 1_000_000;

impl Suite {
    /// Runs it, and tells of each load as it ends.
    ///
    /// # Errors
    /// A part cannot be started, or a load has lost or spoilt a job.
    pub async fn run(&self) -> anyhow::Result<Vec<Figure>> {
        let mut rounds = Rounds::default();
        if [Part::Light, Part::LowLoad, Part::Heavy]
            .iter()
            .any(|part| self.has(*part))
        {
            Box::pin(self.in_rounds(&mut rounds)).await?;
        }
        if self.has(Part::Bulk) {
            self.bulk(&mut rounds).await?;
        }
        if self.has(Part::Backlogs) {
            self.backlogs(&mut rounds).await?;
        }
        Ok(figures(&rounds))
    }

    fn has(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    async fn in_rounds(&self, rounds: &mut Rounds) -> anyhow::Result<()> {
        let flags = ["--model", "light", "--model", "identity"];
        let mut heavy = Site::start(Durability::PowerLoss, &["--model", "magika", "--model", "minilm"]).await?;
        heavy.another_worker().await?;
        let sites = Sites {
            heavy,
            single: Site::start(Durability::PowerLoss, &["--model", "magika"]).await?,
            durable: Site::start(Durability::PowerLoss, &flags).await?,
            quick: Site::start(Durability::ProcessCrash, &flags).await?,
            bare: BareSite::start(Durability::PowerLoss).await?,
        };
        for round in 1..=self.rounds {
            eprintln!("round {round} of {}", self.rounds);
            if self.has(Part::Light) {
                self.light(rounds, &sites).await?;
            }
            if self.has(Part::LowLoad) {
                self.one_at_a_time(rounds, &sites).await?;
            }
            if self.has(Part::Heavy) {
                self.heavy(rounds, &sites).await?;
            }
        }
        Ok(())
    }

    /// Once: what a long upload takes shows in no short one.
    async fn bulk(&self, rounds: &mut Rounds) -> anyhow::Result<()> {
        let site = Site::start(Durability::PowerLoss, &["--model", "identity"]).await?;
        let shown = bulk::upload(&site, BULK).await?;
        let growth = shown.growth as f64 / f64::from(1 << 20);
        eprintln!(
            "  {BULK} lines in bulk: {:.0} a second are kept; the ingest grows by {growth:.0} MiB",
            shown.rate
        );
        rounds.note("bulk_1e6", shown.rate);
        note_cpu(rounds, "bulk_1e6", &shown.cpu_us);
        rounds.note("bulk_1e6_growth_ingest", growth);
        Ok(())
    }

    /// Once each, the smallest first: what they show is measured in windows, as many as there are rounds.
    async fn backlogs(&self, rounds: &mut Rounds) -> anyhow::Result<()> {
        let (mut empty, mut before): (f64, Option<(BTreeMap<_, _>, u64)>) = (f64::NAN, None);
        for (name, envelopes) in [("0", BUSY), ("1e5", 100_000 / ENVELOPE), ("1e6", 1_000_000 / ENVELOPE)] {
            // each on servers of its own: what a store holds from before slows it, too
            let site = Site::start(Durability::PowerLoss, &["--model", "identity"]).await?;
            let mut backlog = Backlog::on(&site).await?;
            let shown = backlog.hold(&site, envelopes, (self.rounds, self.duration)).await?;
            let rate = middle(&shown.rates);
            eprintln!("  a backlog of {name}: {rate:.0} identity jobs/s are worked off");
            for window in &shown.rates {
                rounds.note(format!("backlog_{name}"), *window);
            }
            let Some((first, queued)) = &before else {
                (empty, before) = (rate, Some((shown.memory, shown.queued)));
                continue;
            };
            rounds.note(format!("backlog_{name}_share"), rate / empty);
            let growth = |name: &str| shown.memory[name].saturating_sub(first[name]) as f64;
            for process in ["ingest", "worker"] {
                rounds.note(
                    format!("backlog_{name}_growth_{process}"),
                    growth(process) / f64::from(1 << 20),
                );
            }
            let more = (shown.queued - queued) as f64;
            // what the store holds are outcomes, of jobs that wait no more
            let memory: f64 = ["ingest", "worker", "nats"].map(growth).iter().sum();
            rounds.note(format!("backlog_{name}_memory_a_job"), memory / more);
            rounds.note(
                format!("backlog_{name}_disk_a_job"),
                shown.stream_bytes as f64 / shown.queued as f64,
            );
        }
        Ok(())
    }

    async fn light(&self, rounds: &mut Rounds, sites: &Sites) -> anyhow::Result<()> {
        for encoding in [Encoding::Msgpack, Encoding::Json] {
            let order = Order {
                model: Model::Light,
                texts: Texts::Short,
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
            note_cpu(rounds, &format!("light_{word}"), &with.cpu_us);
            note_cpu(rounds, &format!("light_{word}_bare"), &bare.cpu_us);
            let share = with.cpu_us["loadtest"] / with.cpu_us["ingest"];
            rounds.note(format!("light_{word}_loadtest_cpu_share"), share);
            if encoding == Encoding::Msgpack {
                let over_nats = sites.durable.target_over_nats()?.run(order).await?;
                eprintln!("  the same over NATS: {:.0} jobs/s", over_nats.load.goodput_per_s);
                rounds.note("light_msgpack_over_nats", over_nats.load.goodput_per_s);
                self.below_capacity(rounds, sites, (order, with_rate)).await?;
            }
        }
        Ok(())
    }

    /// Latency where there is room: in an open loop at a tenth and at half of the rate of the closed one.
    async fn below_capacity(
        &self,
        rounds: &mut Rounds,
        sites: &Sites,
        (order, capacity): (Order, f64),
    ) -> anyhow::Result<()> {
        for percent in [10_u8, 50] {
            let rate = Some(capacity * f64::from(percent) / 100.0);
            let order = Order {
                rate,
                in_flight: PLENTY,
                ..order
            };
            let shown = sites.durable.target()?.run(order).await?;
            eprintln!(
                "  at {percent} % of that: p50 {:.2} ms, p99 {:.2} ms",
                shown.p50(),
                shown.p99()
            );
            rounds.note(format!("light_msgpack_p50_at_{percent}_percent"), shown.p50());
            rounds.note(format!("light_msgpack_p99_at_{percent}_percent"), shown.p99());
        }
        Ok(())
    }

    async fn heavy(&self, rounds: &mut Rounds, sites: &Sites) -> anyhow::Result<()> {
        for (name, model, texts) in HEAVY {
            let order = Order {
                model,
                texts,
                encoding: Encoding::Msgpack,
                in_flight: MANY,
                rate: None,
                // a backlog of slow jobs has to be there for a moment before anybody reckons with it
                duration: self.duration * 2,
            };
            let alone = engine::rates(model, texts, SESSIONS, self.duration / 2)?;
            let through = sites.heavy.target()?.run(order).await?;
            let (best, rate) = (engine::best(&alone), through.load.goodput_per_s);
            let sizes: Vec<String> = alone
                .iter()
                .map(|(size, rate)| format!("{rate:.0} by {size}"))
                .collect();
            eprintln!("  {name}: {rate:.1} jobs/s; the engine alone {}", sizes.join(", "));
            for (size, rate) in &alone {
                rounds.note(format!("{name}_engine_by_{size}"), *rate);
            }
            rounds.note(name, rate);
            rounds.note(format!("{name}_engine_share"), rate / best);
            rounds.note(format!("{name}_p50"), through.p50());
            if model == Model::Magika {
                let one = sites.single.target()?.run(order).await?.load.goodput_per_s;
                eprintln!("  {name} with one worker: {one:.1} jobs/s");
                rounds.note(format!("{name}_second_worker"), rate / one);
            }
            if texts == Texts::Mixed {
                rounds.note(format!("{name}_over_fixed_32"), rate / alone[&FIXED]);
            }
        }
        Ok(())
    }

    async fn one_at_a_time(&self, rounds: &mut Rounds, sites: &Sites) -> anyhow::Result<()> {
        let order = Order {
            model: Model::Identity,
            texts: Texts::Short,
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

fn middle(values: &[f64]) -> f64 {
    Figure::of("", "", None, values).value
}

fn note_cpu(rounds: &mut Rounds, name: &str, cpu_us: &CpuMicros) {
    for (process, micros) in cpu_us {
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
        "bulk_1e6" => ("jobs/s", Some(Goal::AtLeast(20_000.0))),
        "backlog_1e6_share" => ("×", Some(Goal::AtLeast(0.95))),
        name if name.contains("_growth_") => ("MiB", Some(Goal::AtMost(64.0))),
        name if name.ends_with("_a_job") => ("B/job", None),
        name if name.starts_with("backlog_") && name.ends_with("_share") => ("×", None),
        name if name.starts_with("backlog_") => ("jobs/s", None),
        "minilm_mixed_over_fixed_32" => ("×", Some(Goal::AtLeast(1.8))),
        "minilm_mixed_engine_share" => ("×", Some(Goal::AtLeast(1.0))),
        name if name.ends_with("_engine_share") => ("×", Some(Goal::AtLeast(0.95))),
        name if name.contains("_engine_by_") || HEAVY.iter().any(|(heavy, ..)| *heavy == name) => ("jobs/s", None),
        "identity_low_load_ratio" => ("×", Some(Goal::AtMost(3.0))),
        name if name.ends_with("_second_worker") => ("×", None),
        name if name.ends_with("_bare_share") => ("×", Some(Goal::AtLeast(0.7))),
        name if name.ends_with("_durability_share") => ("×", Some(Goal::AtLeast(0.8))),
        name if name.ends_with("_loadtest_cpu_share") => ("×", Some(Goal::AtMost(1.0 / 3.0))),
        name if ["_process_crash", "_bare", "_over_nats"]
            .iter()
            .any(|end| name.ends_with(end)) =>
        {
            ("jobs/s", None)
        }
        name if name.contains("_cpu_") => ("µs/job", None),
        _ => ("ms", None),
    }
}
