//! Following all jobs of a tenant: in which buckets there is news. What the news is, whoever follows reads for himself.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use gristmill_schemas::{TenantId, key};
use tokio::sync::Notify;

use crate::{events::Buckets, watch::Watch};

/// A half-open connection shows no end: at the latest after so long there may be news in any bucket.
const LOOK_AT_ALL: Duration = Duration::from_secs(15);

/// What has come for one who follows a tenant.
#[derive(Debug, Default)]
struct Followed {
    /// The buckets with news.
    news: AtomicU16,
    /// Holds one call that came when nobody listened.
    woken: Notify,
}

impl Followed {
    fn tell(&self, buckets: Buckets) {
        self.news.fetch_or(buckets.bits(), Ordering::AcqRel);
        self.woken.notify_one();
    }
}

type ByChannel = HashMap<String, Vec<(u8, Arc<Followed>)>>;

/// Whom to wake when any job of a bucket has ended, by the bucket's channel.
#[derive(Debug, Default)]
pub(super) struct Following(Mutex<ByChannel>);

impl Following {
    fn lock(&self) -> MutexGuard<'_, ByChannel> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, channel: &str, bucket: u8, followed: &Arc<Followed>) {
        let entry = (bucket, Arc::clone(followed));
        self.lock().entry(channel.to_owned()).or_default().push(entry);
    }

    fn remove(&self, channels: &[String], gone: &Arc<Followed>) {
        let mut following = self.lock();
        for channel in channels {
            if let Some(followers) = following.get_mut(channel) {
                followers.retain(|(_, followed)| !Arc::ptr_eq(followed, gone));
                if followers.is_empty() {
                    following.remove(channel);
                }
            }
        }
    }

    /// Any job of a bucket has ended.
    pub(super) fn tell(&self, channel: &str) {
        for (bucket, followed) in self.lock().get(channel).into_iter().flatten() {
            followed.tell(Buckets::one(*bucket));
        }
    }

    /// Hints may have been missed.
    pub(super) fn tell_all(&self) {
        for (_, followed) in self.lock().values().flatten() {
            followed.tell(Buckets::ALL);
        }
    }
}

impl Watch {
    /// Follows all jobs of a tenant.
    #[must_use]
    pub fn follow(&self, tenant: &TenantId) -> Follower {
        let followed = Arc::new(Followed::default());
        let channels: Vec<String> = (0..key::BUCKETS).map(|bucket| key::hints(tenant, bucket)).collect();
        for (bucket, channel) in (0..).zip(&channels) {
            self.shared.following.add(channel, bucket, &followed);
            self.want(channel);
        }
        Follower {
            watch: self.clone(),
            channels,
            followed,
        }
    }
}

/// One who follows all jobs of a tenant. Nobody remembers him when he is dropped.
#[derive(Debug)]
pub struct Follower {
    watch: Watch,
    channels: Vec<String>,
    followed: Arc<Followed>,
}

impl Follower {
    /// Waits until it is listened to the hints of all buckets: nothing that ends after that goes unheard. A store that is away
    /// is waited for until the limit; whoever looks himself now and then needs no more.
    pub async fn is_listening(&self, limit: Duration) {
        let all = async {
            for channel in &self.channels {
                self.watch.subscribed(channel).await;
            }
        };
        // without it, news come by looking again
        let _ = tokio::time::timeout(limit, all).await;
    }

    /// Waits until jobs have ended, and says in which buckets; after a while it may be in any.
    pub async fn news(&self) -> Buckets {
        let told = tokio::time::timeout(LOOK_AT_ALL, self.followed.woken.notified()).await;
        let news = Buckets::from_bits(self.followed.news.swap(0, Ordering::AcqRel));
        told.map_or(Buckets::ALL, |()| news)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.watch.shared.following.remove(&self.channels, &self.followed);
        let mut channels = self.watch.shared.channels();
        self.channels.iter().for_each(|channel| channels.forgo(channel));
    }
}
