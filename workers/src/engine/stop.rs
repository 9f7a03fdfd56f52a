//! The end of an engine that cannot go on: said once, heard by every run that waits.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

/// Why an engine cannot go on. The process should exit: its jobs are delivered again, and run alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EngineStopped {
    /// A session's thread ended by a panic.
    #[error("a session's thread died")]
    Died,
    /// A run that was terminated for lasting longer than `max_runtime` did not end.
    #[error("a run did not end after it was terminated")]
    Stuck,
    /// The process is about to end.
    #[error("the engine was abandoned")]
    Abandoned,
}

/// Shared by an engine and its threads.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop {
    token: CancellationToken,
    reason: Arc<OnceLock<EngineStopped>>,
}

impl Stop {
    /// Says that the engine cannot go on; the first reason stays.
    pub(super) fn stop(&self, reason: EngineStopped) {
        self.reason.get_or_init(|| reason);
        self.token.cancel();
    }

    /// Waits for the end.
    pub(super) async fn stopped(&self) -> EngineStopped {
        self.token.cancelled().await;
        self.reason()
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.token.is_cancelled()
    }

    pub(super) fn reason(&self) -> EngineStopped {
        self.reason.get().copied().unwrap_or(EngineStopped::Died)
    }
}

/// Kept by a thread for as long as it runs: says so if the thread panics.
pub(super) struct StopOnPanic(pub(super) Stop);

impl Drop for StopOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop(EngineStopped::Died);
        }
    }
}
