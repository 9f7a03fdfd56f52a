//! How fast the queues that this ingest is asked about are worked off, measured at the broker beside the way of the requests,
//! which deadlines that cannot meet, and what it says of a job's place and of when to come back. A guess is never a reason to
//! refuse: without a rate that was measured for a while, or without a backlog that lasted as long, everything passes. For what
//! harms nobody, a backlog that was there for a moment will do.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use gristmill_broker::{Broker, QueueDepth};
use gristmill_schemas::{Refusal, RefusalCode, Timestamp, subject::Queue};
use tokio::time::Instant;

use crate::{arrivals::Arrivals, position::Position};

/// How often queues are looked at, and how many of them each time: with more than these, each is looked at less often.
const LOOK: Duration = Duration::from_millis(250);
const AT_ONCE: usize = 32;
/// How long a look counts: all queues have their turn meanwhile.
const FRESH: Duration = Duration::from_secs(3);
/// How far back a rate is measured: long enough for a slow model's envelopes, short enough to follow a change.
const WINDOW: Duration = Duration::from_secs(10);
/// How long a rate is measured before it is a reason to refuse, or to promise a time.
const SURE: Duration = Duration::from_secs(3);
/// How long before a backlog is a reason to wait for company.
const LIKELY: Duration = Duration::from_millis(500);
/// Envelopes below which there is no rate yet.
const LEAST: u64 = 3;
/// Queues that are followed; more are let pass unmeasured.
const MAX_QUEUES: usize = 256;
/// The share of a backlog that is to be gone before somebody who had no room comes back.
const ROOM: f64 = 0.05;
/// How long a queue is followed after it was last asked about.
const IDLE: Duration = Duration::from_secs(60);
/// Bounds of what a refusal says about coming back.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// The queues that are followed. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct DrainRates {
    queues: Arc<Mutex<HashMap<Queue, Track>>>,
}

#[derive(Debug)]
struct Track {
    used: Instant,
    /// When it was looked at last, whatever was seen.
    looked: Option<Instant>,
    looks: VecDeque<(Instant, QueueDepth)>,
    arrivals: Arrivals,
}

/// A queue that had a backlog for as long as it was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Measured {
    waiting: u64,
    per_second: f64,
}

impl DrainRates {
    /// How long the backlog before a submission takes, as far as that is likely, unless it surely takes longer than its time
    /// to live. No round trip.
    ///
    /// # Errors
    /// `deadline_unmeetable`.
    pub fn check(&self, queue: Queue, time_to_live: Duration) -> Result<Duration, Refusal> {
        let both = |track: &Track, now| Some((track.measured(SURE, now), track.measured(LIKELY, now)?));
        let Some((sure, likely)) = self.asked(queue, both) else {
            return Ok(Duration::ZERO);
        };
        sure.map_or(Ok(()), |sure| sure.check(time_to_live))?;
        Ok(likely.wait())
    }

    /// When somebody for whom there was no room may come back, if the queue's speed is known.
    pub fn room_in(&self, queue: Queue) -> Option<Duration> {
        self.asked(queue, |track, now| track.measured(SURE, now))
            .map(Measured::room_in)
    }

    /// About where a job of that queue, accepted at that time, stands now.
    pub fn position(&self, queue: Queue, accepted_at: Timestamp, now: Timestamp) -> Option<Position> {
        self.asked(queue, |track, at| track.position(accepted_at, at, now))
    }

    /// What is known of a queue, which is followed from now on.
    fn asked<T>(&self, queue: Queue, answer: impl FnOnce(&Track, Instant) -> Option<T>) -> Option<T> {
        let now = Instant::now();
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(track) = queues.get_mut(&queue) {
            track.used = now;
            return answer(track, now);
        }
        if queues.len() < MAX_QUEUES {
            queues.insert(queue, Track::new(now));
        }
        None
    }

    /// Measures for ever.
    pub(crate) async fn follow(self, broker: Broker) {
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let clock = broker.clock();
        loop {
            ticks.tick().await;
            for queue in self.in_turn() {
                let depth = broker.queue_depth(&queue).await.unwrap_or_else(|error| {
                    tracing::debug!(%error, queue = queue.subject(), "a queue's depth is not known");
                    None
                });
                self.note(&queue, clock.now(), depth);
            }
        }
    }

    /// Those that were not looked at for longest.
    fn in_turn(&self) -> Vec<Queue> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.retain(|_, track| track.used.elapsed() < IDLE);
        let mut turns: Vec<_> = queues.iter().map(|(queue, track)| (track.looked, queue)).collect();
        turns.sort_unstable();
        turns
            .into_iter()
            .take(AT_ONCE)
            .map(|(_, queue)| queue.clone())
            .collect()
    }

    fn note(&self, queue: &Queue, by: Timestamp, depth: Option<QueueDepth>) {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(track) = queues.get_mut(queue) {
            track.note(Instant::now(), depth);
            if let Some(depth) = depth {
                track.arrivals.note(by, depth.settled + depth.waiting, depth.settled);
            }
        }
    }
}

impl Track {
    fn new(used: Instant) -> Self {
        Self {
            used,
            looked: None,
            looks: VecDeque::new(),
            arrivals: Arrivals::default(),
        }
    }

    /// Takes note of a look. One without a backlog, or without an answer, ends what was measured: the rate of a queue that
    /// runs empty is that of its arrivals.
    fn note(&mut self, at: Instant, depth: Option<QueueDepth>) {
        let last = self.looks.back().map_or(0, |(_, last)| last.settled);
        self.looked = Some(at);
        match depth {
            Some(depth) if depth.waiting > 0 => {
                // the consumer was made anew and counts from its beginning
                if depth.settled < last {
                    self.looks.clear();
                }
                while self
                    .looks
                    .front()
                    .is_some_and(|(looked, _)| at.duration_since(*looked) > WINDOW)
                {
                    self.looks.pop_front();
                }
                self.looks.push_back((at, depth));
            }
            Some(_) | None => self.looks.clear(),
        }
    }

    fn position(&self, accepted_at: Timestamp, at: Instant, now: Timestamp) -> Option<Position> {
        let (looked, depth) = self.looks.back()?;
        let envelopes_before = self.arrivals.by(accepted_at)?.saturating_sub(depth.settled);
        let start =
            |measured: Measured| now.plus(Duration::from_secs_f64(envelopes_before as f64 / measured.per_second));
        (!is_outdated(*looked, at)).then(|| Position {
            envelopes_before,
            estimated_start: self.measured(SURE, at).map(start),
        })
    }

    /// What was measured, if it was for so long.
    fn measured(&self, least: Duration, now: Instant) -> Option<Measured> {
        let ((began, first), (ended, last)) = (self.looks.front()?, self.looks.back()?);
        let settled = last.settled - first.settled;
        let measured = ended.duration_since(*began);
        if is_outdated(*ended, now) || measured < least || settled < LEAST {
            return None;
        }
        Some(Measured {
            waiting: last.waiting,
            per_second: settled as f64 / measured.as_secs_f64(),
        })
    }
}

fn is_outdated(look: Instant, now: Instant) -> bool {
    now.duration_since(look) > FRESH
}

impl Measured {
    fn room_in(self) -> Duration {
        clamped(self.waiting as f64 * ROOM / self.per_second)
    }

    /// How long what waits takes.
    fn wait(self) -> Duration {
        Duration::from_secs_f64(self.waiting as f64 / self.per_second)
    }

    fn check(self, time_to_live: Duration) -> Result<(), Refusal> {
        let wait = self.wait().as_secs_f64();
        let late = wait - time_to_live.as_secs_f64();
        if late <= 0.0 {
            return Ok(());
        }
        let Self { waiting, per_second } = self;
        let detail = format!(
            "{waiting} envelopes wait before the job and {per_second:.1} a second are worked off: it would begin in {wait:.0} s, \
             after its deadline"
        );
        // by then as much has been worked off as is too much now
        let refusal = Refusal::new(RefusalCode::DeadlineUnmeetable, detail).at("deadline");
        Err(refusal.retry_after(clamped(late)))
    }
}

fn clamped(seconds: f64) -> Duration {
    let (least, most) = RETRY_AFTER;
    Duration::from_secs_f64(seconds.clamp(least.as_secs_f64(), most.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Looked at once a second.
    fn track(depths: &[(u64, u64)]) -> (Track, Instant) {
        let began = Instant::now();
        let mut track = Track::new(began);
        let mut at = began;
        for (waiting, settled) in depths {
            at += SECOND;
            let (waiting, settled) = (*waiting, *settled);
            track.note(at, Some(QueueDepth { waiting, settled }));
        }
        (track, at)
    }

    #[test]
    fn a_deadline_before_the_end_of_the_backlog_is_refused_with_the_figures() {
        let (track, now) = track(&[(130, 0), (120, 10), (110, 20), (100, 30)]);
        let measured = track.measured(SURE, now).unwrap();
        let refusal = measured.check(Duration::from_secs(4)).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::DeadlineUnmeetable);
        assert!(refusal.detail.contains("100 envelopes") && refusal.detail.contains("10.0 a second"));
        assert_eq!(refusal.retry_after, Some(Duration::from_secs(6)));
        assert_eq!(measured.check(Duration::from_secs(11)), Ok(()));
        assert_eq!(measured.wait(), Duration::from_secs(10));
    }

    #[test]
    fn without_a_measured_rate_or_a_lasting_backlog_nothing_is_refused() {
        let cases: [&[(u64, u64)]; 5] = [
            &[],
            // too short
            &[(100, 0), (90, 10), (80, 20)],
            // nobody works: whether anybody will is not known
            &[(100, 0), (100, 0), (100, 0), (100, 0)],
            // it ran empty meanwhile
            &[(100, 0), (50, 50), (0, 100), (10, 110), (10, 120)],
            // the consumer was made anew
            &[(100, 500), (90, 510), (80, 520), (70, 3), (60, 13)],
        ];
        for depths in cases {
            let (track, now) = track(depths);
            assert_eq!(track.measured(SURE, now), None, "{depths:?}");
        }
        let (track, now) = track(&[(130, 0), (120, 10), (110, 20), (100, 30)]);
        assert_eq!(track.measured(SURE, now + 4 * SECOND), None, "outdated");
    }

    #[test]
    fn a_backlog_is_likely_long_before_its_rate_is_sure() {
        let (track, now) = track(&[(100, 0), (90, 10)]);
        assert_eq!(track.measured(SURE, now), None);
        assert_eq!(track.measured(LIKELY, now).unwrap().wait(), 9 * SECOND);
    }

    #[test]
    fn a_rate_is_that_of_the_last_seconds() {
        let depths: Vec<_> = (0..=20).map(|second| (100, 10 * second)).collect();
        let slower: Vec<_> = (1..=11).map(|second| (100, 200 + second)).collect();
        let (track, now) = track(&[depths, slower].concat());
        assert_eq!(track.measured(SURE, now).unwrap().per_second, 1.0);
    }

    #[test]
    fn with_many_queues_each_has_its_turn() {
        let rates = DrainRates::default();
        let queue = |group: usize| Queue {
            model: format!("m{group}").parse().unwrap(),
            version: "1".parse().unwrap(),
            lane: gristmill_schemas::Lane::Interactive,
            group: gristmill_schemas::subject::TenantGroup::all().next().unwrap(),
        };
        for model in 0..2 * AT_ONCE {
            assert_eq!(rates.check(queue(model), SECOND), Ok(Duration::ZERO));
        }
        let mut looked: Vec<Queue> = Vec::new();
        for _ in 0..2 {
            for queue in rates.in_turn() {
                rates.note(&queue, Timestamp::from_millis(0), None);
                looked.push(queue);
            }
        }
        looked.sort_unstable();
        looked.dedup();
        assert_eq!(looked.len(), 2 * AT_ONCE);
    }
}
