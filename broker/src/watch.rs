//! Waiting for outcomes without polling: subscribe to the bucket's hints, read, wait, and read again. A hint that is lost
//! with its connection is made up for by reading after the next one is made.

mod follower;
mod listener;
mod progress;

pub use follower::Follower;
pub use progress::ProgressHints;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use futures_util::FutureExt;
use gristmill_schemas::{JobId, TenantId, key};
use gristmill_telemetry::{fail_points, shutdown::Shutdown};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::{Instant, timeout_at},
};

use self::{follower::Following, listener::Listener, progress::Progressing};
use crate::{
    backoff::Backoff,
    outcomes::Ended,
    store::{Store, StoreError},
};

/// A half-open connection shows no end, so whoever waits looks for himself this often.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// The pause before a lost connection is made again.
const RECONNECT_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(500));
/// Waits for outcomes over one connection of its own. Clones share it.
#[derive(Clone, Debug)]
pub struct Watch {
    store: Store,
    shared: Arc<Shared>,
    wishes: mpsc::UnboundedSender<String>,
}

/// Whom to wake when a job has ended.
type Waiting = HashMap<JobId, Vec<Arc<Waiter>>>;

/// One who waits.
#[derive(Debug, Default)]
struct Waiter {
    /// Holds one call that came when nobody listened.
    woken: Notify,
    /// How the job ended, if a hint has told.
    ended: OnceLock<Ended>,
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    following: Following,
    progressing: Progressing,
    channels: Mutex<Channels>,
    /// Changes whenever the set of confirmed channels does.
    confirmed: watch::Sender<u64>,
    access: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Channels {
    /// Waiters on each channel.
    wanted: HashMap<String, usize>,
    /// Channels that this connection has confirmed.
    confirmed: HashSet<String>,
}

impl Channels {
    /// Counts one waiter in; whether there were others, and whether the channel is listened to.
    fn want(&mut self, channel: &str) -> (bool, bool) {
        let is_confirmed = self.confirmed.contains(channel);
        if let Some(waiters) = self.wanted.get_mut(channel) {
            *waiters += 1;
            return (*waiters > 1, is_confirmed);
        }
        self.wanted.insert(channel.to_owned(), 1);
        (false, is_confirmed)
    }

    /// Counts one waiter out.
    fn forgo(&mut self, channel: &str) {
        if let Some(waiters) = self.wanted.get_mut(channel) {
            *waiters -= 1;
        }
    }
}

impl Shared {
    fn channels(&self) -> MutexGuard<'_, Channels> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, id: &JobId, ended: Option<&Ended>) {
        for waiter in self.waiting().get(id).into_iter().flatten() {
            if let Some(ended) = ended {
                waiter.ended.get_or_init(|| ended.clone());
            }
            waiter.woken.notify_one();
        }
    }

    fn unconfirmed(&self, wishes: impl Iterator<Item = String>) -> Vec<String> {
        let channels = self.channels();
        wishes
            .filter(|wish| channels.wanted.contains_key(wish) && !channels.confirmed.contains(wish))
            .collect()
    }

    fn confirm(&self, channels: &[String]) {
        self.channels().confirmed.extend(channels.iter().cloned());
        self.confirmed.send_modify(|changes| *changes += 1);
    }

    /// The connection is gone, and with it whatever hints came since: everybody reads again once there is a new one.
    fn lost(&self) {
        self.channels().confirmed.clear();
        self.confirmed.send_modify(|changes| *changes += 1);
        self.waiting()
            .values()
            .flatten()
            .for_each(|waiter| waiter.woken.notify_one());
        self.following.tell_all();
        self.progressing.tell_all();
    }
}

impl Watch {
    /// Starts the connection's task.
    #[must_use]
    pub fn start(store: &Store, shutdown: &Shutdown) -> Self {
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            following: Following::default(),
            progressing: Progressing::default(),
            channels: Mutex::default(),
            confirmed: watch::Sender::new(0),
            access: watch::Sender::new(0),
        });
        let (wishes, wished) = mpsc::unbounded_channel();
        let listener = Listener {
            store: store.clone(),
            shared: Arc::clone(&shared),
            wished,
        };
        let told = shutdown.clone();
        shutdown.spawn(async move {
            tokio::select! {
                () = listener.run() => {}
                () = told.requested() => {}
            }
        });
        Self {
            store: store.clone(),
            shared,
            wishes,
        }
    }

    /// Changes whenever an API key was written or revoked or a tenant's settings were, and whenever a hint of that may have been missed.
    #[must_use]
    pub fn access_changed(&self) -> watch::Receiver<u64> {
        self.shared.access.subscribe()
    }

    /// Waits until a job has ended; `None` if the limit passes first.
    ///
    /// # Errors
    /// As [`Expected::ended`].
    pub async fn ended(&self, tenant: &TenantId, id: &JobId, limit: Duration) -> Result<Option<Ended>, StoreError> {
        self.expect_published(tenant, id).ended(limit).await
    }

    /// Begins to wait for the end of a job that may have ended already.
    #[must_use]
    pub fn expect_published(&self, tenant: &TenantId, id: &JobId) -> Expected {
        let mut expected = self.expect(tenant, id);
        expected.may_have_ended = true;
        expected
    }

    /// Begins to wait for the end of a job before it is published: the hint of its end cannot have been before.
    #[must_use]
    pub fn expect(&self, tenant: &TenantId, id: &JobId) -> Expected {
        let channel = key::hints(tenant, id.bucket(key::BUCKETS));
        let waiter = Arc::new(Waiter::default());
        // first this, then the look at the connection: if that is lost in between, it wakes this one too
        self.shared.waiting().entry(*id).or_default().push(Arc::clone(&waiter));
        let is_confirmed = self.want(&channel);
        Expected {
            watch: self.clone(),
            tenant: tenant.clone(),
            id: *id,
            channel,
            waiter,
            may_have_ended: !is_confirmed,
        }
    }

    /// Counts one more in who wants a channel; whether it is listened to already.
    fn want(&self, channel: &str) -> bool {
        let (is_wanted, is_confirmed) = self.shared.channels().want(channel);
        if !is_wanted && !is_confirmed {
            // the task ends only at shutdown, and then waiting ends by its limit
            let _ = self.wishes.send(channel.to_owned());
        }
        is_confirmed
    }

    async fn subscribed(&self, channel: &str) {
        if self.shared.channels().confirmed.contains(channel) {
            return;
        }
        let mut confirmed = self.shared.confirmed.subscribe();
        // an error is impossible: the sender lives as long as we do
        let _ = confirmed
            .wait_for(|_| self.shared.channels().confirmed.contains(channel))
            .await;
    }
}

/// One who waits for the end of a job. Nobody remembers him when he is dropped.
#[derive(Debug)]
pub struct Expected {
    watch: Watch,
    tenant: TenantId,
    /// The job.
    pub id: JobId,
    channel: String,
    waiter: Arc<Waiter>,
    /// Whether there may be an outcome of which no hint will come.
    may_have_ended: bool,
}

impl Expected {
    /// Waits until the job has ended; `None` if the limit passes first. A store that is away for a while is waited for too.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read at the end of the limit, or holds what cannot be read.
    pub async fn ended(&mut self, limit: Duration) -> Result<Option<Ended>, StoreError> {
        let until = Instant::now() + limit;
        let mut backoff = Backoff::new(RECONNECT_PAUSES.0, RECONNECT_PAUSES.1);
        loop {
            if let Some(ended) = self.waiter.ended.get() {
                return Ok(Some(ended.clone()));
            }
            let look_again = until.min(Instant::now() + LOOK_AGAIN);
            let mut too_early = None;
            if fail_points::is_on("bug-read-before-subscribe") {
                too_early = Some(self.read().await);
                tokio::time::sleep(Duration::from_millis(30)).await;
                self.waiter.woken.notified().now_or_never();
            }
            let subscribed = timeout_at(look_again, self.watch.subscribed(&self.channel))
                .await
                .is_ok();
            let read = match too_early {
                Some(read) => read,
                None if subscribed && !self.may_have_ended => Ok(None),
                // no hint is missed from here on, so reading now and waiting then leaves no gap
                None => self.read().await,
            };
            if let Ok(Some(ended)) = read {
                return Ok(Some(ended));
            }
            if self.may_have_ended && Instant::now() >= until {
                return read;
            }
            // whether by a hint or by the clock, the next thing is to look
            self.may_have_ended = true;
            match read {
                Ok(_) if subscribed => drop(timeout_at(look_again, self.waiter.woken.notified()).await),
                Ok(_) => {}
                // a restart of the store is shorter than most waits
                Err(StoreError::Unavailable(_)) => {
                    tokio::time::sleep_until(until.min(Instant::now() + backoff.pause())).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn read(&self) -> Result<Option<Ended>, StoreError> {
        self.watch.store.ended(&self.tenant, &self.id).await
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        let mut waiting = self.watch.shared.waiting();
        if let Some(waiters) = waiting.get_mut(&self.id) {
            waiters.retain(|waiter| !Arc::ptr_eq(waiter, &self.waiter));
            if waiters.is_empty() {
                waiting.remove(&self.id);
            }
        }
        drop(waiting);
        self.watch.shared.channels().forgo(&self.channel);
    }
}
