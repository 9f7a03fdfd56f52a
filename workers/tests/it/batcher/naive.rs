//! The naive model: plain lists of what was pushed, and every rule checked on every decision by looking at all of it.

use std::{collections::BTreeMap, time::Instant};

use gristmill_schemas::{Lane, manifest::Batching};
use gristmill_workers::batcher::{Decision, Piece, Ready};

use super::{DELAY, Id};

/// A job and its rows already handed out.
type Waiting = (Ready<Id>, u32);

/// What waits, by lane and group, oldest first.
pub(super) struct Naive {
    batching: Batching,
    waiting: BTreeMap<(Lane, u8), Vec<Waiting>>,
    /// Rows handed out since both lanes had work: all, and the batch lane's.
    contended: (u64, u64),
}

impl Naive {
    pub(super) fn new(batching: Batching) -> Self {
        Self {
            batching,
            waiting: BTreeMap::new(),
            contended: (0, 0),
        }
    }

    pub(super) fn push(&mut self, ready: Ready<Id>) {
        let queue = (ready.lane, ready.group.number());
        self.waiting.entry(queue).or_default().push((ready, 0));
    }

    pub(super) fn rows(&self) -> u64 {
        let left = |(ready, next): &Waiting| u64::from(ready.rows - next);
        self.waiting.values().flatten().map(left).sum()
    }

    /// The jobs in front of the youngest of a queue.
    pub(super) fn ahead_of_youngest(&self, lane: Lane, group: u8) -> usize {
        self.waiting[&(lane, group)].len() - 1
    }

    pub(super) fn remove(&mut self, item: Id) -> Vec<Piece<Id>> {
        let mut removed = Vec::new();
        for queue in self.waiting.values_mut() {
            for (ready, next) in queue.extract_if(.., |(ready, _)| ready.item == item) {
                let rows = next..ready.rows;
                removed.push(Piece { item: ready.item, rows });
            }
        }
        removed
    }

    /// Checks a decision against every rule, and follows it.
    pub(super) fn follow(&mut self, decision: &Decision<Id>, now: Instant) {
        self.waiting.retain(|_, queue| !queue.is_empty());
        match decision {
            Decision::Empty => assert!(self.waiting.is_empty()),
            Decision::WaitUntil(until) => self.check_wait(*until, now),
            Decision::Seal(pieces) => self.seal(pieces, now),
        }
    }

    fn has(&self, lane: Lane) -> bool {
        self.waiting.keys().any(|queue| queue.0 == lane)
    }

    /// Nobody of the lane in turn is due yet, and the executor wakes when the first is.
    fn check_wait(&self, until: Instant, now: Instant) {
        let lane = if self.has(Lane::Interactive) {
            Lane::Interactive
        } else {
            Lane::Batch
        };
        let anchors = self.waiting.iter().filter(|(queue, _)| queue.0 == lane);
        let due = anchors.map(|(_, queue)| queue[0].0.received + DELAY).min().unwrap();
        assert!(until == due && until > now);
        let of_lane = self.waiting.iter().filter(|(queue, _)| queue.0 == lane);
        assert!(
            of_lane.into_iter().all(|(_, jobs)| !jobs[0].0.solo),
            "a solo job waits for nobody"
        );
    }

    fn seal(&mut self, pieces: &[Piece<Id>], now: Instant) {
        let jobs: Vec<_> = pieces.iter().map(|piece| self.find(piece.item).clone()).collect();
        let rows: u32 = pieces.iter().map(|piece| piece.rows.len() as u32).sum();
        let longest = jobs.iter().map(|(job, _)| job.tokens).max().unwrap();
        let lane = jobs[0].0.lane;
        self.check_bounds(rows, longest, jobs.len());
        assert!(
            jobs.iter().all(|(job, _)| job.lane == lane),
            "lanes do not share a batch"
        );
        assert!(
            jobs.len() == 1 || jobs.iter().all(|(job, _)| !job.solo),
            "solo is alone"
        );
        for ((job, next), piece) in jobs.iter().zip(pieces) {
            assert_eq!(piece.rows.start, *next, "rows come in order, each once");
            let whole = piece.rows == (0..job.rows);
            assert!(whole || job.rows > self.capacity(job.tokens), "only large jobs are cut");
        }
        let contended = self.has(Lane::Interactive) && self.has(Lane::Batch);
        let full = rows == self.capacity(longest);
        let at_once = full || jobs[0].0.solo || (contended && lane == Lane::Batch);
        assert!(
            at_once || jobs[0].0.received + DELAY <= now,
            "not full, and its anchor not due"
        );
        self.count(lane, u64::from(rows), contended);
        self.take(pieces);
    }

    fn check_bounds(&self, rows: u32, longest: u32, jobs: usize) {
        assert!(rows <= self.batching.max_batch_size);
        let tokens = self.batching.max_batch_tokens.unwrap_or(u32::MAX);
        let alone = jobs == 1 && rows == 1;
        assert!(rows * longest <= tokens || alone, "{rows} rows of {longest} tokens");
    }

    fn count(&mut self, lane: Lane, rows: u64, contended: bool) {
        let (all, batch) = if contended { self.contended } else { (0, 0) };
        let own = if contended && lane == Lane::Batch { rows } else { 0 };
        self.contended = if contended { (all + rows, batch + own) } else { (0, 0) };
        let slack = 10 * u64::from(self.batching.max_batch_size);
        let (all, batch) = self.contended;
        assert!(10 * batch + slack >= all, "{batch} rows of {all} are the batch lane's");
    }

    /// Follows the pieces; what is left of the anchor goes behind the others of its queue.
    fn take(&mut self, pieces: &[Piece<Id>]) {
        let anchor = self.find(pieces[0].item).0.clone();
        let queue = (anchor.lane, anchor.group.number());
        let queue = self.waiting.get_mut(&queue).unwrap();
        assert_eq!(queue[0].0.item, pieces[0].item, "the anchor is the oldest of its group");
        queue.rotate_left(1);
        for piece in pieces {
            self.find(piece.item).1 = piece.rows.end;
        }
        for queue in self.waiting.values_mut() {
            queue.retain(|(job, next)| *next < job.rows);
        }
    }

    fn find(&mut self, item: Id) -> &mut Waiting {
        let mut jobs = self.waiting.values_mut().flatten();
        jobs.find(|(job, _)| job.item == item)
            .expect("what is handed out was waiting")
    }

    /// The rows of this length that fit in a batch.
    fn capacity(&self, tokens: u32) -> u32 {
        let by_tokens = self.batching.max_batch_tokens.unwrap_or(u32::MAX) / tokens;
        by_tokens.clamp(1, self.batching.max_batch_size)
    }
}
