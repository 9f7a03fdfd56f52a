//! `make chaos`, and the faults of `make test`: the suite, its tables, and whether every promise was kept.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use gristmill_e2e::{
    binary,
    chaos::{seed::Seed, suite::Suite, table},
};

/// Breaks a running pipeline in every way it knows, tells what became of its jobs, and whether defects on purpose were noticed
#[derive(Debug, Parser)]
struct Command {
    /// Only the rows that every change has to survive, each with fewer jobs
    #[arg(long)]
    small: bool,
    /// One row of everything at once instead, with 50 times the jobs of another
    #[arg(long, conflicts_with_all = ["small", "only", "keep"])]
    soak: bool,
    /// Jobs a row, at least [default: 2000, small: 500]
    #[arg(long, value_name = "N")]
    jobs: Option<u64>,
    /// Only these rows and defects
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    only: Vec<String>,
    /// What decides every choice; the same seed makes the same plan
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Where the rows are written as JSON
    #[arg(long, default_value = "target/chaos/results.json", value_name = "FILE")]
    json: PathBuf,
    /// Write the tables as a page of the documentation, too
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// Keep the rows of the last run that are not run again
    #[arg(long)]
    keep: bool,
    /// Only list the rows and defects
    #[arg(long)]
    list: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let command = Command::parse();
    let mut suite = Suite::new(command.small, Seed::new(command.seed));
    suite.jobs = command.jobs.unwrap_or(suite.jobs);
    if command.list {
        suite.faults().iter().for_each(|fault| println!("{}", fault.name()));
        suite.defects().iter().for_each(|planted| println!("{}", planted.name));
        return Ok(ExitCode::SUCCESS);
    }
    std::env::set_current_dir(binary::repository())?;
    if command.soak {
        let row = suite.soak().await;
        let line = format!("make soak (--jobs {} --seed {})", suite.jobs, command.seed);
        if let Some(page) = &command.page {
            table::write_soak(&row, &line, page)?;
        }
        return Ok(if row.passed() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }
    let mut report = suite.run(&command.only).await?;
    if command.keep {
        table::keep(&mut report.rows, &command.json)?;
    }
    println!("\n{}", table::markdown(&report.rows));
    table::write_json(&report.rows, &command.json)?;
    if let Some(page) = &command.page {
        let size = if command.small { "chaos --small" } else { "make chaos" };
        let line = format!("{size} (--jobs {} --seed {})", suite.jobs, command.seed);
        table::write_page(&report, &line, page)?;
    }
    Ok(if report.passed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
