//! An engine that reports to nobody: ONNX Runtime listens to a variable alone, and a process cannot safely set its own, so a
//! worker that was started without it begins again with it.

use std::{env, os::unix::process::CommandExt, process::Command};

use anyhow::Context;
use gristmill_workers::engine::NO_REPORTS;

/// Returns if this process may load the engine, or never will; otherwise becomes one that may, under the same pid.
///
/// # Errors
/// The executable cannot be run again.
pub(crate) fn ensure(command: &crate::cli::Command) -> anyhow::Result<()> {
    let (variable, value) = NO_REPORTS;
    let loads = matches!(command, crate::cli::Command::Worker(_));
    if !loads || env::var_os(variable).is_some_and(|set| set == value) {
        return Ok(());
    }
    let executable = env::current_exe().context("this executable's path")?;
    let error = Command::new(executable)
        .args(env::args_os().skip(1))
        .env(variable, value)
        .exec();
    Err(error).context("begin again without the engine's reports")
}
