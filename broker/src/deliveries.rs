//! Deliveries of webhooks in the store: what is due where, what each came to, and the lists of them. When to try again is
//! decided elsewhere.

use std::time::Duration;

use gristmill_schemas::{
    TenantId, Timestamp, WebhookUrl,
    key::{BUCKETS, outbox, webhooks as key},
    webhook::{Delivery, DeliveryId, DeliveryState},
};
use redis::{Cmd, FromRedisValue, Pipeline, RedisError, Value};

use crate::{
    script::{self, Script},
    store::{Store, StoreError, translate},
};

/// How long one is kept that is still to be tried: much longer than any schedule goes on.
const KEPT_PENDING: Duration = Duration::from_secs(14 * 24 * 3600);
/// How long one is kept after it is over.
const KEPT_OVER: Duration = Duration::from_secs(3 * 24 * 3600);
/// What may be made in the same millisecond, and be read twice for it.
const TIES: usize = 64;

/// A delivery that is to be made.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// Its id: made again, it is the one that is there.
    pub id: DeliveryId,
    /// Where it goes.
    pub url: WebhookUrl,
    /// What is sent, the same at each attempt.
    pub body: String,
}

/// A delivery with what it sends.
#[derive(Debug, Clone)]
pub struct DeliveryRecord {
    /// As its owner sees it.
    pub delivery: Delivery,
    /// What is sent.
    pub body: String,
}

/// What an attempt came to.
#[derive(Debug, Clone)]
pub struct Attempt<'a> {
    /// Of which delivery.
    pub id: DeliveryId,
    /// Where it went ([`WebhookUrl::destination`]).
    pub destination: &'a str,
    /// Where the delivery stands now.
    pub state: DeliveryState,
    /// When it is due again, if it is pending.
    pub next: Option<Timestamp>,
    /// When it ended.
    pub at: Timestamp,
    /// In a few words.
    pub result: &'a str,
}

/// A place in the list of a tenant's deliveries, which goes from the newest to the oldest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// When it was made, Unix milliseconds.
    pub created_at: u64,
    /// The delivery decides among equal times.
    pub id: DeliveryId,
}

impl Store {
    /// Makes deliveries that are due at once.
    ///
    /// # Errors
    /// [`StoreError`]; to make them again is harmless.
    pub async fn make_deliveries(
        &self,
        tenant: &TenantId,
        new: &[NewDelivery],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let command = |new: &NewDelivery| {
            let destination = new.url.destination();
            let mut command = with_lists(&script::DELIVER, tenant, (&new.id, &destination));
            command.arg(new.id.to_string()).arg(new.url.to_string());
            command.arg(destination).arg(&new.body);
            command.arg(now.as_millis()).arg(KEPT_PENDING.as_millis() as u64);
            command
        };
        self.each(new.iter().map(command).collect()).await.map(drop)
    }

    /// Destinations for which something is due, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn destinations_due(
        &self,
        tenant: &TenantId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        self.command(&due(key::destinations(tenant), now, limit)).await
    }

    /// What is due for one destination, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn deliveries_due(
        &self,
        tenant: &TenantId,
        destination: &str,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<DeliveryId>, StoreError> {
        let due: Vec<String> = self.command(&due(key::due(tenant, destination), now, limit)).await?;
        Ok(due.iter().filter_map(|id| id.parse().ok()).collect())
    }

    /// Deliveries by their ids, in that order; `None` for what is not kept any more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delivery_records(
        &self,
        tenant: &TenantId,
        ids: &[DeliveryId],
    ) -> Result<Vec<Option<DeliveryRecord>>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = Pipeline::with_capacity(ids.len());
        for id in ids {
            pipeline.cmd("HMGET").arg(key::delivery(tenant, id)).arg(&FIELDS[..]);
        }
        let rows: Vec<Row> = self.query(&pipeline).await?;
        Ok(ids.iter().zip(rows).map(|(id, row)| record(*id, row)).collect())
    }

    /// Writes down what an attempt came to.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn note_attempt(&self, tenant: &TenantId, attempt: &Attempt<'_>) -> Result<(), StoreError> {
        let mut command = script::ATTEMPTED.call(5);
        command
            .arg(key::delivery(tenant, &attempt.id))
            .arg(key::due(tenant, attempt.destination))
            .arg(key::destinations(tenant))
            .arg(key::deliveries(tenant, DeliveryState::Pending))
            .arg(key::deliveries(tenant, attempt.state));
        command.arg(attempt.id.to_string()).arg(attempt.destination);
        command.arg(attempt.state.as_str());
        command.arg(attempt.next.map(|at| at.as_millis().to_string()).unwrap_or_default());
        command.arg(attempt.at.as_millis()).arg(attempt.result);
        command.arg(KEPT_OVER.as_millis() as u64);
        self.each(vec![command]).await.map(drop)
    }

    /// Makes a delivery due at once, whatever became of it. False if it is not kept any more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn redeliver(&self, tenant: &TenantId, delivery: &Delivery, now: Timestamp) -> Result<bool, StoreError> {
        let destination = delivery.url.destination();
        let mut command = with_lists(&script::REDELIVER, tenant, (&delivery.id, &destination));
        command.arg(delivery.id.to_string()).arg(destination);
        command.arg(now.as_millis()).arg(KEPT_PENDING.as_millis() as u64);
        let done = self.each(vec![command]).await?;
        Ok(done.first() == Some(&1))
    }

    /// At most `limit` places of deliveries in these states behind a place, or the newest.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delivery_places(
        &self,
        tenant: &TenantId,
        states: &[DeliveryState],
        after: Option<Place>,
        limit: usize,
    ) -> Result<Vec<Place>, StoreError> {
        let mut pipeline = Pipeline::with_capacity(states.len());
        for &state in states {
            let from = after.map_or_else(|| "+inf".to_owned(), |place| place.created_at.to_string());
            let range = pipeline.cmd("ZREVRANGEBYSCORE").arg(key::deliveries(tenant, state));
            range.arg(from).arg("-inf").arg("WITHSCORES");
            range.arg("LIMIT").arg(0).arg(limit + TIES);
        }
        let lists: Vec<Vec<(String, f64)>> = self.query(&pipeline).await?;
        let places = lists.into_iter().flatten().filter_map(|(id, created_at)| {
            Some(Place {
                created_at: created_at as u64,
                id: id.parse().ok()?,
            })
        });
        let mut places: Vec<Place> = places
            .filter(|place| after.is_none_or(|after| *place < after))
            .collect();
        places.sort_unstable_by(|one, other| other.cmp(one));
        places.truncate(limit);
        Ok(places)
    }

    /// Forgets what a tenant's deliveries were to be sent; records of them pass with time.
    pub(crate) async fn forget_deliveries(&self, tenant: &TenantId) -> Result<(), StoreError> {
        let mut command = redis::cmd("ZRANGE");
        command.arg(key::destinations(tenant)).arg(0).arg(-1);
        let destinations: Vec<String> = self.command(&command).await?;
        let mut forget = redis::cmd("UNLINK");
        forget.arg(key::destinations(tenant)).arg(key::cursor(tenant));
        for destination in &destinations {
            forget.arg(key::due(tenant, destination));
        }
        for &state in DeliveryState::ALL {
            forget.arg(key::deliveries(tenant, state));
        }
        self.command::<u64>(&forget).await?;
        // each of these has a slot of its own
        let mut outboxes = Pipeline::with_capacity(usize::from(BUCKETS));
        for bucket in 0..BUCKETS {
            outboxes.cmd("UNLINK").arg(outbox(tenant, bucket)).ignore();
        }
        self.query(&outboxes).await
    }

    async fn each(&self, commands: Vec<Cmd>) -> Result<Vec<u64>, StoreError> {
        let read = |answer: Result<Value, RedisError>| {
            let number = answer.and_then(|value| u64::from_redis_value(value).map_err(RedisError::from));
            number.map_err(|error| translate(&error))
        };
        self.run(commands).await?.into_iter().map(read).collect()
    }
}

/// A call of a script that moves a delivery between all lists.
fn with_lists(script: &Script, tenant: &TenantId, (id, destination): (&DeliveryId, &str)) -> Cmd {
    let mut command = script.call(6);
    command
        .arg(key::delivery(tenant, id))
        .arg(key::due(tenant, destination))
        .arg(key::destinations(tenant));
    for state in [DeliveryState::Pending, DeliveryState::Delivered, DeliveryState::Failed] {
        command.arg(key::deliveries(tenant, state));
    }
    command
}

fn due(key: String, now: Timestamp, limit: usize) -> Cmd {
    let mut command = redis::cmd("ZRANGEBYSCORE");
    command.arg(key).arg("-inf").arg(now.as_millis());
    command.arg("LIMIT").arg(0).arg(limit);
    command
}

const FIELDS: [&str; 8] = [
    "url",
    "state",
    "created_at",
    "attempts",
    "next_at",
    "last_at",
    "last_result",
    "body",
];

type Row = (
    Option<String>,
    Option<String>,
    Option<u64>,
    Option<u32>,
    Option<u64>,
    Option<u64>,
    Option<String>,
    Option<String>,
);

fn record(id: DeliveryId, row: Row) -> Option<DeliveryRecord> {
    let (url, state, created_at, attempts, next_at, last_at, last_result, body) = row;
    let delivery = Delivery {
        id,
        job_id: id.job,
        source: id.source,
        url: url?.parse().ok()?,
        state: state?.parse().ok()?,
        created_at: Timestamp::from_millis(created_at?),
        attempts: attempts.unwrap_or_default(),
        next_attempt_at: next_at.map(Timestamp::from_millis),
        last_attempt_at: last_at.map(Timestamp::from_millis),
        last_result,
    };
    Some(DeliveryRecord { delivery, body: body? })
}
