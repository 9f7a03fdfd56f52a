//! Load on a stack by the product's own load tester, whose count of what became of every job is the verdict.

use anyhow::ensure;
use clap::Parser;
use gristmill_loadtest::{LoadtestArgs, Model};
use tokio::task::{JoinHandle, JoinSet};

use crate::Stack;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    load: LoadtestArgs,
}

/// Runs closed loops of (model, jobs, in flight) side by side.
///
/// # Errors
/// A job was lost, doubled, answered wrongly or failed.
pub async fn run_all(stack: &Stack, loads: &[(Model, u64, u16)]) -> anyhow::Result<()> {
    spawn_all(stack, loads).await?.await?
}

/// [`run_all`] in the background.
///
/// # Errors
/// The stack takes no new key.
pub async fn spawn_all(stack: &Stack, loads: &[(Model, u64, u16)]) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
    Ok(spawn_at((&stack.url()?, &stack.api_key("load").await?), loads))
}

/// The same at this URL with this key.
pub fn spawn_at((url, key): (&str, &str), loads: &[(Model, u64, u16)]) -> JoinHandle<anyhow::Result<()>> {
    let mut running = JoinSet::new();
    for (model, jobs, in_flight) in loads {
        let (model, jobs, in_flight) = (model.as_str(), jobs.to_string(), in_flight.to_string());
        let words = [
            "load",
            "--url",
            url,
            "--api-key",
            key,
            "--model",
            model,
            "--jobs",
            &jobs,
        ];
        let args = Command::parse_from(
            words
                .into_iter()
                .chain(["--in-flight", &in_flight, "--timeout", "100s"]),
        );
        running.spawn(gristmill_loadtest::run_until(args.load, std::future::pending()));
    }
    tokio::spawn(async move {
        while let Some(report) = running.join_next().await {
            let report = report??;
            ensure!(report.passed, "{:?}: {:?}", report.complaints, report.loads);
        }
        Ok(())
    })
}
