//! A job for people: where it stands, and what came out, a row each.

use gristmill_schemas::api::{JobView, Output};

use super::{
    table::{Table, properties},
    tensor,
};

/// The text; `names` are what the caller calls the rows of its inputs.
pub(crate) fn of_job(job: &JobView, names: &[String]) -> String {
    let mut text = properties(standing(job));
    if let Some(outputs) = job.outputs.as_deref().filter(|outputs| !outputs.is_empty()) {
        text.push_str("\n\n");
        text.push_str(&results(outputs, names));
    }
    text
}

fn standing(job: &JobView) -> Vec<(&'static str, String)> {
    let mut pairs = vec![
        ("id", job.id.to_string()),
        ("status", job.status.to_string()),
        ("created", job.created_at.to_string()),
    ];
    match job.completed_at {
        Some(completed) => pairs.push(("completed", completed.to_string())),
        None => pairs.push(("deadline", job.deadline.to_string())),
    }
    if let Some(position) = job.position {
        pairs.push(("position", format!("about {position} envelopes before it")));
    }
    if let Some(start) = job.estimated_start {
        pairs.push(("begins", format!("about {start}")));
    }
    if let Some(failure) = &job.failure {
        pairs.push(("failure", format!("{}: {}", failure.code, failure.message)));
    }
    pairs
}

fn results(outputs: &[Output], names: &[String]) -> String {
    let columns: Vec<Vec<String>> = outputs.iter().map(tensor::rows).collect();
    let headings = outputs.iter().map(|output| output.0.name().to_owned());
    let mut table = Table::new(["input".to_owned()].into_iter().chain(headings));
    let rows = columns.iter().map(Vec::len).max().unwrap_or_default();
    for row in 0..rows {
        let name = names.get(row).cloned().unwrap_or_else(|| row.to_string());
        let cells = columns
            .iter()
            .map(|column| column.get(row).cloned().unwrap_or_default());
        table.row([name].into_iter().chain(cells));
    }
    table.text()
}
