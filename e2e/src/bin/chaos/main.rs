//! `make chaos`: every fault of the suite, its table, and whether every promise was kept.

use std::{path::PathBuf, process::ExitCode};

use anyhow::ensure;
use clap::Parser;
use gristmill_e2e::{
    binary,
    chaos::{fault, planted, row, seed::Seed, table},
};

/// Breaks a running pipeline in every way it knows, and tells what became of its jobs
#[derive(Debug, Parser)]
struct Command {
    /// Jobs a row, at least
    #[arg(long, default_value_t = 2000, value_name = "N")]
    jobs: u64,
    /// Only these rows, or planted defects
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    only: Vec<String>,
    /// What decides every choice; the same seed makes the same plan
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Where the rows are written as JSON
    #[arg(long, default_value = "target/chaos/results.json", value_name = "FILE")]
    json: PathBuf,
    /// Write the table as a page of the documentation, too
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// Run the pipeline with defects on purpose, and tell whether each was noticed
    #[arg(long)]
    planted: bool,
    /// Only list the rows
    #[arg(long)]
    list: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let command = Command::parse();
    let faults = fault::all();
    if command.list {
        for fault in &faults {
            println!("{}", fault.name());
        }
        return Ok(ExitCode::SUCCESS);
    }
    if command.planted {
        return planted(&command).await;
    }
    for name in &command.only {
        ensure!(
            faults.iter().any(|fault| fault.name() == name),
            "there is no row {name}"
        );
    }
    std::env::set_current_dir(binary::repository())?;
    let mut rows = Vec::new();
    let wanted = |name: &str| command.only.is_empty() || command.only.iter().any(|only| only == name);
    for fault in faults.iter().filter(|fault| wanted(fault.name())) {
        let row = row::run(fault.as_ref(), command.jobs, &Seed::new(command.seed)).await;
        println!("{}", table::line(&row));
        rows.push(row);
    }
    println!("\n{}", table::markdown(&rows));
    table::write_json(&rows, &command.json)?;
    if let Some(page) = &command.page {
        let line = format!("make chaos (--jobs {} --seed {})", command.jobs, command.seed);
        table::write_page(&rows, &line, page)?;
    }
    let passed = rows.iter().all(row::Row::passed);
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn planted(command: &Command) -> anyhow::Result<ExitCode> {
    let mut all = true;
    let wanted = |name: &str| command.only.is_empty() || command.only.iter().any(|only| only == name);
    for planted in planted::ALL.iter().filter(|planted| wanted(planted.name)) {
        let hunt = planted::hunt(planted, command.jobs, &Seed::new(command.seed)).await?;
        all &= hunt.caught();
        println!("{hunt}");
    }
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
