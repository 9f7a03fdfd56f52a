//! Waiting for outcomes without polling: subscribe to the bucket's hints, read, wait, and read again. A hint that is lost
//! with its connection is made up for by reading after the next one is made.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::StreamExt;
use gristmill_schemas::{JobId, JobState, TenantId, key};
use gristmill_telemetry::{fail_points, shutdown::Shutdown};
use redis::aio::{PubSubSink, PubSubStream};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::Instant,
};

use crate::{
    api_keys,
    backoff::Backoff,
    metrics,
    store::{Store, StoreError},
};

/// A half-open connection shows no end, so whoever waits looks for himself this often.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// The pause before a lost connection is made again.
const RECONNECT_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(500));
/// Channels nobody waits on any more are kept this long, since the next job of their tenant is likely near.
const SWEEP: Duration = Duration::from_secs(60);

/// Bounds one SUBSCRIBE or UNSUBSCRIBE.
const CHANNELS_AT_ONCE: usize = 256;

/// Waits for outcomes over one connection of its own. Clones share it.
#[derive(Clone, Debug)]
pub struct Watch {
    store: Store,
    shared: Arc<Shared>,
    wishes: mpsc::UnboundedSender<String>,
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<HashMap<JobId, (Arc<Notify>, usize)>>,
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

impl Shared {
    fn channels(&self) -> MutexGuard<'_, Channels> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<JobId, (Arc<Notify>, usize)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, id: &JobId) {
        if let Some((notify, _)) = self.waiting().get(id) {
            notify.notify_waiters();
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
        self.waiting().values().for_each(|(notify, _)| notify.notify_waiters());
    }
}

impl Watch {
    /// Starts the connection's task.
    #[must_use]
    pub fn start(store: &Store, shutdown: &Shutdown) -> Self {
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
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

    /// Waits until a job has ended; `None` if the limit passes first. A store that is away for a while is waited for too.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read at the end of the limit, or holds what cannot be read.
    pub async fn settled(
        &self,
        tenant: &TenantId,
        id: &JobId,
        limit: Duration,
    ) -> Result<Option<JobState>, StoreError> {
        let until = Instant::now() + limit;
        let channel = key::hints(tenant, id);
        let waiter = Waiter::register(self, *id, channel.clone());
        let mut backoff = Backoff::new(RECONNECT_PAUSES.0, RECONNECT_PAUSES.1);
        loop {
            let look_again = until.min(Instant::now() + LOOK_AGAIN);
            let mut too_early = None;
            if fail_points::is_on("bug-read-before-subscribe") {
                too_early = Some(self.store.state(tenant, id).await);
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
            let hinted = waiter.notify.notified();
            tokio::pin!(hinted);
            // before the subscription is asked after: if it is lost right after it was found, that wakes too
            hinted.as_mut().enable();
            let subscribed = tokio::time::timeout_at(look_again, self.subscribed(&channel))
                .await
                .is_ok();
            // from here on no hint is missed, so reading now and waiting then leaves no gap
            let read = match too_early {
                Some(read) => read,
                None => self.store.state(tenant, id).await,
            };
            if let Ok(Some(state)) = read {
                return Ok(Some(state));
            }
            if Instant::now() >= until {
                return read;
            }
            match read {
                // whether by a hint or by the clock, the next thing is to look
                Ok(_) if subscribed => drop(tokio::time::timeout_at(look_again, hinted).await),
                Ok(_) => {}
                // a restart of the store is shorter than most waits
                Err(StoreError::Unavailable(_)) => {
                    tokio::time::sleep_until(until.min(Instant::now() + backoff.pause())).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn subscribed(&self, channel: &str) {
        let mut confirmed = self.shared.confirmed.subscribe();
        // an error is impossible: the sender lives as long as we do
        let _ = confirmed
            .wait_for(|_| self.shared.channels().confirmed.contains(channel))
            .await;
    }
}

/// Counts one waiter in, and out when it is dropped.
struct Waiter<'w> {
    watch: &'w Watch,
    id: JobId,
    channel: String,
    notify: Arc<Notify>,
}

impl<'w> Waiter<'w> {
    fn register(watch: &'w Watch, id: JobId, channel: String) -> Self {
        let notify = {
            let mut waiting = watch.shared.waiting();
            let (notify, waiters) = waiting.entry(id).or_default();
            *waiters += 1;
            Arc::clone(notify)
        };
        let known = {
            let mut channels = watch.shared.channels();
            let waiters = channels.wanted.entry(channel.clone()).or_default();
            *waiters += 1;
            *waiters > 1 || channels.confirmed.contains(&channel)
        };
        if !known {
            // the task ends only at shutdown, and then waiting ends by its limit
            let _ = watch.wishes.send(channel.clone());
        }
        Self {
            watch,
            id,
            channel,
            notify,
        }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut waiting = self.watch.shared.waiting();
        if let Some((_, waiters)) = waiting.get_mut(&self.id) {
            *waiters -= 1;
            if *waiters == 0 {
                waiting.remove(&self.id);
            }
        }
        drop(waiting);
        if let Some(waiters) = self.watch.shared.channels().wanted.get_mut(&self.channel) {
            *waiters -= 1;
        }
    }
}

/// The task that owns the connection.
struct Listener {
    store: Store,
    shared: Arc<Shared>,
    wished: mpsc::UnboundedReceiver<String>,
}

impl Listener {
    async fn run(mut self) {
        let fresh = Backoff::new(RECONNECT_PAUSES.0, RECONNECT_PAUSES.1);
        let mut backoff = fresh.clone();
        loop {
            match self.store.subscriber().await {
                Ok(connection) => {
                    backoff = fresh.clone();
                    let (sink, stream) = connection.split();
                    if let Err(error) = self.listen(sink, stream).await {
                        tracing::warn!(%error, "hints of outcomes: connection lost");
                    }
                    metrics::connections_lost("redis").increment(1);
                    self.shared.lost();
                }
                Err(error) => tracing::debug!(%error, "hints of outcomes: no connection"),
            }
            backoff.wait().await;
        }
    }

    /// Subscribes to all that is wanted and passes hints on until the connection ends.
    async fn listen(&mut self, mut sink: PubSubSink, mut hints: PubSubStream) -> redis::RedisResult<()> {
        sink.subscribe(api_keys::CHANGED).await?;
        self.shared.access.send_modify(|changes| *changes += 1);
        let wanted: Vec<String> = self.shared.channels().wanted.keys().cloned().collect();
        for channels in wanted.chunks(CHANNELS_AT_ONCE) {
            self.subscribe(&mut sink, channels).await?;
        }
        let mut sweep = tokio::time::interval(SWEEP);
        let mut wishes = Vec::new();
        loop {
            tokio::select! {
                hint = hints.next() => match hint {
                    Some(hint) => self.pass_on(&hint),
                    None => return Ok(()),
                },
                1.. = self.wished.recv_many(&mut wishes, CHANNELS_AT_ONCE) => {
                    // not again those that the reconnection has seen to, nor those that nobody waits on any more
                    let channels = self.shared.unconfirmed(wishes.drain(..));
                    self.subscribe(&mut sink, &channels).await?;
                }
                _ = sweep.tick() => self.sweep(&mut sink).await?,
            }
        }
    }

    async fn subscribe(&self, sink: &mut PubSubSink, channels: &[String]) -> redis::RedisResult<()> {
        if !channels.is_empty() {
            sink.subscribe(channels).await?;
            self.shared.confirm(channels);
        }
        Ok(())
    }

    fn pass_on(&self, hint: &redis::Msg) {
        if hint.get_channel_name() == api_keys::CHANGED {
            self.shared.access.send_modify(|changes| *changes += 1);
        } else if let Ok(id) = std::str::from_utf8(hint.get_payload_bytes())
            .unwrap_or_default()
            .parse()
        {
            self.shared.wake(&id);
        }
    }

    async fn sweep(&self, sink: &mut PubSubSink) -> redis::RedisResult<()> {
        let idle: Vec<String> = {
            let mut channels = self.shared.channels();
            let idle: Vec<_> = channels
                .wanted
                .extract_if(|_, waiters| *waiters == 0)
                .map(|(channel, _)| channel)
                .collect();
            for channel in &idle {
                channels.confirmed.remove(channel);
            }
            idle
        };
        for channels in idle.chunks(CHANNELS_AT_ONCE) {
            sink.unsubscribe(channels).await?;
        }
        Ok(())
    }
}
