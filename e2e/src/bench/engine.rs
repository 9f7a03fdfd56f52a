//! The engine alone: the same sessions, models and inputs as in a worker, in a process of their own with nothing else to do, in
//! batches of a fixed size in arrival order. What a pipeline cannot be faster than.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use clap::Parser;
use gristmill_loadtest::{Model, Texts, WorkArgs};
use gristmill_models::CatalogArgs;
use gristmill_schemas::{Span, Tensor};
use gristmill_workers::engine::{BatchItem, Engine, EngineArgs, NO_REPORTS, Runtime};

/// Sizes of a batch that are tried.
pub const SIZES: [usize; 6] = [1, 2, 4, 8, 16, 32];
/// Inputs that are run over and over: each of the load tester's texts several times, in its order.
const INPUTS: u64 = 1024;

/// The engine's process, as the benchmark starts itself anew.
#[derive(Debug, clap::Args)]
pub struct EngineAlone {
    #[arg(value_enum)]
    model: Model,
    /// How long the texts are
    #[arg(long, value_enum, default_value_t)]
    texts: Texts,
    /// Sessions, each with one thread
    #[arg(long)]
    sessions: usize,
    /// How long each size is tried
    #[arg(long)]
    duration: Span,
}

/// Rows a second by the size of a batch.
pub type Rates = BTreeMap<usize, f64>;

/// The best of them.
#[must_use]
pub fn best(rates: &Rates) -> f64 {
    rates.values().copied().fold(f64::NAN, f64::max)
}

/// What the work of the load tester is, by its own defaults but for these.
#[derive(Parser)]
struct Work {
    #[command(flatten)]
    work: WorkArgs,
}

/// Runs it in a process of its own.
///
/// # Errors
/// The process cannot be started, or fails.
pub fn rates(model: Model, texts: Texts, sessions: usize, duration: Duration) -> anyhow::Result<Rates> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["engine", model.as_str(), "--texts", texts.as_str()]);
    command.args(["--sessions", &sessions.to_string()]);
    command.args(["--duration", &format!("{}ms", duration.as_millis())]);
    command.env(NO_REPORTS.0, NO_REPORTS.1).stderr(Stdio::inherit());
    let told = command.output()?;
    ensure!(told.status.success(), "the engine alone failed: {}", told.status);
    serde_json::from_slice(&told.stdout).context("what the engine's process told")
}

impl EngineAlone {
    /// Runs every size and prints the rates as JSON.
    ///
    /// # Errors
    /// The model cannot be loaded or run.
    pub async fn run(self) -> anyhow::Result<()> {
        let engine = Arc::new(self.load()?);
        let words = ["work", "--model", self.model.as_str(), "--texts", self.texts.as_str()];
        let inputs = Arc::new(gristmill_loadtest::inputs(&Work::parse_from(words).work, 0..INPUTS));
        let mut rates = Rates::new();
        for size in SIZES {
            rates.insert(size, self.rate(&engine, &inputs, size).await?);
        }
        println!("{}", serde_json::to_string(&rates)?);
        Ok(())
    }

    fn load(&self) -> anyhow::Result<Engine> {
        #[derive(Parser)]
        struct Defaults {
            #[command(flatten)]
            engine: EngineArgs,
            #[command(flatten)]
            catalog: CatalogArgs,
        }
        let sessions = self.sessions.to_string();
        let Defaults { engine, catalog } = Defaults::parse_from(["engine", "--sessions", &sessions]);
        let name = self.model.as_str().parse()?;
        let version = catalog.catalog()?.resolve(&name, None)?;
        Ok(Engine::load(
            &Runtime::load(&engine)?,
            &version,
            &catalog.store(),
            &engine,
        )?)
    }

    /// Rows a second in batches of this size.
    async fn rate(&self, engine: &Arc<Engine>, inputs: &Arc<Vec<Vec<Tensor>>>, size: usize) -> anyhow::Result<f64> {
        let (next, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (began, duration) = (Instant::now(), Duration::from(self.duration));
        let mut executors = tokio::task::JoinSet::new();
        for _ in 0..self.sessions {
            let (engine, inputs, next, done) = (engine.clone(), inputs.clone(), next.clone(), done.clone());
            executors.spawn(async move {
                while began.elapsed() < duration {
                    let from = next.fetch_add(size, Ordering::Relaxed);
                    let item = |place: usize| BatchItem {
                        inputs: inputs[place % inputs.len()].clone(),
                    };
                    let report = engine.run((from..from + size).map(item).collect()).await?;
                    for result in report.results {
                        result.map_err(|failure| anyhow::anyhow!("{}: {}", failure.code, failure.message))?;
                    }
                    done.fetch_add(size, Ordering::Relaxed);
                }
                anyhow::Ok(())
            });
        }
        while let Some(ended) = executors.join_next().await {
            ended??;
        }
        Ok(done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64())
    }
}
