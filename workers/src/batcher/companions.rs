//! Who else goes into a batch: of the jobs that wait in one queue, those nearest to the anchor's length, oldest first
//! among equals.

use std::collections::VecDeque;

use super::{line::Waiting, room::Room};

/// Jobs looked at in one queue: enough to find a good length, few enough to be quick however many wait.
const LOOKAHEAD: usize = 256;

/// Rows of the job at a place in a queue.
#[derive(Debug)]
pub(super) struct Pick {
    pub(super) index: usize,
    pub(super) rows: u32,
}

/// Picks from `queue`, beginning at `from`, until the room is full.
pub(super) fn pick<T>(queue: &VecDeque<Waiting<T>>, from: usize, anchor_tokens: u32, room: &mut Room<'_>) -> Vec<Pick> {
    let mut order: Vec<_> = queue
        .iter()
        .enumerate()
        .take(LOOKAHEAD)
        .skip(from)
        .filter(|(_, job)| !job.solo)
        .collect();
    order.sort_by_key(|(_, job)| job.tokens.abs_diff(anchor_tokens));
    let mut picks = Vec::new();
    for (index, job) in order {
        if room.is_full() {
            break;
        }
        let left = room.left(job.tokens);
        let rows = if job.sliced { job.left().min(left) } else { job.left() };
        if rows > 0 && rows <= left && !room.wastes(rows, job.tokens) {
            room.add(rows, job.tokens);
            picks.push(Pick { index, rows });
        }
    }
    picks
}
