//! The command line: which commands there are. What each takes and does is in a file of its own.

use clap::{Args, Command as Definition, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::{
    commands::{
        access::AccessCommand, dlq::DlqCommand, ingest::IngestCommand, job::JobCommand, keys::KeysCommand,
        loadtest::LoadtestCommand, models::ModelsCommand, readers::ReadersCommand, submit::SubmitCommand,
        tenants::TenantsCommand, webhooks::WebhooksCommand, worker::WorkerCommand,
    },
    up::UpCommand,
};

/// The widest help text; narrower where the terminal is.
const HELP_WIDTH: usize = 100;

/// A durable inference pipeline: jobs in over HTTP, through JetStream and ONNX Runtime, results out of Redis
#[derive(Debug, Parser)]
#[command(name = "gristmill", version, max_term_width = HELP_WIDTH, subcommand_required = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything on this machine: servers, one ingest and workers
    Up(Box<UpCommand>),
    /// Run an ingest: HTTP in, jobs on the stream
    Ingest(Box<IngestCommand>),
    /// Run a worker: jobs off the stream, outcomes into the store
    Worker(Box<WorkerCommand>),
    /// Submit a job and show its result
    Submit(Box<SubmitCommand>),
    /// Look at a job, follow it, cancel it
    Job(JobCommand),
    /// List, read, redrive and drop the dead letters of failed jobs
    Dlq(Box<DlqCommand>),
    /// List the models, or describe one
    Models(ModelsCommand),
    /// Make, list and revoke API keys (for operators: speaks to the store)
    Keys(KeysCommand),
    /// Manage Redis users that read one tenant's outcomes (for operators: speaks to the store)
    Readers(ReadersCommand),
    /// Set and list what holds for single tenants (for operators: speaks to the store)
    Tenants(TenantsCommand),
    /// Set where ends of jobs are told, and what signs it (for operators: speaks to the store)
    Webhooks(WebhooksCommand),
    /// Write users and passwords of every role for NATS and Redis (for operators)
    Access(AccessCommand),
    /// Put load on a server and count what became of every job
    Loadtest(Box<LoadtestCommand>),
}

impl Command {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Up(command) => command.run().await,
            Self::Ingest(command) => command.run().await,
            Self::Worker(command) => command.run().await,
            Self::Submit(command) => command.run().await,
            Self::Job(command) => command.run().await,
            Self::Dlq(command) => command.run().await,
            Self::Models(command) => command.run().await,
            Self::Keys(command) => command.run().await,
            Self::Readers(command) => command.run().await,
            Self::Tenants(command) => command.run().await,
            Self::Webhooks(command) => command.run().await,
            Self::Access(command) => command.run(),
            Self::Loadtest(command) => command.run().await,
        }
    }
}

/// Parses the command line of this process.
///
/// # Errors
/// Help or the version was asked for, or the line cannot be understood.
pub(crate) fn parse() -> Result<Cli, clap::Error> {
    let mut definition = without_values(Cli::command());
    let matches = definition.try_get_matches_from_mut(std::env::args_os())?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut definition))
}

/// Keeps the values of environment variables out of help texts: URLs and keys in them are secret.
fn without_values(definition: Definition) -> Definition {
    definition
        .mut_args(|arg| arg.hide_env_values(true))
        .mut_subcommands(without_values)
}

/// How results are written.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct OutputArgs {
    /// How the result is written
    #[arg(long, value_enum, default_value_t, env = "GRISTMILL_OUTPUT", value_name = "FORMAT")]
    pub(crate) output: crate::output::Format,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definition_is_sound() {
        without_values(Cli::command()).debug_assert();
    }
}
