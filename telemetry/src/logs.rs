//! Where log events go: to stderr, as text or JSON. What is logged is decided where it happens.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogFormat, TelemetryArgs};

/// Sends the log events of this process to stderr from now on.
///
/// # Errors
///
/// The filter does not parse, or logs were set up before.
pub fn init(args: &TelemetryArgs) -> anyhow::Result<()> {
    let filter =
        EnvFilter::try_new(&args.log_filter).with_context(|| format!("--log {:?} is no filter", args.log_filter))?;
    let registry = tracing_subscriber::registry().with(filter);
    match args.log_format {
        LogFormat::Text => {
            let colours = std::io::stderr().is_terminal();
            registry
                .with(fmt::layer().with_writer(std::io::stderr).with_ansi(colours))
                .try_init()
        }
        LogFormat::Json => registry
            .with(fmt::layer().json().with_writer(std::io::stderr))
            .try_init(),
    }
    .context("logs are set up already")
}
