//! `gristmill worker`: a worker as a process. What it does is the workers crate's.

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use gristmill_broker::Store;
use gristmill_telemetry::{Readiness, Shutdown, admin, logs, metrics};
use gristmill_workers::WorkerArgs;
use tokio::net::TcpListener;

use crate::{announcement::Announcement, problems::Problems, process};

/// How long an operator's last request may take once the work is done.
const ADMIN_GRACE: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(crate) struct WorkerCommand {
    #[command(flatten)]
    args: WorkerArgs,
    /// Written once the process is ready: where its admin listener is
    #[arg(long, value_name = "FILE", hide = true)]
    announce: Option<PathBuf>,
}

impl WorkerCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let Self { mut args, announce } = self;
        check(&args)?;
        if announce.is_some() {
            process::ensure_admin(&mut args.telemetry);
        }
        let shutdown = process::shutdown_by_signal();
        let readiness = Readiness::new();
        // the admin listener outlives the drain, so that `/readyz` can tell of it
        let last = Shutdown::new();
        let recorded = metrics::install()?;
        if let Some(addr) = args.telemetry.admin_addr {
            let bound = TcpListener::bind(addr).await;
            let listener = bound.with_context(|| format!("listen on {addr}"))?;
            if let Some(path) = announce {
                let ours = Announcement::ours(None, listener.local_addr()?);
                tokio::spawn(ours.write_when_ready(path));
            }
            let operator = args.telemetry.operator(&shutdown);
            let serving = admin::serve(listener, readiness.clone(), recorded, operator, last.requested());
            last.spawn(serving);
        }
        tokio::spawn(drain_when_told(readiness.clone(), shutdown.clone()));
        let ended = gristmill_workers::run(args, readiness, shutdown).await;
        // nothing to add: what still runs then is the answer to an operator
        let _ = last.drain(ADMIN_GRACE).await;
        ended
    }
}

async fn drain_when_told(readiness: Readiness, shutdown: Shutdown) {
    shutdown.requested().await;
    readiness.drain();
}

/// Everything that can be known to be wrong without a server.
fn check(args: &WorkerArgs) -> Result<(), Problems> {
    let mut problems = Problems::default();
    problems.note(logs::init(&args.telemetry));
    problems.add(args.problems());
    problems.note(args.catalog.catalog());
    problems.note(Store::connect(&args.store));
    problems.into_result()
}
