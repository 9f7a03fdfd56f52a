//! The batcher: what waits for one model version, and which of it a free executor takes next.
//!
//! Pure: told the time, it answers at once and awaits nothing. It knows rows, tokens, lanes and tenant groups of jobs,
//! not the jobs. The rules, in the order they decide:
//!
//! 1. Lanes do not share a batch, so that nobody who waits pays for rows that nobody waits for. Interactive goes first;
//!    the batch lane has at least a tenth of the rows while it has work (`lane_share`).
//! 2. A batch is one tenant group's turn, groups taking turns: a flood in one stands in front of another's job for one
//!    batch. Room that the group leaves is filled from the lane's other groups (`line`).
//! 3. The oldest job of the group anchors the batch; companions are chosen near its length, since padding is waste
//!    (`companions`). A job that may have killed a worker (`solo`) runs alone.
//! 4. A batch that can take no more goes at once, any other when its anchor has waited for `max_queue_delay`.

mod companions;
mod lane_share;
mod line;
mod room;

use std::{ops::Range, time::Instant};

use gristmill_schemas::{Lane, manifest::Batching, subject::TenantGroup};

use self::{
    lane_share::LaneShare,
    line::{Line, Turn},
    room::Bounds,
};

/// A job that waits for an engine call.
#[derive(Debug, Clone)]
pub struct Ready<T> {
    /// What is handed out again; cloned once a slice, so an `Arc` or an id.
    pub item: T,
    /// Its rows.
    pub rows: u32,
    /// The cost of its longest row in tokens; 1 where the model does not count tokens.
    pub tokens: u32,
    /// Its lane.
    pub lane: Lane,
    /// Its tenant's group.
    pub group: TenantGroup,
    /// Whether it must run alone, because it may be what ended an earlier attempt.
    pub solo: bool,
    /// When the worker received it; within a lane and group, jobs are pushed in this order.
    pub received: Instant,
}

/// Rows of a job that go into one batch: all of them, unless the job has more than fit in a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece<T> {
    /// The job.
    pub item: T,
    /// Which of its rows. A job's pieces come in the order of its rows; the batches they are in may end in any order.
    pub rows: Range<u32>,
}

/// What a free executor is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision<T> {
    /// Run this, the anchor first.
    Seal(Vec<Piece<T>>),
    /// Ask again at this time, or after a push.
    WaitUntil(Instant),
    /// Ask again after a push.
    Empty,
}

/// What waits for one model version.
#[derive(Debug)]
pub struct Batcher<T> {
    bounds: Bounds,
    share: LaneShare,
    interactive: Line<T>,
    batch: Line<T>,
}

impl<T: Clone> Batcher<T> {
    /// An empty one, with the bounds that a manifest sets.
    #[must_use]
    pub fn new(batching: &Batching) -> Self {
        let bounds = Bounds::new(batching);
        Self {
            share: LaneShare::new(bounds.max_rows),
            bounds,
            interactive: Line::new(),
            batch: Line::new(),
        }
    }

    /// Lets a job wait.
    pub fn push(&mut self, ready: Ready<T>) {
        let line = match ready.lane {
            Lane::Interactive => &mut self.interactive,
            Lane::Batch => &mut self.batch,
        };
        line.push(ready, &self.bounds);
    }

    /// What one free executor is to do now.
    pub fn next(&mut self, now: Instant) -> Decision<T> {
        let (interactive, batch) = (!self.interactive.is_empty(), !self.batch.is_empty());
        let lane = match (interactive, batch) {
            (false, false) => return Decision::Empty,
            (true, false) => Lane::Interactive,
            (false, true) => Lane::Batch,
            (true, true) if self.share.owes_batch() => Lane::Batch,
            (true, true) => Lane::Interactive,
        };
        let turn = match lane {
            Lane::Interactive => self.interactive.next(&self.bounds, now),
            // what is owed is paid with what is there
            Lane::Batch if interactive => self.batch.next_at_once(&self.bounds),
            Lane::Batch => self.batch.next(&self.bounds, now),
        };
        match turn {
            Turn::Wait(until) => Decision::WaitUntil(until),
            Turn::Go(pieces) => {
                let rows = pieces.iter().map(|piece| piece.rows.end - piece.rows.start).sum();
                self.share.count(lane, rows, batch);
                Decision::Seal(pieces)
            }
        }
    }

    /// Takes jobs out that are not to run any more, cancelled or expired: gives back the rows that were not handed out.
    pub fn remove(&mut self, mut which: impl FnMut(&T) -> bool) -> Vec<Piece<T>> {
        let mut removed = self.interactive.remove(&mut which);
        removed.extend(self.batch.remove(&mut which));
        removed
    }

    /// Takes out the jobs of which no row was handed out. Those that have begun stay, so that they can be finished.
    pub fn drain(&mut self) -> Vec<T> {
        let mut drained = self.interactive.drain();
        drained.extend(self.batch.drain());
        drained
    }

    /// The rows that wait.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.interactive.rows() + self.batch.rows()
    }

    /// The jobs that wait, begun ones included.
    #[must_use]
    pub fn jobs(&self) -> usize {
        self.interactive.jobs() + self.batch.jobs()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.interactive.is_empty() && self.batch.is_empty()
    }
}
