//! What `/readyz` tells: the state of every part of this process, as the part itself reports it. Liveness needs no state.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use tokio::sync::watch;

/// The state of one component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "reason", rename_all = "snake_case")]
pub enum State {
    /// It has not worked yet: connecting, loading, warming up.
    Starting,
    /// It works.
    Ready,
    /// It worked, and does not now; the reason is for people.
    Degraded(String),
    /// It finishes what it has and takes nothing new.
    Draining,
}

/// What is known of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The latest state of each component.
    pub components: BTreeMap<String, State>,
}

impl Report {
    /// True if all components are ready. A process of which nothing is known is not.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.components.is_empty() && self.components.values().all(|state| *state == State::Ready)
    }
}

/// The readiness of a process: components report to it, `/readyz` reads it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    board: watch::Sender<Board>,
    next_id: AtomicU64,
}

/// `owner` is the id of the [`Component`] that may write the entry.
#[derive(Debug, Default)]
struct Board {
    draining: bool,
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    owner: u64,
    state: State,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            board: watch::Sender::new(Board::default()),
            next_id: AtomicU64::new(0),
        }
    }
}

impl Readiness {
    /// A readiness without components, which is not ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a component, which starts as [`State::Starting`]. A name in use is taken over from its old owner.
    pub fn component(&self, name: impl Into<String>) -> Component {
        let name = name.into();
        let owner = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        let entry = Entry {
            owner,
            state: State::Starting,
        };
        self.0.board.send_modify(|board| {
            board.entries.insert(name.clone(), entry);
        });
        Component {
            readiness: self.clone(),
            name,
            owner,
        }
    }

    /// From now on every component counts as draining, whatever it reports.
    pub fn drain(&self) {
        self.0.board.send_modify(|board| board.draining = true);
    }

    /// The state of all components now.
    #[must_use]
    pub fn report(&self) -> Report {
        self.0.board.borrow().report()
    }

    /// Waits until all components are ready. Add them before.
    pub async fn ready(&self) {
        let mut board = self.0.board.subscribe();
        // An error means that the sender is gone, and `self` holds it.
        let _ = board.wait_for(|board| board.report().is_ready()).await;
    }
}

impl Board {
    fn report(&self) -> Report {
        let state = |entry: &Entry| {
            if self.draining {
                State::Draining
            } else {
                entry.state.clone()
            }
        };
        Report {
            components: self
                .entries
                .iter()
                .map(|(name, entry)| (name.clone(), state(entry)))
                .collect(),
        }
    }
}

/// The right and the duty to report the state of one component. Dropping it reports the component as degraded, so that a
/// task that panicked or ended does not stay `ready`.
#[derive(Debug)]
#[must_use = "a dropped component is reported as degraded"]
pub struct Component {
    readiness: Readiness,
    name: String,
    owner: u64,
}

impl Component {
    /// Reports [`State::Ready`].
    pub fn ready(&self) {
        self.set(State::Ready);
    }

    /// Reports [`State::Degraded`] with the reason.
    pub fn degraded(&self, reason: impl Into<String>) {
        self.set(State::Degraded(reason.into()));
    }

    /// Reports any state. Of no effect once the name was taken over.
    pub fn set(&self, state: State) {
        self.readiness
            .0
            .board
            .send_if_modified(|board| match board.entries.get_mut(&self.name) {
                Some(entry) if entry.owner == self.owner && entry.state != state => {
                    entry.state = state;
                    true
                }
                _ => false,
            });
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        self.degraded("ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_known_is_not_ready() {
        assert!(!Readiness::new().report().is_ready());
    }

    #[test]
    fn ready_only_when_every_component_is() {
        let readiness = Readiness::new();
        let nats = readiness.component("nats");
        let redis = readiness.component("redis");
        nats.ready();
        assert!(!readiness.report().is_ready());
        redis.ready();
        assert!(readiness.report().is_ready());
        nats.degraded("connection lost");
        assert!(!readiness.report().is_ready());
        assert_eq!(
            readiness.report().components["nats"],
            State::Degraded("connection lost".to_owned())
        );
    }

    #[test]
    fn dropped_component_is_not_ready() {
        let readiness = Readiness::new();
        let engine = readiness.component("engine");
        engine.ready();
        drop(engine);
        assert_eq!(
            readiness.report().components["engine"],
            State::Degraded("ended".to_owned())
        );
    }

    #[test]
    fn old_owner_cannot_speak_for_its_successor() {
        let readiness = Readiness::new();
        let old = readiness.component("engine");
        let new = readiness.component("engine");
        new.ready();
        old.degraded("late news");
        drop(old);
        assert!(readiness.report().is_ready());
    }

    #[test]
    fn draining_outlasts_what_components_report() {
        let readiness = Readiness::new();
        let nats = readiness.component("nats");
        readiness.drain();
        nats.ready();
        assert_eq!(readiness.report().components["nats"], State::Draining);
    }

    #[tokio::test]
    async fn waiting_ends_when_the_last_component_is_ready() {
        let readiness = Readiness::new();
        let nats = readiness.component("nats");
        let waiter = tokio::spawn({
            let readiness = readiness.clone();
            async move { readiness.ready().await }
        });
        nats.ready();
        waiter.await.unwrap();
    }
}
