//! The `gristmill` binary: parses, runs one command, and turns its end into an exit code.

mod announcement;
mod atomic_file;
mod cli;
mod client;
mod commands;
mod exit;
mod output;
mod problems;
mod process;
mod quiet_engine;
mod readyz;
mod refused;
mod up;

use std::process::ExitCode;

fn main() -> ExitCode {
    gristmill_telemetry::fail_points::arm();
    let cli = match cli::parse() {
        Ok(cli) => cli,
        Err(error) => return exit::of_usage(&error),
    };
    if let Err(error) = quiet_engine::ensure(&cli.command) {
        return exit::of_error(&error);
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return exit::of_error(&error.into()),
    };
    let ended = runtime.block_on(cli.command.run());
    // an engine that is stuck must not hold up the end of its process
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::of_error(&error),
    }
}
