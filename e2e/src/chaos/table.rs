//! The table of rows: for people, for machines, and for the documentation.

use std::{collections::BTreeSet, fmt::Write as _, path::Path};

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

/// Reads the rows of an earlier run that are not among those of this one, which they are added to.
///
/// # Errors
/// The file is not there, or holds something else.
pub fn keep(rows: &mut Vec<Row>, path: &Path) -> anyhow::Result<()> {
    let json = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let mut kept: Vec<Row> = serde_json::from_slice(&json).with_context(|| format!("read {}", path.display()))?;
    for row in &mut kept {
        if let Some(place) = rows.iter().position(|new| new.fault == row.fault) {
            *row = rows.remove(place);
        }
    }
    kept.append(rows);
    *rows = kept;
    Ok(())
}

/// Writes the page of the documentation: the tables, and how to have them again.
///
/// # Errors
/// The file cannot be written.
pub fn write_page(report: &Report, command: &str, path: &Path) -> anyhow::Result<()> {
    let Report { rows, hunts } = report;
    let commits: BTreeSet<&str> = rows.iter().map(|row| row.commit.as_str()).collect();
    let accepted: u64 = rows.iter().map(|row| row.accepted).sum();
    let rows_failed = rows.iter().filter(|row| !row.passed()).map(|row| row.fault.as_str());
    let missed = hunts.iter().filter(|hunt| !hunt.caught()).map(|hunt| hunt.planted.name);
    // a soak is run on its own, and stays what it was
    let before = std::fs::read_to_string(path).unwrap_or_default();
    let mut page = format!(
        "# Reliability\n\n\
         What became of jobs while things broke: real processes (nats-server, redis-server, two ingests, workers, clients\n\
         of four tenants), one fault a row, every job read back by every way and held against every promise\n\
         (`e2e/src/chaos/checker`). A row without proof that its fault happened has failed.\n\n\
         Written by `{command}` at commit {}. {} rows, {accepted} accepted jobs. {} {}\n\n{}",
        Vec::from_iter(commits).join(", "),
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
    page.push_str(soak_of(&before));
    std::fs::write(path, page).with_context(|| format!("write {}", path.display()))
}

/// Where the part of the page begins that a soak writes.
const SOAK: &str = "\n## Soak\n";

/// That part of a page, if it has one.
fn soak_of(page: &str) -> &str {
    page.find(SOAK).map_or("", |begin| &page[begin..])
}

/// Writes what a soak came to at the end of the page, in the place of what was there.
///
/// # Errors
/// The file cannot be read or written.
pub fn write_soak(row: &Row, command: &str, path: &Path) -> anyhow::Result<()> {
    let page = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let rest = page.strip_suffix(soak_of(&page)).unwrap_or(&page);
    let verdict = if row.passed() {
        "Every promise was kept."
    } else {
        "**Promises were broken.**"
    };
    let soak = format!(
        "{SOAK}\n\
         Every fault that can strike again and again (kills, freezes, power cuts, restarts, weather on the network, and a receiver\n\
         of webhooks that fails), one after the other in an order that the seed decides, under single submissions, bulk uploads\n\
         with a key a line, followers of single jobs and of whole tenants, and a webhook for each job. Besides the promises\n\
         above: each job's end was told to its webhook, signed, and never in two ways.\n\n\
         Written by `{command}` at commit {}. {verdict}\n\n{}",
        row.commit,
        markdown(std::slice::from_ref(row))
    );
    std::fs::write(path, format!("{rest}{soak}")).with_context(|| format!("write {}", path.display()))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn row(fault: &str, accepted: u64) -> Row {
        let row = serde_json::json!({"fault": fault, "injections": 1, "proof": "", "accepted": accepted, "lost": 0, "conflicting": 0,
            "ghosts": 0, "cross_tenant": 0, "max_executions": 1, "recovery_s": 0.0, "failures": ["late"], "commit": "abc"});
        serde_json::from_value(row).unwrap()
    }

    #[test]
    fn soak_takes_the_place_of_the_last_one_and_outlives_the_other_tables() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("page.md");
        let report = |rows| Report {
            rows,
            hunts: Vec::new(),
        };
        let read = || std::fs::read_to_string(&path).unwrap();
        write_page(&report(vec![row("first", 1)]), "make chaos", &path).unwrap();
        let without = read();
        write_soak(&row("soak", 100), "make soak", &path).unwrap();
        write_soak(&row("soak", 200), "make soak", &path).unwrap();
        assert!(read().starts_with(&without) && read().matches(SOAK).count() == 1 && !read().contains("| 100 |"));
        write_page(&report(vec![row("first", 3)]), "make chaos", &path).unwrap();
        assert!(read().contains("| 200 |") && read().contains("| 3 |"));
    }

    #[test]
    fn row_that_is_run_again_takes_its_old_place_and_the_others_stay_as_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("results.json");
        write_json(&[row("first", 1), row("second", 2)], &path).unwrap();
        let mut rows = vec![row("third", 30), row("first", 10)];
        keep(&mut rows, &path).unwrap();
        let told: Vec<_> = rows.iter().map(|row| (row.fault.as_str(), row.accepted)).collect();
        assert_eq!(told, [("first", 10), ("second", 2), ("third", 30)]);
        assert!(rows.iter().all(|row| !row.passed() && row.commit == "abc"));
    }
}
