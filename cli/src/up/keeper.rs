//! Keeps one child running: waits for its death, reports it, starts it again after a pause, until it is told to stop.

use std::{
    io,
    process::ExitStatus,
    time::{Duration, Instant},
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{member::Member, ready::Board};

/// How a child stands.
enum State {
    /// It runs, since then.
    Running { since: Instant },
    /// It has ended or did not start, and is started again after the pause.
    Down { pause: Duration },
}

/// One child and its history.
#[derive(Debug)]
pub(super) struct Keeper<M> {
    member: M,
    /// Its place on the board.
    place: String,
    board: watch::Sender<Board>,
    backoff: Backoff,
}

impl<M: Member> Keeper<M> {
    /// Of a child that runs.
    pub(super) fn new(member: M, place: String, board: watch::Sender<Board>) -> Self {
        let keeper = Self {
            member,
            place,
            board,
            backoff: Backoff::default(),
        };
        keeper.post();
        keeper
    }

    /// Keeps it until `stop`, then ends it in order.
    pub(super) async fn keep(mut self, stop: CancellationToken) {
        let mut state = State::Running { since: Instant::now() };
        while let Some(next) = stop.run_until_cancelled(self.step(&state)).await {
            state = next;
        }
        match self.member.stop().await {
            Ok(status) if status.success() => tracing::info!(child.name = self.member.name(), "child ended"),
            Ok(status) => tracing::warn!(child.name = self.member.name(), "child ended badly: {status}"),
            Err(error) => tracing::error!(child.name = self.member.name(), %error, "child not ended"),
        }
    }

    async fn step(&mut self, state: &State) -> State {
        match *state {
            // Running → Down, when it dies
            State::Running { since } => {
                let ended = self.member.wait().await;
                self.down(&ended, since.elapsed())
            }
            // Down → Running, or Down again for longer
            State::Down { pause } => {
                tokio::time::sleep(pause).await;
                match self.member.restart().await {
                    Ok(()) => {
                        self.post();
                        State::Running { since: Instant::now() }
                    }
                    Err(error) => {
                        let pause = self.backoff.after(Duration::ZERO);
                        tracing::error!(child.name = self.member.name(), retry.after = ?pause, "not started: {error:#}");
                        State::Down { pause }
                    }
                }
            }
        }
    }

    fn down(&mut self, ended: &io::Result<ExitStatus>, lived: Duration) -> State {
        let pause = self.backoff.after(lived);
        let how = match ended {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        let pid = self.member.instance().pid;
        tracing::warn!(child.name = self.member.name(), child.pid = pid, restart.after = ?pause, "child died: {how}");
        State::Down { pause }
    }

    fn post(&self) {
        let instance = self.member.instance();
        self.board.send_modify(|board| {
            board.insert(self.place.clone(), instance);
        });
    }
}

/// The pause before a start: it doubles with every death, and begins anew once a child has lived long enough.
#[derive(Debug)]
struct Backoff {
    next: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(200);
    const LONGEST: Duration = Duration::from_secs(5);
    const LONG_LIFE: Duration = Duration::from_secs(30);

    fn after(&mut self, lived: Duration) -> Duration {
        if lived >= Self::LONG_LIFE {
            self.next = Self::FIRST;
        }
        let pause = self.next;
        self.next = Self::LONGEST.min(pause * 2);
        pause
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: Self::FIRST }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pause_doubles_up_to_five_seconds_and_begins_anew_after_a_long_life() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..7)
            .map(|_| backoff.after(Duration::from_secs(29)).as_millis())
            .collect();
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(backoff.after(Duration::from_secs(30)), Backoff::FIRST);
    }
}
