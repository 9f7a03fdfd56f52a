//! The figures as a page of the documentation and as JSON.

use std::{fmt::Write as _, path::Path, process::Command};

use anyhow::Context;

use crate::bench::figure::Figure;

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
        let Figure {
            name,
            value,
            min,
            max,
            unit,
            ..
        } = figure;
        // writing into a text cannot fail
        let _ = writeln!(
            table,
            "| {name} | {value:.2} | {min:.2} | {max:.2} | {unit} | {goal} | {met} |"
        );
    }
    table
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
    format!("{cores} cores with everything on them, {rounds} rounds, at commit {commit}")
}
