//! `gristmill ingest`: an ingest as a process. What it does is the ingest crate's.

use std::path::PathBuf;

use gristmill_broker::Store;
use gristmill_ingest::{IngestArgs, Listeners, job_id_keys};
use gristmill_telemetry::logs;

use crate::{announcement::Announcement, problems::Problems, process};

#[derive(Debug, clap::Args)]
pub(crate) struct IngestCommand {
    #[command(flatten)]
    args: IngestArgs,
    /// Written once the process is ready: where it listens
    #[arg(long, value_name = "FILE", hide = true)]
    announce: Option<PathBuf>,
}

impl IngestCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let Self { mut args, announce } = self;
        check(&args)?;
        if announce.is_some() {
            process::ensure_admin(&mut args.telemetry);
        }
        let shutdown = process::shutdown_by_signal();
        let listeners = Listeners::bind(&args).await?;
        if let (Some(path), Some(admin)) = (announce, &listeners.admin) {
            let ours = Announcement::ours(Some(listeners.http.local_addr()?), admin.local_addr()?);
            tokio::spawn(ours.write_when_ready(path));
        }
        gristmill_ingest::run(args, listeners, shutdown).await
    }
}

/// Everything that can be known to be wrong without a server.
fn check(args: &IngestArgs) -> Result<(), Problems> {
    let mut problems = Problems::default();
    problems.note(logs::init(&args.telemetry));
    problems.add(args.check().err().map(|error| error.0).unwrap_or_default());
    problems.note(args.catalog.catalog());
    problems.note(job_id_keys::read(&args.job_id_keys));
    problems.note(Store::connect(&args.store));
    problems.into_result()
}
