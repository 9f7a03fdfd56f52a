//! How a process ends: a signal asks for it, one token tells everybody, one tracker knows who is still at work. What a part
//! does when told is its own affair.

use std::future::Future;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal as listen};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What a shell reports for a process ended by Ctrl-C.
const EXIT_INTERRUPTED: i32 = 130;

/// Ends when this process is told to end, by SIGTERM or SIGINT (Ctrl-C). A second signal ends the process at once with
/// exit code 130, without draining.
///
/// # Errors
///
/// The handlers cannot be installed.
pub async fn signal() -> std::io::Result<()> {
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let name = next(&mut terminate, &mut interrupt).await;
    tracing::info!(signal = name, "shutting down; a second signal ends at once");
    tokio::spawn(async move {
        let name = next(&mut terminate, &mut interrupt).await;
        tracing::warn!(signal = name, "ending at once");
        std::process::exit(EXIT_INTERRUPTED);
    });
    Ok(())
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// Tells the tasks of a process to end, and waits for them. Clones are the same shutdown.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
    tasks: TaskTracker,
}

/// The drain took longer than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{tasks} tasks still ran after {grace:?} of draining")]
pub struct StillRunning {
    /// How many tasks had not ended.
    pub tasks: usize,
    /// How long they had.
    pub grace: Duration,
}

impl Shutdown {
    /// A shutdown that nobody has asked for.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs a task that [`drain`](Self::drain) will wait for. It must end by itself soon after
    /// [`requested`](Self::requested) does.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.tasks.spawn(task)
    }

    /// Tells everybody to end; waits for nobody.
    pub fn request(&self) {
        self.token.cancel();
    }

    /// True once the end was asked for.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Ends once the end was asked for.
    pub fn requested(&self) -> impl Future<Output = ()> + Send + 'static {
        self.token.clone().cancelled_owned()
    }

    /// The token itself, for children of it and for `run_until_cancelled`.
    #[must_use]
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Tells everybody to end, then waits until all spawned tasks have, at most for `grace`.
    ///
    /// # Errors
    ///
    /// Tasks still ran when `grace` was over. They are not aborted.
    pub async fn drain(&self, grace: Duration) -> Result<(), StillRunning> {
        self.token.cancel();
        self.tasks.close();
        let waited = tokio::time::timeout(grace, self.tasks.wait()).await;
        waited.map_err(|_| StillRunning {
            tasks: self.tasks.len(),
            grace,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn drain_waits_for_tasks_that_finish_their_work() {
        let shutdown = Shutdown::new();
        let task = shutdown.spawn({
            let requested = shutdown.requested();
            async move {
                requested.await;
                tokio::task::yield_now().await;
                "finished"
            }
        });
        shutdown.drain(Duration::from_secs(60)).await.unwrap();
        assert!(task.is_finished());
        assert_eq!(task.await.unwrap(), "finished");
    }

    #[tokio::test(start_paused = true)]
    async fn drain_gives_up_after_its_grace_and_says_how_many_remain() {
        let shutdown = Shutdown::new();
        shutdown.spawn(std::future::pending::<()>());
        let grace = Duration::from_secs(5);
        assert_eq!(shutdown.drain(grace).await, Err(StillRunning { tasks: 1, grace }));
        assert!(shutdown.is_requested());
    }

    #[tokio::test]
    async fn signal_is_waited_for_and_not_fatal() {
        let waiter = signal();
        tokio::pin!(waiter);
        // The first poll installs the handlers; only then may the signal be raised.
        assert!(poll_once(&mut waiter).await.is_none());
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGTERM).unwrap();
        waiter.await.unwrap();
    }

    async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        tokio::select! {
            biased;
            output = future => Some(output),
            () = std::future::ready(()) => None,
        }
    }
}
