//! One lane's queues, one a tenant group, and whose turn it is.

use std::{collections::VecDeque, time::Instant};

use gristmill_schemas::subject::TENANT_GROUPS;

use super::{
    Piece, Ready,
    companions::{self, Pick},
    room::{Bounds, Room},
};

const GROUPS: usize = TENANT_GROUPS as usize;

/// A job, or what is left of one.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    item: T,
    rows: u32,
    /// The first row that was not handed out.
    next: u32,
    pub(super) tokens: u32,
    /// Whether it has more rows than one batch holds; others stay whole.
    pub(super) sliced: bool,
    pub(super) solo: bool,
    received: Instant,
    /// Whether all of it was handed out; a job of no rows is not until its turn.
    done: bool,
}

impl<T: Clone> Waiting<T> {
    fn cut(&mut self, rows: u32) -> Piece<T> {
        let start = self.next;
        self.next += rows;
        self.done = self.next == self.rows;
        Piece {
            item: self.item.clone(),
            rows: start..self.next,
        }
    }
}

impl<T> Waiting<T> {
    /// The rows that were not handed out.
    pub(super) const fn left(&self) -> u32 {
        self.rows - self.next
    }
}

/// What comes of asking a lane.
pub(super) enum Turn<T> {
    /// These pieces go, the anchor first.
    Go(Vec<Piece<T>>),
    /// Nothing goes before this time.
    Wait(Instant),
}

/// A batch before it is taken out of the queues.
struct Plan {
    /// By group, in the order they were chosen; the anchor's group first.
    picks: Vec<(usize, Vec<Pick>)>,
    /// Whether waiting longer cannot make it larger.
    complete: bool,
    /// When it goes even if it is not complete.
    due: Instant,
}

#[derive(Debug)]
pub(super) struct Line<T> {
    queues: [VecDeque<Waiting<T>>; GROUPS],
    /// The group that is asked first.
    turn: usize,
}

impl<T: Clone> Line<T> {
    pub(super) fn new() -> Self {
        Self {
            queues: std::array::from_fn(|_| VecDeque::new()),
            turn: 0,
        }
    }

    pub(super) fn push(&mut self, ready: Ready<T>, bounds: &Bounds) {
        self.queues[usize::from(ready.group.number())].push_back(Waiting {
            sliced: ready.rows > bounds.capacity(ready.tokens),
            item: ready.item,
            rows: ready.rows,
            next: 0,
            tokens: ready.tokens,
            solo: ready.solo,
            received: ready.received,
            done: false,
        });
    }

    /// The first group from the turn on that has a batch to go.
    pub(super) fn next(&mut self, bounds: &Bounds, now: Instant) -> Turn<T> {
        let mut until = None;
        for group in in_turn(self.turn) {
            let Some(plan) = self.plan(group, bounds) else { continue };
            if plan.complete || plan.due <= now {
                return Turn::Go(self.take(group, plan));
            }
            until = Some(until.map_or(plan.due, |until: Instant| until.min(plan.due)));
        }
        Turn::Wait(until.expect("a lane is asked when it has work"))
    }

    /// The batch of the group whose turn it is, without waiting for more.
    pub(super) fn next_at_once(&mut self, bounds: &Bounds) -> Turn<T> {
        let (group, plan) = in_turn(self.turn)
            .find_map(|group| Some((group, self.plan(group, bounds)?)))
            .expect("a lane is asked when it has work");
        Turn::Go(self.take(group, plan))
    }

    /// What would go if this group's oldest job anchored a batch.
    fn plan(&self, group: usize, bounds: &Bounds) -> Option<Plan> {
        let anchor = self.queues[group].front()?;
        let mut room = Room::new(bounds);
        let rows = anchor.left().min(bounds.capacity(anchor.tokens));
        room.add(rows, anchor.tokens);
        let mut picks = vec![(group, vec![Pick { index: 0, rows }])];
        if !anchor.solo {
            for group in in_turn(group) {
                let from = usize::from(picks.len() == 1);
                let companions = companions::pick(&self.queues[group], from, anchor.tokens, &mut room);
                picks.push((group, companions));
            }
        }
        Some(Plan {
            picks,
            complete: anchor.solo || room.is_full(),
            due: anchor.received + bounds.max_delay,
        })
    }

    /// Takes a plan out of the queues. What is left of the anchor goes to the end of its queue, so that a job of many
    /// slices lets everybody who is there pass between two of them.
    fn take(&mut self, group: usize, plan: Plan) -> Vec<Piece<T>> {
        self.turn = (group + 1) % GROUPS;
        let mut pieces = Vec::new();
        for (group, picks) in plan.picks {
            let queue = &mut self.queues[group];
            pieces.extend(picks.iter().map(|pick| queue[pick.index].cut(pick.rows)));
        }
        let queue = &mut self.queues[group];
        queue.rotate_left(1);
        for queue in &mut self.queues {
            queue.retain(|job| !job.done);
        }
        pieces
    }
}

impl<T> Line<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.queues.iter().all(VecDeque::is_empty)
    }

    pub(super) fn jobs(&self) -> usize {
        self.queues.iter().map(VecDeque::len).sum()
    }

    pub(super) fn rows(&self) -> u64 {
        self.queues.iter().flatten().map(|job| u64::from(job.left())).sum()
    }

    /// Takes out what `which` chooses; what is left of each.
    pub(super) fn remove(&mut self, mut which: impl FnMut(&T) -> bool) -> Vec<Piece<T>> {
        self.extract(|job| which(&job.item))
    }

    /// Takes out the jobs that have not begun.
    pub(super) fn drain(&mut self) -> Vec<T> {
        let whole = self.extract(|job| job.next == 0);
        whole.into_iter().map(|piece| piece.item).collect()
    }

    fn extract(&mut self, mut which: impl FnMut(&Waiting<T>) -> bool) -> Vec<Piece<T>> {
        let mut extracted = Vec::new();
        for queue in &mut self.queues {
            let (out, kept) = std::mem::take(queue).into_iter().partition(&mut which);
            *queue = kept;
            extracted.extend(VecDeque::into_iter(out).map(|job: Waiting<T>| Piece {
                rows: job.next..job.rows,
                item: job.item,
            }));
        }
        extracted
    }
}

/// The groups, beginning with this one.
fn in_turn(from: usize) -> impl Iterator<Item = usize> {
    (0..GROUPS).map(move |step| (from + step) % GROUPS)
}
