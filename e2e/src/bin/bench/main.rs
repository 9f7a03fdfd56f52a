//! `make bench`: the pipeline's figures, and whether its goals were reached.

use std::{path::PathBuf, time::Duration};

use clap::Parser;
use gristmill_e2e::{
    bench::{page, suite::Suite},
    binary,
};
use gristmill_schemas::Span;

/// Measures the pipeline against what the machine allows, everything in turn, and tells the medians of all rounds
#[derive(Debug, Parser)]
struct Command {
    /// How often everything is measured
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// How long each load lasts
    #[arg(long, default_value = "5s", value_name = "TIME")]
    duration: Span,
    /// Where the figures are written as JSON
    #[arg(long, default_value = "target/bench/results.json", value_name = "FILE")]
    json: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let command = Command::parse();
    std::env::set_current_dir(binary::repository())?;
    let suite = Suite {
        rounds: command.rounds.into(),
        duration: Duration::from(command.duration),
    };
    let figures = suite.run().await?;
    page::write_json(&figures, &command.json)?;
    println!("{}\n\n{}", page::setting(suite.rounds), page::table(&figures));
    Ok(())
}
