//! The batcher by examples, and by properties against a naive model of the queues.

mod naive;
mod properties;

use std::time::{Duration, Instant};

use gristmill_schemas::{Lane, Span, manifest::Batching, subject::TenantGroup};
use gristmill_workers::batcher::{Batcher, Decision, Piece, Ready};

/// A job's number.
type Id = usize;

const DELAY: Duration = Duration::from_millis(2);

fn batching(max_batch_size: u32, max_batch_tokens: Option<u32>) -> Batching {
    Batching {
        max_batch_size,
        max_queue_delay: Some(Span::from_millis(2)),
        max_batch_tokens,
    }
}

fn group(number: usize) -> TenantGroup {
    TenantGroup::all().nth(number).unwrap()
}

/// One interactive row of one token in group 0.
fn ready(item: Id, received: Instant) -> Ready<Id> {
    Ready {
        item,
        rows: 1,
        tokens: 1,
        lane: Lane::Interactive,
        group: group(0),
        solo: false,
        received,
    }
}

fn sealed(decision: Decision<Id>) -> Vec<Piece<Id>> {
    match decision {
        Decision::Seal(pieces) => pieces,
        Decision::WaitUntil(_) | Decision::Empty => panic!("expected a batch, got {decision:?}"),
    }
}

fn ids(pieces: &[Piece<Id>]) -> Vec<Id> {
    pieces.iter().map(|piece| piece.item).collect()
}

#[test]
fn nothing_waits_in_an_empty_batcher() {
    let mut batcher = Batcher::<Id>::new(&batching(8, None));
    assert_eq!(batcher.next(Instant::now()), Decision::Empty);
    assert!(batcher.is_empty());
}

#[test]
fn a_full_batch_goes_at_once_and_a_smaller_one_after_the_delay() {
    let now = Instant::now();
    let mut batcher = Batcher::new(&batching(4, None));
    (0..6).for_each(|id| batcher.push(ready(id, now)));
    assert_eq!(ids(&sealed(batcher.next(now))), [0, 1, 2, 3]);
    assert_eq!(batcher.next(now), Decision::WaitUntil(now + DELAY));
    assert_eq!(ids(&sealed(batcher.next(now + DELAY))), [4, 5]);
    assert_eq!(batcher.next(now + DELAY), Decision::Empty);
}

#[test]
fn the_delay_counts_from_the_anchors_arrival() {
    let now = Instant::now();
    let mut batcher = Batcher::new(&batching(4, None));
    batcher.push(ready(0, now));
    batcher.push(ready(1, now + DELAY / 2));
    assert_eq!(batcher.next(now + DELAY / 2), Decision::WaitUntil(now + DELAY));
    assert_eq!(ids(&sealed(batcher.next(now + DELAY))), [0, 1]);
}

#[test]
fn a_job_that_may_have_killed_a_worker_runs_alone_and_at_once() {
    let now = Instant::now();
    let mut batcher = Batcher::new(&batching(4, None));
    (0..2).for_each(|id| batcher.push(ready(id, now)));
    batcher.push(Ready {
        solo: true,
        ..ready(2, now)
    });
    batcher.push(ready(3, now));
    assert_eq!(ids(&sealed(batcher.next(now + DELAY))), [0, 1, 3]);
    assert_eq!(ids(&sealed(batcher.next(now))), [2]);
}

#[test]
fn companions_are_near_the_anchors_length() {
    let now = Instant::now();
    let mut batcher = Batcher::new(&batching(3, Some(1024)));
    for (id, tokens) in [100, 20, 104, 250, 96, 20].into_iter().enumerate() {
        batcher.push(Ready {
            tokens,
            ..ready(id, now)
        });
    }
    let later = now + DELAY;
    assert_eq!(ids(&sealed(batcher.next(later))), [0, 2, 4]);
    assert_eq!(ids(&sealed(batcher.next(later))), [1, 5]);
    assert_eq!(ids(&sealed(batcher.next(later))), [3]);
}

#[test]
fn padding_counts_against_the_tokens_of_a_batch() {
    let now = Instant::now();
    let mut batcher = Batcher::new(&batching(8, Some(400)));
    for (id, tokens) in [90, 100, 100, 100, 100].into_iter().enumerate() {
        batcher.push(Ready {
            tokens,
            ..ready(id, now)
        });
    }
    // 4 × 100 is full although the rows themselves have 390
    assert_eq!(ids(&sealed(batcher.next(now))), [0, 1, 2, 3]);
}

#[test]
fn a_row_longer_than_any_batch_goes_alone() {
    let now = Instant::now();
    let mut batcher = Batcher::new(&batching(8, Some(100)));
    batcher.push(Ready {
        tokens: 300,
        rows: 2,
        ..ready(0, now)
    });
    assert_eq!(sealed(batcher.next(now))[0].rows, 0..1);
    assert_eq!(sealed(batcher.next(now))[0].rows, 1..2);
}

#[test]
fn a_large_job_is_cut_and_lets_others_pass() {
    let now = Instant::now();
    let mut batcher = Batcher::new(&batching(4, None));
    batcher.push(Ready {
        rows: 10,
        ..ready(0, now)
    });
    (1..4).for_each(|id| batcher.push(ready(id, now)));
    let piece = |item, rows| Piece { item, rows };
    assert_eq!(sealed(batcher.next(now)), [piece(0, 0..4)]);
    // the others first, and the room they leave is not wasted
    assert_eq!(
        sealed(batcher.next(now)),
        [piece(1, 0..1), piece(2, 0..1), piece(3, 0..1), piece(0, 4..5)]
    );
    assert_eq!(batcher.rows(), 5);
    assert_eq!(sealed(batcher.next(now)), [piece(0, 5..9)]);
    assert_eq!(sealed(batcher.next(now + DELAY)), [piece(0, 9..10)]);
}

#[test]
fn a_flood_stands_in_front_of_another_group_for_one_batch() {
    let now = Instant::now();
    let mut batcher = Batcher::new(&batching(4, None));
    (0..1000).for_each(|id| batcher.push(ready(id, now)));
    batcher.push(Ready {
        group: group(2),
        ..ready(1000, now)
    });
    assert_eq!(ids(&sealed(batcher.next(now))), [0, 1, 2, 3]);
    // its turn; the room it leaves is filled
    assert_eq!(ids(&sealed(batcher.next(now))), [1000, 4, 5, 6]);
}

#[test]
fn interactive_goes_before_batch_until_a_tenth_is_owed() {
    let now = Instant::now();
    let mut batcher = Batcher::new(&batching(2, None));
    for id in 0..60 {
        let lane = if id % 2 == 0 { Lane::Batch } else { Lane::Interactive };
        batcher.push(Ready { lane, ..ready(id, now) });
    }
    let lanes: Vec<_> = (0..20).map(|_| sealed(batcher.next(now))[0].item % 2).collect();
    assert_eq!(lanes, [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]);
}

#[test]
fn what_is_removed_comes_back_once() {
    let now = Instant::now();
    let mut batcher = Batcher::new(&batching(4, None));
    batcher.push(Ready {
        rows: 6,
        ..ready(0, now)
    });
    (1..3).for_each(|id| batcher.push(ready(id, now)));
    sealed(batcher.next(now));
    let rest = Piece { item: 0, rows: 4..6 };
    assert_eq!(batcher.remove(|id| *id == 0), [rest]);
    assert_eq!(batcher.remove(|id| *id == 0), []);
    assert_eq!((batcher.jobs(), batcher.rows()), (2, 2));
}

#[test]
fn draining_gives_back_what_has_not_begun_and_finishes_the_rest() {
    let now = Instant::now();
    let mut batcher = Batcher::new(&batching(4, None));
    batcher.push(Ready {
        rows: 6,
        ..ready(0, now)
    });
    (1..3).for_each(|id| batcher.push(ready(id, now)));
    assert_eq!(sealed(batcher.next(now)), [Piece { item: 0, rows: 0..4 }]);
    assert_eq!(batcher.drain(), [1, 2]);
    assert_eq!(sealed(batcher.next(now + DELAY)), [Piece { item: 0, rows: 4..6 }]);
    assert!(batcher.is_empty());
}

#[test]
fn a_job_without_rows_still_has_its_turn() {
    let now = Instant::now();
    let mut batcher = Batcher::new(&batching(4, None));
    batcher.push(Ready {
        rows: 0,
        ..ready(0, now)
    });
    assert_eq!(sealed(batcher.next(now + DELAY)), [Piece { item: 0, rows: 0..0 }]);
    assert!(batcher.is_empty());
}
