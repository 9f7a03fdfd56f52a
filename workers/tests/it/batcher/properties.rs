//! Random jobs, decisions and removals, every one held against the naive model.

use std::time::{Duration, Instant};

use gristmill_schemas::{Lane, manifest::Batching, subject::TENANT_GROUPS};
use gristmill_workers::batcher::{Batcher, Decision, Ready};
use proptest::prelude::*;

use super::{batching, group, naive::Naive, sealed};

/// A job before it has a number and a time.
#[derive(Debug, Clone)]
struct Spec {
    rows: u32,
    tokens: u32,
    batch: bool,
    group: usize,
    solo: bool,
}

#[derive(Debug, Clone)]
enum Step {
    Push(Spec),
    /// Time passes and an executor asks.
    Ask(Duration),
    /// A job is cancelled.
    Remove(prop::sample::Index),
}

fn spec() -> impl Strategy<Value = Spec> {
    let rows = prop_oneof![4 => 1_u32..4, 1 => 4_u32..40];
    let tokens = prop_oneof![2 => Just(1_u32), 3 => 3_u32..60, 1 => 60_u32..300];
    let group = 0..usize::from(TENANT_GROUPS);
    (rows, tokens, any::<bool>(), group, prop::bool::weighted(0.1)).prop_map(|(rows, tokens, batch, group, solo)| {
        Spec {
            rows,
            tokens,
            batch,
            group,
            solo,
        }
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => spec().prop_map(Step::Push),
        5 => (0_u64..3000).prop_map(|micros| Step::Ask(Duration::from_micros(micros))),
        1 => any::<prop::sample::Index>().prop_map(Step::Remove),
    ]
}

fn bounds() -> impl Strategy<Value = Batching> {
    (1_u32..12, prop::option::of(40_u32..600)).prop_map(|(rows, tokens)| batching(rows, tokens))
}

/// The batcher and the model side by side.
struct Pair {
    batcher: Batcher<usize>,
    naive: Naive,
    pushed: usize,
    now: Instant,
}

impl Pair {
    fn new(batching: Batching) -> Self {
        Self {
            batcher: Batcher::new(&batching),
            naive: Naive::new(batching),
            pushed: 0,
            now: Instant::now(),
        }
    }

    fn push(&mut self, spec: &Spec) -> usize {
        let ready = Ready {
            item: self.pushed,
            rows: spec.rows,
            tokens: spec.tokens,
            lane: if spec.batch { Lane::Batch } else { Lane::Interactive },
            group: group(spec.group),
            solo: spec.solo,
            received: self.now,
        };
        self.batcher.push(ready.clone());
        self.naive.push(ready);
        self.pushed += 1;
        self.pushed - 1
    }

    fn ask(&mut self) -> Decision<usize> {
        let decision = self.batcher.next(self.now);
        self.naive.follow(&decision, self.now);
        assert_eq!(self.batcher.rows(), self.naive.rows());
        decision
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Push(spec) => {
                self.push(&spec);
            }
            Step::Ask(passed) => {
                self.now += passed;
                self.ask();
            }
            Step::Remove(index) if self.pushed > 0 => {
                let item = index.index(self.pushed);
                let removed = self.batcher.remove(|id| *id == item);
                assert_eq!(removed, self.naive.remove(item));
            }
            Step::Remove(_) => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_row_comes_out_once_and_within_the_bounds(bounds in bounds(), steps in prop::collection::vec(step(), 1..120)) {
        let mut pair = Pair::new(bounds);
        steps.into_iter().for_each(|step| pair.step(step));
        pair.now += Duration::from_secs(1);
        while pair.ask() != Decision::Empty {}
        prop_assert_eq!(pair.naive.rows(), 0);
    }

    #[test]
    fn no_job_waits_for_more_turns_than_jobs_ahead(
        bounds in bounds(),
        before in prop::collection::vec(spec(), 0..30),
        target in spec(),
        after in prop::collection::vec(spec(), 200),
    ) {
        let mut pair = Pair::new(bounds);
        let one_lane = |spec: &Spec| Spec { batch: target.batch, ..spec.clone() };
        before.iter().for_each(|spec| { pair.push(&one_lane(spec)); });
        let item = pair.push(&target);
        let lane = if target.batch { Lane::Batch } else { Lane::Interactive };
        let ahead = pair.naive.ahead_of_youngest(lane, target.group as u8);
        // its group has every fourth turn at least, and each takes one job from the front
        let turns = usize::from(TENANT_GROUPS) * (ahead + 1);
        pair.now += Duration::from_secs(1);
        let mut after = after.iter().cycle();
        let served = (0..turns).any(|_| {
            pair.push(&one_lane(after.next().unwrap()));
            sealed(pair.ask()).iter().any(|piece| piece.item == item)
        });
        prop_assert!(served, "not in {} turns", turns);
    }

    #[test]
    fn the_batch_lane_has_its_tenth_under_any_interactive_load(
        bounds in bounds(),
        specs in prop::collection::vec(spec(), 300),
    ) {
        let mut pair = Pair::new(bounds);
        // the model checks the share at every decision while both lanes have work
        for spec in &specs {
            pair.push(&Spec { batch: true, rows: 1, ..spec.clone() });
            pair.push(&Spec { batch: false, ..spec.clone() });
            pair.push(&Spec { batch: false, group: 0, ..spec.clone() });
            pair.ask();
        }
    }
}
