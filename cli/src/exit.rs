//! What the process says last, and its exit code: 64 for a command line or settings that cannot be used, 70 for an engine
//! that stopped, 78 for servers that keep less than the durability level, 130 for a second Ctrl-C, 1 for everything else that failed.

use std::process::ExitCode;

use gristmill_broker::StartError;
use gristmill_workers::engine::EngineStopped;

use crate::problems::Problems;

/// EX_USAGE of sysexits.h.
const USAGE: u8 = 64;
/// EX_SOFTWARE of sysexits.h.
const ENGINE_STOPPED: u8 = 70;
/// EX_CONFIG of sysexits.h.
const SERVERS_UNFIT: u8 = 78;
/// What a shell reports for a process ended by Ctrl-C.
const INTERRUPTED: u8 = 130;

const FAILURE: u8 = 1;

/// Somebody asked twice.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("ended at once by a second signal, without draining")]
pub(crate) struct Interrupted;

/// The job ended otherwise than by success. What it was is on stdout already.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the job ended as {0}")]
pub(crate) struct NotSucceeded(pub(crate) gristmill_schemas::JobState);

/// A load test has not passed. Why is on stdout already.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the load test has not passed")]
pub(crate) struct NotPassed;

/// Help and the version go to stdout and are no error.
pub(crate) fn of_usage(error: &clap::Error) -> ExitCode {
    // without a stderr there is nobody to tell
    let _ = error.print();
    if error.use_stderr() {
        ExitCode::from(USAGE)
    } else {
        ExitCode::SUCCESS
    }
}

/// Says what failed: in the log where there is one, so that it has the log's format.
pub(crate) fn of_error(error: &anyhow::Error) -> ExitCode {
    if tracing::dispatcher::has_been_set() {
        tracing::error!("{error:#}");
    } else {
        eprintln!("error: {error:#}");
    }
    ExitCode::from(code(error))
}

fn code(error: &anyhow::Error) -> u8 {
    if error.is::<Problems>() {
        USAGE
    } else if error.is::<EngineStopped>() {
        ENGINE_STOPPED
    } else if matches!(error.downcast_ref(), Some(StartError::Level(_))) {
        SERVERS_UNFIT
    } else if error.is::<Interrupted>() {
        INTERRUPTED
    } else {
        FAILURE
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;
    use gristmill_broker::LevelError;
    use gristmill_schemas::Durability;

    use super::*;

    #[test]
    fn code_tells_what_kind_of_end_it_was_below_any_context() {
        let stopped = Err::<(), _>(EngineStopped::Stuck).context("an engine stopped");
        assert_eq!(code(&stopped.unwrap_err()), 70);
        let mut problems = Problems::default();
        problems.add(["too small".to_owned()]);
        assert_eq!(code(&problems.into_result().unwrap_err().into()), 64);
        let weak = StartError::from(LevelError::Weak(Durability::PowerLoss, Vec::new()));
        assert_eq!(code(&weak.into()), 78);
        assert_eq!(code(&Interrupted.into()), 130);
        assert_eq!(code(&anyhow::anyhow!("anything else")), 1);
    }
}
