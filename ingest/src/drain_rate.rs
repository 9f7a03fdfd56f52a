//! How fast the queues that this ingest is asked about are worked off, measured at the broker beside the way of the requests,
//! which deadlines that cannot meet, and what it says of a job's place and of when to come back. A guess is never a reason to refuse: without a measured rate, or without a backlog
//! that lasted as long as it was measured, everything passes.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use gristmill_broker::{Broker, QueueDepth};
use gristmill_schemas::{Refusal, RefusalCode, Timestamp, subject::Queue};
use tokio::time::Instant;

use crate::{arrivals::Arrivals, position::Position};

/// How often each queue is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Looks that a rate is measured over: long enough for a slow model's envelopes, short enough to follow a change.
const WINDOW: usize = 11;
/// Looks and envelopes below which there is no rate yet.
const LEAST: (usize, u64) = (4, 3);
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
    /// How long the backlog before a submission takes, as far as that is known, unless it takes longer than its time to live.
    /// No round trip.
    ///
    /// # Errors
    /// `deadline_unmeetable`.
    pub fn check(&self, queue: Queue, time_to_live: Duration) -> Result<Duration, Refusal> {
        let measured = self.asked(queue, Track::measured);
        measured.map_or(Ok(Duration::ZERO), |measured| measured.check(time_to_live))
    }

    /// When somebody for whom there was no room may come back, if the queue's speed is known.
    pub fn room_in(&self, queue: Queue) -> Option<Duration> {
        self.asked(queue, Track::measured).map(Measured::room_in)
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
            for queue in self.followed() {
                let depth = broker.queue_depth(&queue).await.unwrap_or_else(|error| {
                    tracing::debug!(%error, queue = queue.subject(), "a queue's depth is not known");
                    None
                });
                self.note(&queue, clock.now(), depth);
            }
        }
    }

    fn followed(&self) -> Vec<Queue> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.retain(|_, track| track.used.elapsed() < IDLE);
        queues.keys().cloned().collect()
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
            looks: VecDeque::with_capacity(WINDOW),
            arrivals: Arrivals::default(),
        }
    }

    /// Takes note of a look. One without a backlog, or without an answer, ends what was measured: the rate of a queue that
    /// runs empty is that of its arrivals.
    fn note(&mut self, at: Instant, depth: Option<QueueDepth>) {
        let last = self.looks.back().map_or(0, |(_, last)| last.settled);
        match depth {
            Some(depth) if depth.waiting > 0 => {
                // the consumer was made anew and counts from its beginning
                if depth.settled < last {
                    self.looks.clear();
                }
                if self.looks.len() == WINDOW {
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
            estimated_start: self.measured(at).map(start),
        })
    }

    fn measured(&self, now: Instant) -> Option<Measured> {
        let ((began, first), (ended, last)) = (self.looks.front()?, self.looks.back()?);
        let settled = last.settled - first.settled;
        if is_outdated(*ended, now) || self.looks.len() < LEAST.0 || settled < LEAST.1 {
            return None;
        }
        Some(Measured {
            waiting: last.waiting,
            per_second: settled as f64 / ended.duration_since(*began).as_secs_f64(),
        })
    }
}

fn is_outdated(look: Instant, now: Instant) -> bool {
    now.duration_since(look) > 3 * LOOK
}

impl Measured {
    fn room_in(self) -> Duration {
        clamped(self.waiting as f64 * ROOM / self.per_second)
    }

    fn check(self, time_to_live: Duration) -> Result<Duration, Refusal> {
        let wait = self.waiting as f64 / self.per_second;
        let late = wait - time_to_live.as_secs_f64();
        if late <= 0.0 {
            return Ok(Duration::from_secs_f64(wait));
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

    fn track(depths: &[(u64, u64)]) -> (Track, Instant) {
        let began = Instant::now();
        let mut track = Track::new(began);
        let mut at = began;
        for (waiting, settled) in depths {
            at += LOOK;
            let (waiting, settled) = (*waiting, *settled);
            track.note(at, Some(QueueDepth { waiting, settled }));
        }
        (track, at)
    }

    #[test]
    fn a_deadline_before_the_end_of_the_backlog_is_refused_with_the_figures() {
        let (track, now) = track(&[(130, 0), (120, 10), (110, 20), (100, 30)]);
        let measured = track.measured(now).unwrap();
        let refusal = measured.check(Duration::from_secs(4)).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::DeadlineUnmeetable);
        assert!(refusal.detail.contains("100 envelopes") && refusal.detail.contains("10.0 a second"));
        assert_eq!(refusal.retry_after, Some(Duration::from_secs(6)));
        assert_eq!(measured.check(Duration::from_secs(11)), Ok(Duration::from_secs(10)));
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
            assert_eq!(track.measured(now), None, "{depths:?}");
        }
        let (track, now) = track(&[(130, 0), (120, 10), (110, 20), (100, 30)]);
        assert_eq!(track.measured(now + 4 * LOOK), None, "outdated");
    }
}
