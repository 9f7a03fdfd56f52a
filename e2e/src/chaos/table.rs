//! The table of rows: for people, for machines, and for the documentation.

use std::{fmt::Write as _, path::Path, process::Command};

use anyhow::Context;

use crate::chaos::{planted::Hunt, row::Row, suite::Report};

const HEADINGS: [&str; 10] = [
    "fault",
    "injections",
    "proof",
    "accepted",
    "lost",
    "conflicting",
    "ghosts",
    "cross-tenant",
    "max executions",
    "recovery s",
];

fn cells(row: &Row) -> [String; 10] {
    [
        row.fault.clone(),
        row.injections.to_string(),
        row.proof.clone(),
        row.accepted.to_string(),
        row.lost.to_string(),
        row.conflicting.to_string(),
        row.ghosts.to_string(),
        row.cross_tenant.to_string(),
        row.max_executions.to_string(),
        format!("{:.1}", row.recovery_s),
    ]
}

/// The table in Markdown, which people read as it is.
#[must_use]
pub fn markdown(rows: &[Row]) -> String {
    let mut text = format!("| {} |\n|{}\n", HEADINGS.join(" | "), "---|".repeat(HEADINGS.len()));
    for row in rows {
        let _ = writeln!(text, "| {} |", cells(row).join(" | ").replace('\n', " "));
    }
    text
}

/// One line about a row, and one about each thing that is wrong with it.
#[must_use]
pub fn line(row: &Row) -> String {
    let verdict = if row.passed() { "ok    " } else { "FAILED" };
    let mut text = format!(
        "{verdict} {:<26} accepted {:>5}  lost {} conflicting {} ghosts {} cross-tenant {}  executions ≤ {}  recovery {:.1} s  [{}]",
        row.fault,
        row.accepted,
        row.lost,
        row.conflicting,
        row.ghosts,
        row.cross_tenant,
        row.max_executions,
        row.recovery_s,
        row.proof
    );
    const SHOWN: usize = 12;
    for failure in row.failures.iter().take(SHOWN) {
        let _ = write!(text, "\n         {failure}");
    }
    if row.failures.len() > SHOWN {
        let _ = write!(text, "\n         … and {} more", row.failures.len() - SHOWN);
    }
    text
}

/// Writes the rows as JSON.
///
/// # Errors
/// The file cannot be written.
pub fn write_json(rows: &[Row], path: &Path) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut json = serde_json::to_vec_pretty(rows)?;
    json.push(b'\n');
    std::fs::write(path, json).with_context(|| format!("write {}", path.display()))
}

/// Writes the page of the documentation: the tables, and how to have them again.
///
/// # Errors
/// The file cannot be written.
pub fn write_page(report: &Report, command: &str, path: &Path) -> anyhow::Result<()> {
    let Report { rows, hunts } = report;
    let accepted: u64 = rows.iter().map(|row| row.accepted).sum();
    let rows_failed = rows.iter().filter(|row| !row.passed()).map(|row| row.fault.as_str());
    let missed = hunts.iter().filter(|hunt| !hunt.caught()).map(|hunt| hunt.planted.name);
    let mut page = format!(
        "# Reliability\n\n\
         What became of jobs while things broke: real processes (nats-server, redis-server, two ingests, workers, clients\n\
         of four tenants), one fault a row, every job read back by every way and held against every promise\n\
         (`e2e/src/chaos/checker`). A row without proof that its fault happened has failed.\n\n\
         Written by `{command}` at commit {}. {} rows, {accepted} accepted jobs. {} {}\n\n{}",
        commit(),
        rows.len(),
        verdict(rows_failed, "Every row kept every promise.", "Rows that failed"),
        verdict(missed, "Every defect was noticed.", "Defects that nobody noticed"),
        markdown(rows)
    );
    if !hunts.is_empty() {
        let _ = write!(
            page,
            "\n## Defects on purpose\n\n\
             The suite is tested, too: each of these was put into the pipeline, and the row has to see the promise broken.\n\n{}",
            markdown_of_hunts(hunts)
        );
    }
    std::fs::write(path, page).with_context(|| format!("write {}", path.display()))
}

fn verdict<'n>(names: impl Iterator<Item = &'n str>, none: &str, some: &str) -> String {
    let names: Vec<_> = names.collect();
    if names.is_empty() {
        none.to_owned()
    } else {
        format!("**{some}: {}.**", names.join(", "))
    }
}

/// The table of defects in Markdown.
fn markdown_of_hunts(hunts: &[Hunt]) -> String {
    let mut text = "| defect | row | promise | seen broken |\n|---|---|---|---|\n".to_owned();
    for Hunt { planted, broken, .. } in hunts {
        let times = broken.get(&planted.promise).copied().unwrap_or_default();
        let _ = writeln!(
            text,
            "| {} | {} | {} | {times} times |",
            planted.name, planted.row, planted.promise
        );
    }
    text
}

fn commit() -> String {
    let asked = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let told = asked.ok().filter(|told| told.status.success());
    told.map_or_else(
        || "unknown".to_owned(),
        |told| String::from_utf8_lossy(&told.stdout).trim().to_owned(),
    )
}
