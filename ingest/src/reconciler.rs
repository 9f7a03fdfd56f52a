//! Ends jobs that wait on the stream past their deadline, asked for or not, with a worker alive or without. It looks at each
//! envelope once when it has waited a while, notes its earliest deadline, and looks again when that has passed. One ingest
//! of all does this at a time.

mod envelope;
mod schedule;
mod sweep;

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use gristmill_broker::{Backlog, BrokerClock, Lead, Store};
use gristmill_models::Catalog;
use tokio::time::Instant;

use self::{
    envelope::Interrupted,
    schedule::Schedule,
    sweep::{NEARLY_FULL, Sweep},
};
use crate::metrics;

/// How often it looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// An envelope that waits less than this is left alone: with workers there, most are gone by then and are never read.
const SETTLED_SOON: Duration = Duration::from_secs(2);
/// How long after a deadline a worker may still be the one to write it down.
const WORKERS_FIRST: Duration = Duration::from_secs(1);
/// How long one of a round's three parts goes on, so that the lead is kept and the others have their turn.
const PART: Duration = Duration::from_secs(1);
/// Envelopes that are looked at together: their writes share fsyncs.
const AT_ONCE: usize = 16;

/// What it needs.
#[derive(Debug, Clone)]
pub(crate) struct Reconciler {
    pub(crate) backlog: Backlog,
    pub(crate) store: Store,
    pub(crate) clock: BrokerClock,
    pub(crate) catalog: Arc<Catalog>,
}

/// What the one who leads remembers; it can be read from the stream again.
#[derive(Debug, Default)]
struct Memory {
    schedule: Schedule,
    sweep: Sweep,
}

impl Reconciler {
    /// Goes on until it is dropped.
    pub(crate) async fn run(self) {
        let lead = Lead::new(&self.store, "reconciler");
        let mut memory = Memory::default();
        let mut rounds = tokio::time::interval(INTERVAL);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            match lead.take().await {
                Ok(true) => {
                    if let Err(error) = self.round(&mut memory).await {
                        tracing::debug!(%error, "reconciling goes on later");
                    }
                }
                // whoever leads next reads the stream for himself
                Ok(false) => memory = Memory::default(),
                Err(error) => tracing::debug!(%error, "nobody knows who reconciles"),
            }
            metrics::envelopes_watched().set(memory.schedule.len() as f64);
        }
    }

    async fn round(&self, memory: &mut Memory) -> Result<(), Interrupted> {
        self.look_ahead(&mut memory.schedule).await?;
        self.end_due(&mut memory.schedule).await?;
        self.make_room(memory).await
    }

    /// Notes the deadlines of envelopes that have waited a while and were not looked at yet.
    async fn look_ahead(&self, schedule: &mut Schedule) -> Result<(), Interrupted> {
        let started = Instant::now();
        while started.elapsed() < PART && !schedule.is_full() {
            let Some(waiting) = self.backlog.from(schedule.cursor()).await? else {
                break;
            };
            if self.clock.now().since(waiting.published_at) < SETTLED_SOON {
                break;
            }
            schedule.note(waiting.sequence, envelope::first_due(&waiting));
        }
        Ok(())
    }

    async fn end_due(&self, schedule: &mut Schedule) -> Result<(), Interrupted> {
        let started = Instant::now();
        while started.elapsed() < PART {
            let due = schedule.due(self.clock.now(), AT_ONCE);
            if due.is_empty() {
                break;
            }
            let mut looked = stream::iter(due)
                .map(async |entry| (entry, self.look_at(entry.sequence).await))
                .buffer_unordered(AT_ONCE);
            while let Some((entry, next)) = looked.next().await {
                schedule.done(entry, next?);
            }
        }
        Ok(())
    }

    /// Takes envelopes off a nearly full stream whose jobs have all ended before their time.
    async fn make_room(&self, Memory { schedule, sweep }: &mut Memory) -> Result<(), Interrupted> {
        if sweep.may_begin() && self.backlog.fullness().await? >= NEARLY_FULL {
            sweep.begin(schedule);
        }
        let started = Instant::now();
        while started.elapsed() < PART {
            let next = sweep.next(AT_ONCE);
            if next.is_empty() {
                break;
            }
            // what is still open stays scheduled as it was
            stream::iter(next)
                .map(|sequence| self.look_at(sequence))
                .buffer_unordered(AT_ONCE)
                .try_for_each(async |_| Ok(()))
                .await?;
        }
        Ok(())
    }
}
