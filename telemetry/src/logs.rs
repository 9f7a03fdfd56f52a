//! Where log events go: to stderr, as text or JSON. What is logged is decided where it happens; how much of it, by a filter that
//! may be changed while the process runs.

use std::io::IsTerminal;
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::Context;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry};

use crate::config::{LogFormat, TelemetryArgs};

/// The filter of this process, which is as global as what it filters.
static CONTROL: OnceLock<Control> = OnceLock::new();

struct Control {
    handle: reload::Handle<EnvFilter, Registry>,
    /// As it was written.
    filter: Mutex<String>,
}

/// Sends the log events of this process to stderr from now on.
///
/// # Errors
///
/// The filter does not parse, or logs were set up before.
pub fn init(args: &TelemetryArgs) -> anyhow::Result<()> {
    let filter =
        EnvFilter::try_new(&args.log_filter).with_context(|| format!("--log {:?} is no filter", args.log_filter))?;
    let (filter, handle) = reload::Layer::new(filter);
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
    .context("logs are set up already")?;
    let filter = Mutex::new(args.log_filter.clone());
    CONTROL.get_or_init(|| Control { handle, filter });
    Ok(())
}

/// The filter there is now, as it was written; `None` before [`init`].
#[must_use]
pub fn filter() -> Option<String> {
    let control = CONTROL.get()?;
    Some(control.filter.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

/// Logs by another filter from now on.
///
/// # Errors
///
/// It does not parse, or [`init`] was not called.
pub fn set_filter(filter: &str) -> anyhow::Result<()> {
    let control = CONTROL.get().context("logs are not set up")?;
    let parsed = EnvFilter::try_new(filter).with_context(|| format!("{filter:?} is no filter"))?;
    let mut known = control.filter.lock().unwrap_or_else(PoisonError::into_inner);
    control.handle.reload(parsed)?;
    filter.clone_into(&mut known);
    Ok(())
}
