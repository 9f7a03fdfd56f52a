//! The ends of a tenant's jobs as they come, from a cursor on: none is left out and none told twice, however often whoever
//! listens goes away and comes back with the cursor of the last one it had.
//!
//! What is read comes from the store's streams; hints only say when to look.

use std::{collections::VecDeque, time::Duration};

use gristmill_broker::{
    Ended, EventRead, Follower, Store, StoreError, Watch,
    events::{Buckets, Place},
};
use gristmill_schemas::{Cursor, JobEvent, Position, Refusal, TenantId, Timestamp, key::BUCKETS};
use gristmill_telemetry::Shutdown;
use tokio::time::Instant;

use crate::{filter::Filter, submit::refuse_store};

/// Without an event, where the reading has got to is told this often: so that nobody in between thinks the connection dead, and
/// so that the cursor of a client that hears nothing does not grow too old.
const TELL_POSITION: Duration = Duration::from_secs(15);
/// Events of one bucket read at once: of all buckets some 8 MiB, if each has the longest labels that a job may have.
const AT_ONCE: usize = 16;
/// Outcomes read at once, each up to the size of a job's outputs.
const OUTCOMES_AT_ONCE: usize = 8;
/// The least time between two looks: what comes meanwhile is read together.
const LOOK_PAUSE: Duration = Duration::from_millis(10);
/// The pause before a store that is away is asked again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// How long the hints are waited for before the first look.
const LISTENING_LIMIT: Duration = Duration::from_secs(2);

/// Where a reader begins.
#[derive(Debug, Clone)]
pub enum Begin {
    /// With what comes from now on.
    Now,
    /// With what came since a moment, as far as it is kept.
    Since(Timestamp),
    /// Where an earlier reader stopped.
    After(Box<Cursor>),
}

/// What a reader is told.
#[derive(Debug, Clone)]
pub enum Told {
    /// A job has ended.
    Ended {
        /// Which, and how.
        event: JobEvent,
        /// When, by the store's clock.
        at: Timestamp,
        /// The outcome, if it was asked for and is still kept.
        outcome: Option<Ended>,
    },
    /// Events before this may be gone: what follows is all that is kept.
    Reset,
    /// Nothing has come.
    Nothing,
}

/// Opens feeds, and makes lists ([`crate::list`]). Clones are the same.
#[derive(Debug, Clone)]
pub struct Feeds {
    /// Where the events are.
    pub store: Store,
    /// Hints at new ones.
    pub watch: Watch,
    /// When to let everybody go.
    pub shutdown: Shutdown,
}

impl Feeds {
    /// Opens a feed.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn open(&self, tenant: &TenantId, begin: Begin, filter: Filter, outcomes: bool) -> Result<Feed, Refusal> {
        let follower = self.watch.follow(tenant);
        follower.is_listening(LISTENING_LIMIT).await;
        // of the past only what is kept is asked for, so that nothing is missed by its being gone
        let tells_gaps = matches!(begin, Begin::After(_));
        let cursor = match begin {
            Begin::Now => self
                .store
                .events_end(tenant)
                .await
                .map_err(|error| refuse_store(&error))?,
            Begin::Since(moment) => Cursor([Position::before(moment.as_millis()); BUCKETS as usize]),
            Begin::After(cursor) => *cursor,
        };
        Ok(Feed {
            feeds: self.clone(),
            tenant: tenant.clone(),
            filter,
            outcomes,
            follower,
            cursor,
            tells_gaps,
            unread: Buckets::ALL,
            read: VecDeque::new(),
            ready: VecDeque::new(),
            told_at: None,
            looked_at: None,
        })
    }
}

/// One who reads a tenant's events.
#[derive(Debug)]
pub struct Feed {
    feeds: Feeds,
    tenant: TenantId,
    filter: Filter,
    outcomes: bool,
    follower: Follower,
    cursor: Cursor,
    tells_gaps: bool,
    unread: Buckets,
    /// What was read and not told, in the order in which it is told.
    read: VecDeque<Step>,
    /// The next of it, with their outcomes.
    ready: VecDeque<(Told, Place)>,
    told_at: Option<Instant>,
    looked_at: Option<Instant>,
}

/// What a read has brought.
#[derive(Debug)]
enum Step {
    Event(Place, JobEvent),
    /// Everything up to here is told or not wanted.
    Passed(Place),
    Reset(Vec<Place>),
}

impl Feed {
    /// The next thing to tell, and the cursor of whoever has it; `None` when the server ends.
    pub async fn next(&mut self) -> Option<(Told, Cursor)> {
        let told = loop {
            if self.feeds.shutdown.is_requested() {
                return None;
            }
            if let Some((told, place)) = self.ready.pop_front() {
                self.pass(place);
                break told;
            }
            if let Some(told) = self.advance().await {
                break told;
            }
            if self.read.is_empty() {
                if self.told_at.is_none_or(|told| told.elapsed() >= TELL_POSITION) {
                    break Told::Nothing;
                }
                let shutdown = self.feeds.shutdown.clone();
                tokio::select! {
                    () = self.look() => {}
                    () = shutdown.requested() => return None,
                }
            }
        };
        self.told_at = Some(Instant::now());
        Some((told, self.cursor))
    }

    fn pass(&mut self, place: Place) {
        let position = &mut self.cursor.0[usize::from(place.bucket)];
        *position = place.position.max(*position);
    }

    /// Goes through what was read, up to the next thing to tell.
    async fn advance(&mut self) -> Option<Told> {
        loop {
            match self.read.pop_front()? {
                Step::Passed(place) => self.pass(place),
                Step::Reset(places) => {
                    places.into_iter().for_each(|place| self.pass(place));
                    return Some(Told::Reset);
                }
                Step::Event(place, event) if !self.outcomes => {
                    self.pass(place);
                    return Some(ended(event, place, None));
                }
                Step::Event(place, event) => {
                    self.with_outcomes(place, event).await;
                    return None;
                }
            }
        }
    }

    /// Makes this event and those right behind it ready.
    async fn with_outcomes(&mut self, place: Place, event: JobEvent) {
        let mut events = vec![(place, event)];
        while events.len() < OUTCOMES_AT_ONCE
            && let Some(Step::Event(..)) = self.read.front()
            && let Some(Step::Event(place, event)) = self.read.pop_front()
        {
            events.push((place, event));
        }
        let ids: Vec<_> = events.iter().map(|(_, event)| event.id).collect();
        let outcomes = match self.feeds.store.ended_all(&self.tenant, &ids).await {
            Ok(outcomes) => outcomes,
            Err(StoreError::Unreadable(_)) => vec![None; ids.len()],
            Err(error) => {
                let again = events.into_iter().rev();
                again.for_each(|(place, event)| self.read.push_front(Step::Event(place, event)));
                return wait_for_store(&error).await;
            }
        };
        let ready = events.into_iter().zip(outcomes);
        self.ready
            .extend(ready.map(|((place, event), outcome)| (ended(event, place, outcome), place)));
    }

    /// Looks for more, at once if there is some, or else when there is news. Dropped midway, it has lost nothing.
    async fn look(&mut self) {
        let next = self.told_at.map_or_else(Instant::now, |told| told + TELL_POSITION);
        if self.unread == Buckets::NONE {
            match tokio::time::timeout_at(next, self.follower.news()).await {
                Ok(news) => self.unread = news,
                Err(_) => return,
            }
            if let Some(looked) = self.looked_at {
                tokio::time::sleep_until(looked + LOOK_PAUSE).await;
            }
        }
        self.looked_at = Some(Instant::now());
        let store = &self.feeds.store;
        match store
            .events_after(&self.tenant, &self.cursor, self.unread, AT_ONCE)
            .await
        {
            Ok(reads) => self.take(reads),
            Err(error) => wait_for_store(&error).await,
        }
    }

    fn take(&mut self, reads: Vec<EventRead>) {
        self.unread = Buckets::NONE;
        let (mut gaps, mut events, mut settled) = (Vec::new(), Vec::new(), Vec::new());
        for read in reads {
            let bucket = read.bucket;
            let gap = read.window.gap(self.cursor.0[usize::from(bucket)]);
            gaps.extend(gap.map(|position| Place { position, bucket }));
            let kept = read
                .events
                .into_iter()
                .filter(|(position, _)| gap.is_none_or(|gap| *position > gap));
            events.extend(kept.map(|(position, event)| (Place { position, bucket }, event)));
            if read.is_all {
                let position = read.settled;
                settled.push(Step::Passed(Place { position, bucket }));
            } else {
                self.unread = self.unread.or(Buckets::one(bucket));
            }
        }
        if !gaps.is_empty() && self.tells_gaps {
            self.read.push_back(Step::Reset(gaps));
        } else {
            self.read.extend(gaps.into_iter().map(Step::Passed));
        }
        self.tells_gaps = true;
        events.sort_unstable_by_key(|(place, _)| *place);
        let step = |(place, event): (Place, Option<JobEvent>)| match event.filter(|event| self.filter.wants(event)) {
            Some(event) => Step::Event(place, event),
            None => Step::Passed(place),
        };
        self.read.extend(events.into_iter().map(step));
        self.read.extend(settled);
    }
}

async fn wait_for_store(error: &StoreError) {
    tracing::debug!(%error, "a feed waits for the store");
    tokio::time::sleep(RETRY_PAUSE).await;
}

fn ended(event: JobEvent, place: Place, outcome: Option<Ended>) -> Told {
    Told::Ended {
        event,
        at: place.position.at(),
        outcome,
    }
}
