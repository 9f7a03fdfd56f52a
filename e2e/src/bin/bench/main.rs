//! `make bench`: the pipeline's figures, and whether its goals were reached.

use std::{path::PathBuf, time::Duration};

use clap::Parser;
use gristmill_e2e::{
    bench::{
        bare::Part,
        engine::EngineAlone,
        page,
        suite::{Part as What, Suite},
    },
    binary,
};
use gristmill_schemas::Span;

/// Measures the pipeline against what the machine allows, everything in turn, and tells the medians of all rounds
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Command {
    #[command(subcommand)]
    part: Option<Own>,
    /// Only these parts [default: all]
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        value_name = "PART",
        conflicts_with = "page"
    )]
    only: Vec<What>,
    /// How often everything is measured
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// How long each load lasts
    #[arg(long, default_value = "5s", value_name = "TIME")]
    duration: Span,
    /// Where the figures are written as JSON
    #[arg(long, default_value = "target/bench/results.json", value_name = "FILE")]
    json: PathBuf,
    /// The page of the documentation whose table and plot are to be of this run
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
}

/// What the benchmark starts itself anew for.
#[derive(Debug, clap::Subcommand)]
enum Own {
    #[command(hide = true)]
    Bare(Part),
    #[command(hide = true)]
    Engine(EngineAlone),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let command = Command::parse();
    match command.part {
        Some(Own::Bare(part)) => return part.run().await,
        Some(Own::Engine(engine)) => return engine.run().await,
        None => {}
    }
    std::env::set_current_dir(binary::repository())?;
    let suite = Suite {
        only: command.only,
        rounds: command.rounds.into(),
        duration: Duration::from(command.duration),
    };
    let figures = Box::pin(suite.run()).await?;
    page::write_json(&figures, &command.json)?;
    if let Some(page) = &command.page {
        page::write_page(&figures, suite.rounds, page)?;
    }
    println!("{}\n\n{}", page::setting(suite.rounds), page::table(&figures));
    Ok(())
}
