//! Command lines of the binary, with nothing of the environment that could change what it does.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// Variables that the servers' executables are found by.
const KEPT: [&str; 3] = ["PATH", "GRISTMILL_NATS_SERVER", "GRISTMILL_REDIS_SERVER"];

/// The repository's root, where models/ and .gristmill/ are.
pub(crate) fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap().to_owned()
}

/// A command line, to be run from the repository's root.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gristmill"));
    command.current_dir(repository()).args(args).env_clear();
    for name in KEPT {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// Runs one to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    command(args).stdin(Stdio::null()).output().unwrap()
}

/// What it has written to stdout.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What it has written to stderr.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
