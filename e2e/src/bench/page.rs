//! The figures as a page of the documentation and as JSON.

use std::{fmt::Write as _, path::Path, process::Command};

use anyhow::Context;

use crate::bench::{figure::Figure, plot};

/// The heading of the page's last part.
const HEADING: &str = "## All figures\n";

/// Writes the figures for machines.
///
/// # Errors
/// The file cannot be written.
pub fn write_json(figures: &[Figure], file: &Path) -> anyhow::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let text = serde_json::to_string_pretty(figures)? + "\n";
    std::fs::write(file, text).with_context(|| file.display().to_string())
}

/// The figures as a table.
#[must_use]
pub fn table(figures: &[Figure]) -> String {
    let mut table = "| figure | median | min | max | unit | goal | met |\n|---|---|---|---|---|---|---|\n".to_owned();
    for figure in figures {
        let goal = figure.goal.map(|goal| goal.to_string()).unwrap_or_default();
        let met = figure.met.map_or("", |met| if met { "yes" } else { "**no**" });
        let [value, min, max] = [figure.value, figure.min, figure.max].map(|value| figure.told(value));
        let (name, unit) = (&figure.name, figure.unit);
        // writing into a text cannot fail
        let _ = writeln!(table, "| {name} | {value} | {min} | {max} | {unit} | {goal} | {met} |");
    }
    table
}

/// Writes the page of the documentation, with the plot beside it: what stands in the page below its last heading is replaced.
///
/// # Errors
/// The page is not there, or cannot be written.
pub fn write_page(figures: &[Figure], rounds: usize, page: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(page).with_context(|| page.display().to_string())?;
    let (kept, _) = text.split_once(HEADING).context("the page has the heading")?;
    let (setting, table) = (setting(rounds), table(figures));
    std::fs::write(page, format!("{kept}{HEADING}\n{setting}.\n\n{table}"))?;
    std::fs::write(page.with_extension("svg"), plot::svg(figures))?;
    Ok(())
}

/// What the machine and the build are, in a sentence.
#[must_use]
pub fn setting(rounds: usize) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let asked = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let commit = asked.ok().filter(|told| told.status.success());
    let commit = commit.map_or_else(
        || "an unknown commit".to_owned(),
        |told| String::from_utf8_lossy(&told.stdout).trim().to_owned(),
    );
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cpu = cpu.map_or("an unknown processor", |(_, name)| name);
    format!("Medians of {rounds} rounds on {cores} cores of {cpu} with everything on them, at commit {commit}")
}
