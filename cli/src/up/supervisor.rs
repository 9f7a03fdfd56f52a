//! The life of `gristmill up`: starting, serving, draining. Each child is kept by a task of its own; they are ended in the
//! order in which they need each other.

use std::time::Duration;

use gristmill_telemetry::Shutdown;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    keeper::Keeper,
    member::Member,
    ready::{Board, ReadyFile},
    signals::Signals,
    start::Started,
};
use crate::exit::Interrupted;

/// What a process of ours may take beyond its grace: its last commits and its admin listener's last answer.
pub(super) const BEYOND_GRACE: Duration = Duration::from_secs(25);
/// A killed child is gone within milliseconds.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// Which children end together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rank {
    /// Takes jobs: ends first.
    Ingest,
    /// Work on what was taken.
    Workers,
    /// Hold everything: end last.
    Servers,
}

/// All children.
#[derive(Debug)]
pub(super) struct Supervisor {
    ingest: Shutdown,
    workers: Shutdown,
    servers: Shutdown,
    kill: CancellationToken,
    board: watch::Sender<Board>,
    grace: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting,
    Serving,
    Draining,
}

impl Supervisor {
    /// Of nobody yet.
    pub(super) fn new(grace: Duration) -> Self {
        Self {
            ingest: Shutdown::new(),
            workers: Shutdown::new(),
            servers: Shutdown::new(),
            kill: CancellationToken::new(),
            board: watch::Sender::default(),
            grace,
        }
    }

    /// Takes over a child that runs.
    pub(super) fn keep(&self, member: impl Member, place: &str, rank: Rank) {
        let group = self.group(rank);
        let keeper = Keeper::new(member, place.to_owned(), self.board.clone());
        let (kill, stop) = (self.kill.clone(), group.token().clone());
        group.spawn(async move {
            // dropped in the middle, a keeper drops its child, and that kills it
            kill.run_until_cancelled_owned(keeper.keep(stop)).await
        });
    }

    /// Starts, serves until a signal, drains. A second signal kills.
    ///
    /// # Errors
    /// Not everything started, or it was killed.
    pub(super) async fn run(
        &self,
        starting: impl Future<Output = anyhow::Result<Started>>,
        mut signals: Signals,
        ready_file: &ReadyFile,
    ) -> anyhow::Result<()> {
        let mut phase = Phase::Starting;
        let mut board = self.board.subscribe();
        let mut started = None;
        let mut ended = Ok(());
        // dropped at the first signal: a child that is just being started is killed by that
        let mut starting = Some(Box::pin(starting));
        let mut draining = std::pin::pin!(self.drain());
        loop {
            tokio::select! {
                result = poll(&mut starting), if phase == Phase::Starting => match result.and_then(|it| announce(it, ready_file, &board)) {
                    Ok(it) => (phase, started) = (Phase::Serving, Some(it)),
                    Err(error) => (phase, ended) = (Phase::Draining, Err(error)),
                },
                Ok(()) = board.changed(), if phase == Phase::Serving => rewrite(started.as_ref(), ready_file, &board),
                name = signals.next() => match phase {
                    Phase::Starting | Phase::Serving => {
                        tracing::info!(signal = name, "draining; a second signal ends everything at once");
                        starting = None;
                        phase = Phase::Draining;
                    }
                    Phase::Draining => {
                        self.kill().await;
                        return Err(Interrupted.into());
                    }
                },
                () = &mut draining, if phase == Phase::Draining => return ended,
            }
        }
    }

    /// Ends all children, each rank when the one before it is gone.
    async fn drain(&self) {
        for rank in [Rank::Ingest, Rank::Workers, Rank::Servers] {
            // every keeper ends its child by force when that takes too long; this limit is for a stuck kernel
            if let Err(error) = self.group(rank).drain(self.grace + BEYOND_GRACE + KILL_LIMIT).await {
                tracing::error!(%error, ?rank, "not everything ended");
            }
        }
    }

    async fn kill(&self) {
        tracing::warn!("ending everything at once");
        self.kill.cancel();
        for rank in [Rank::Ingest, Rank::Workers, Rank::Servers] {
            if let Err(error) = self.group(rank).drain(KILL_LIMIT).await {
                tracing::error!(%error, ?rank, "not everything ended");
            }
        }
    }

    fn group(&self, rank: Rank) -> &Shutdown {
        match rank {
            Rank::Ingest => &self.ingest,
            Rank::Workers => &self.workers,
            Rank::Servers => &self.servers,
        }
    }
}

async fn poll<F: Future + Unpin>(future: &mut Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

fn announce(started: Started, ready_file: &ReadyFile, board: &watch::Receiver<Board>) -> anyhow::Result<Started> {
    ready_file.write(&started.access, &board.borrow())?;
    crate::output::print(&started.banner)?;
    Ok(started)
}

fn rewrite(started: Option<&Started>, ready_file: &ReadyFile, board: &watch::Receiver<Board>) {
    if let Some(started) = started
        && let Err(error) = ready_file.write(&started.access, &board.borrow())
    {
        tracing::error!("the ready file is out of date: {error:#}");
    }
}
