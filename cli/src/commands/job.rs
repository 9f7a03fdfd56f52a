//! `gristmill job`: one job, by its id.

use std::time::Duration;

use gristmill_schemas::JobId;
use serde_json::Value;

use super::submit::told;
use crate::{cli::OutputArgs, client::ClientArgs, output};

/// After its deadline and a grace somebody ends every job, so this is longer than any wait.
const UNTIL_ITS_END: Duration = Duration::from_secs(7 * 24 * 3600);

#[derive(Debug, clap::Args)]
pub(crate) struct JobCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show where a job stands, and its result if it has one
    Get(JobArgs),
    /// Wait for a job's end and show it; ends with 1 if the job did not succeed
    Watch(JobArgs),
    /// Cancel a job
    Cancel(JobArgs),
    /// Show everything that is known of how a job came to its result
    Lineage(JobArgs),
}

#[derive(Debug, clap::Args)]
struct JobArgs {
    /// The job's id
    id: JobId,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    client: ClientArgs,
}

impl JobCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::Get(args) => args.get().await,
            Action::Watch(args) => args.watch().await,
            Action::Cancel(args) => args.cancel().await,
            Action::Lineage(args) => args.lineage().await,
        }
    }
}

impl JobArgs {
    async fn get(self) -> anyhow::Result<()> {
        let job = self.client.client()?.job(&self.id.to_string(), Duration::ZERO).await?;
        self.output.output.print(&job, || output::of_job(&job, &[]))
    }

    async fn watch(self) -> anyhow::Result<()> {
        let client = self.client.client()?;
        let job = client.job(&self.id.to_string(), Duration::ZERO).await?;
        if !job.status.is_terminal() {
            eprintln!("{}; its deadline is {}", job.status, job.deadline);
        }
        let job = client.ended(job, UNTIL_ITS_END).await?;
        self.output.output.print(&job, || output::of_job(&job, &[]))?;
        told(&job)
    }

    async fn cancel(self) -> anyhow::Result<()> {
        let job = self.client.client()?.cancel(&self.id.to_string()).await?;
        self.output.output.print(&job, || output::of_job(&job, &[]))
    }

    async fn lineage(self) -> anyhow::Result<()> {
        let lineage = self.client.client()?.lineage(&self.id.to_string()).await?;
        let value = serde_json::to_value(&lineage)?;
        self.output.output.print(&lineage, || table(&value))
    }
}

/// Every field of the record, by its path: so none is forgotten when the record gains one.
fn table(lineage: &Value) -> String {
    let mut fields = Vec::new();
    flatten("", lineage, &mut fields);
    output::properties(fields.iter().map(|(path, value)| (path.as_str(), value.clone())))
}

fn flatten(path: &str, value: &Value, fields: &mut Vec<(String, String)>) {
    let below = |name: &str| {
        if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        }
    };
    match value {
        Value::Null => {}
        Value::Object(map) => map
            .iter()
            .for_each(|(name, value)| flatten(&below(name), value, fields)),
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.for_each(|(index, value)| flatten(&format!("{path}[{index}]"), value, fields));
        }
        Value::String(text) => fields.push((path.to_owned(), text.clone())),
        Value::Bool(_) | Value::Number(_) => fields.push((path.to_owned(), value.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_that_is_there_has_a_line() {
        let value = serde_json::json!({"a": {"b": 1, "none": null}, "list": [{"c": "x"}], "empty": {}});
        let mut fields = Vec::new();
        flatten("", &value, &mut fields);
        let lines: Vec<_> = fields.iter().map(|(path, value)| format!("{path}={value}")).collect();
        assert_eq!(lines, ["a.b=1", "list[0].c=x"]);
    }
}
