//! The list of a tenant's jobs: those that run, as their workers report, and behind them those that have ended, from the newest to
//! the oldest. Jobs that wait in the stream are in no list: accepting one writes nothing but the job.

use gristmill_broker::events::Place;
use gristmill_schemas::{JobEvent, JobId, Refusal, RunningJob, TenantId, Timestamp};

use crate::{feed::Feeds, filter::Filter, submit::refuse_store};

/// How often the store is asked for one page, and for how much at least each time.
const LOOKS_A_PAGE: usize = 10;
const LEAST_LOOK: usize = 200;

/// Which page of the list.
#[derive(Debug, Clone)]
pub struct PageWish {
    /// Those that are wanted.
    pub filter: Filter,
    /// Which parts of the list.
    pub parts: Parts,
    /// Those behind this place, or from the beginning.
    pub behind: Option<ListPlace>,
    /// None that ended before this moment.
    pub since: Option<Timestamp>,
    /// The most of it.
    pub limit: usize,
}

/// Which parts of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// Those that run, then those that have ended.
    Both,
    /// Those that run.
    Running,
    /// Those that have ended.
    Ended,
}

/// A place in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListPlace {
    /// A job that ran: when it was claimed decides, then its id.
    Running(Timestamp, JobId),
    /// One that has ended.
    Ended(Place),
}

/// Some of the list.
#[derive(Debug, Default)]
pub struct Page {
    /// Those that run.
    pub running: Vec<RunningJob>,
    /// Those that have ended, and where.
    pub ended: Vec<(Place, JobEvent)>,
    /// Where the next page begins: behind this.
    pub next: Option<ListPlace>,
}

impl Feeds {
    /// A page of a tenant's jobs. It may be short, even empty, where few of many are wanted: only so many are looked at.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn page(&self, tenant: &TenantId, wish: &PageWish) -> Result<Page, Refusal> {
        let mut page = Page::default();
        let before = match wish.behind {
            Some(ListPlace::Ended(place)) => Some(place),
            Some(ListPlace::Running(..)) | None => {
                if wish.parts != Parts::Ended {
                    self.add_running(tenant, wish, &mut page).await?;
                }
                None
            }
        };
        if wish.parts != Parts::Running && page.running.len() < wish.limit {
            self.add_ended(tenant, wish, before, &mut page).await?;
        }
        Ok(page)
    }

    async fn add_running(&self, tenant: &TenantId, wish: &PageWish, page: &mut Page) -> Result<(), Refusal> {
        let running = self.store.running(tenant).await.map_err(|error| refuse_store(&error))?;
        let is_behind = |job: &RunningJob| match wish.behind {
            Some(ListPlace::Running(at, id)) => (job.claimed_at, job.id) < (at, id),
            Some(ListPlace::Ended(_)) | None => true,
        };
        let wanted = running.into_iter();
        let mut wanted = wanted
            .filter(|job| is_behind(job) && wish.filter.wants_running(job))
            .peekable();
        while page.running.len() < wish.limit && wanted.peek().is_some() {
            let some: Vec<_> = wanted.by_ref().take(wish.limit - page.running.len()).collect();
            page.running.extend(self.without_ended(tenant, some).await?);
        }
        let is_full = page.running.len() == wish.limit;
        if is_full && (wish.parts == Parts::Both || wanted.peek().is_some()) {
            page.next = page
                .running
                .last()
                .map(|job| ListPlace::Running(job.claimed_at, job.id));
        }
        Ok(())
    }

    /// A report may be older than the end of its job.
    async fn without_ended(&self, tenant: &TenantId, jobs: Vec<RunningJob>) -> Result<Vec<RunningJob>, Refusal> {
        let ids: Vec<_> = jobs.iter().map(|job| (tenant, &job.id)).collect();
        let states = self.store.states(&ids).await;
        let states = states.map_err(|error| refuse_store(&error))?;
        let unended = jobs
            .into_iter()
            .zip(states)
            .filter(|(_, state)| matches!(state, Ok(None)));
        Ok(unended.map(|(job, _)| job).collect())
    }

    async fn add_ended(
        &self,
        tenant: &TenantId,
        wish: &PageWish,
        mut before: Option<Place>,
        page: &mut Page,
    ) -> Result<(), Refusal> {
        let most = wish.limit - page.running.len();
        for _ in 0..LOOKS_A_PAGE {
            let limit = most.max(LEAST_LOOK);
            let found = self.store.events_before(tenant, before, wish.since, limit).await;
            let found = found.map_err(|error| refuse_store(&error))?;
            let is_all = found.len() < limit;
            for (place, event) in found {
                before = Some(place);
                if let Some(event) = event.filter(|event| wish.filter.wants(event)) {
                    page.ended.push((place, event));
                }
                if page.ended.len() == most {
                    page.next = before.map(ListPlace::Ended);
                    return Ok(());
                }
            }
            if is_all {
                return Ok(());
            }
        }
        page.next = before.map(ListPlace::Ended);
        Ok(())
    }
}
