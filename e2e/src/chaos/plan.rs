//! What the clients are going to do: a function of the seed alone.

use std::time::Duration;

use gristmill_schemas::Span;

use crate::chaos::seed::Seed;

/// Whose jobs there are.
pub const TENANTS: [&str; 4] = ["ant", "bee", "cat", "dog"];

/// How many jobs, how fast, and of which kinds; percentages are of all jobs.
#[derive(Debug, Clone)]
pub struct Mix {
    /// Submissions a second.
    pub rate: u32,
    /// Submissions with an `Idempotency-Key`, repeated until they are answered.
    pub keyed: u64,
    /// Submissions that ask to wait for the outcome.
    pub waiting: u64,
    /// Jobs whose owner cancels them.
    pub cancelled: u64,
    /// Jobs that somebody else tries to read.
    pub foreign: u64,
    /// Jobs whose owner follows them to their end; the others are only read once everything is over.
    pub followed: u64,
    /// Jobs with a short deadline.
    pub hurried: u64,
    /// Where short deadlines lie.
    pub deadlines: (Duration, Duration),
    /// The nonces of jobs that may fail, and so not succeed either: poison.
    pub poison: Vec<u64>,
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            rate: 100,
            keyed: 40,
            waiting: 15,
            cancelled: 3,
            foreign: 10,
            followed: 100,
            hurried: 0,
            deadlines: (Duration::from_millis(300), Duration::from_secs(2)),
            poison: Vec::new(),
        }
    }
}

/// How a job's end is learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Following {
    /// By asking now and then.
    Poll,
    /// By asking with a wait.
    LongPoll,
    /// By server-sent events.
    Events,
}

/// One job's story as it is meant.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Which job.
    pub nonce: u64,
    /// An index of [`TENANTS`].
    pub tenant: usize,
    /// Which ingest is asked first.
    pub ingest: usize,
    /// When it is submitted, from the load's beginning.
    pub at: Duration,
    /// Its `Idempotency-Key`.
    pub key: Option<String>,
    /// Whether the submission waits for the outcome.
    pub waits: bool,
    /// Its deadline, where it has one of its own.
    pub deadline: Option<Span>,
    /// How its end is learned, if at once.
    pub following: Option<Following>,
    /// How long after its acceptance its owner cancels it.
    pub cancelled_after: Option<Duration>,
    /// Whether it is poison.
    pub poison: bool,
    /// Who else tries to read it.
    pub stranger: Option<usize>,
}

/// A load's steps, in the order they begin.
#[derive(Debug, Clone)]
pub struct Plan {
    seed: Seed,
    mix: Mix,
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub const fn new(seed: Seed, mix: Mix) -> Self {
        Self { seed, mix }
    }

    /// The `index`-th step.
    #[must_use]
    pub fn step(&self, index: u64) -> Step {
        let mix = &self.mix;
        let mut seed = self.seed.of(index);
        let tenant = seed.below(TENANTS.len() as u64) as usize;
        let keyed = seed.chance(mix.keyed);
        let waits = seed.chance(mix.waiting);
        let hurried = seed.chance(mix.hurried);
        let time_to_live = seed.between(mix.deadlines.0, mix.deadlines.1);
        let following = match seed.below(3) {
            0 => Following::Poll,
            1 => Following::LongPoll,
            _ => Following::Events,
        };
        let cancelled = seed.chance(mix.cancelled);
        let patience = seed.between(Duration::ZERO, Duration::from_millis(60));
        let foreign = seed.chance(mix.foreign);
        let stranger = (tenant + 1 + seed.below(TENANTS.len() as u64 - 1) as usize) % TENANTS.len();
        let followed = seed.chance(mix.followed);
        let poison = mix.poison.contains(&index);
        Step {
            nonce: index,
            tenant,
            ingest: seed.below(2) as usize,
            at: Duration::from_secs(1) * u32::try_from(index).unwrap_or(u32::MAX) / mix.rate,
            key: keyed.then(|| format!("chaos-{index}")),
            waits,
            poison,
            deadline: (hurried && !poison).then(|| Span::from_millis(time_to_live.as_millis() as u32)),
            following: (followed || poison).then_some(following),
            cancelled_after: (cancelled && !poison).then_some(patience),
            stranger: foreign.then_some(stranger),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_is_one_plan_and_holds_every_kind_of_step() {
        let plan = |seed| {
            let plan = Plan::new(Seed::new(seed), Mix::default());
            (0..500).map(|index| plan.step(index)).collect::<Vec<_>>()
        };
        let steps = plan(1);
        assert_eq!(steps, plan(1));
        assert_ne!(steps, plan(2));
        assert!(steps.iter().all(|step| step.stranger != Some(step.tenant)));
        for kind in [Following::Poll, Following::LongPoll, Following::Events] {
            assert!(steps.iter().any(|step| step.following == Some(kind)));
        }
        let some = |has: fn(&Step) -> bool| steps.iter().any(has) && !steps.iter().all(has);
        assert!(some(|step| step.key.is_some()) && some(|step| step.waits));
        assert!(some(|step| step.cancelled_after.is_some()) && some(|step| step.stranger.is_some()));
    }
}
