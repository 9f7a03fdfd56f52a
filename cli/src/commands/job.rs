//! `gristmill job`: one job, by its id.

use std::time::Duration;

use gristmill_schemas::JobId;

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
        self.output.output.print(&lineage, || output::fields(&value))
    }
}
