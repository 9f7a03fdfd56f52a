//! Making deliveries of what commits have left in the store: of the outbox for jobs that named a webhook, of the events for
//! a tenant's own. To make one twice is harmless.

use std::time::Duration;

use gristmill_broker::{EventRead, NewDelivery, Store, StoreError, WebhookSettings, events::Buckets};
use gristmill_schemas::{
    Cursor, JobEvent, TenantId, Timestamp, WebhookUrl,
    api::JobSummary,
    webhook::{DeliveryId, WebhookMessage, WebhookSource},
};
use tokio::time::Instant;

use crate::metrics;

/// What is read of a bucket at once.
const AT_ONCE: usize = 64;
/// How long one tenant may go on before the others have their turn.
const PART: Duration = Duration::from_secs(1);

/// Makes all deliveries of a tenant that are still to be made, or as many as there is time for.
///
/// # Errors
/// [`StoreError`]; what was made stays made, and the rest is made the next time.
pub(crate) async fn collect(
    store: &Store,
    (tenant, settings): (&TenantId, &WebhookSettings),
    now: Timestamp,
) -> Result<(), StoreError> {
    let started = Instant::now();
    loop {
        let mut is_all = of_outbox(store, tenant, now).await?;
        if let Some(url) = &settings.url {
            is_all &= of_events(store, (tenant, url), now).await?;
        }
        if is_all || started.elapsed() >= PART {
            return Ok(());
        }
    }
}

/// True if there was no more.
async fn of_outbox(store: &Store, tenant: &TenantId, now: Timestamp) -> Result<bool, StoreError> {
    let entries = store.outbox(tenant, AT_ONCE).await?;
    let told = entries.iter().filter_map(|entry| entry.told.as_ref());
    let new: Vec<_> = told
        .map(|(event, at, url)| delivery(event, *at, (WebhookSource::Job, url)))
        .collect();
    store.make_deliveries(tenant, &new, now).await?;
    store.clear_outbox(tenant, &entries).await?;
    Ok(entries.len() < AT_ONCE)
}

/// True if there was no more.
async fn of_events(store: &Store, (tenant, url): (&TenantId, &WebhookUrl), now: Timestamp) -> Result<bool, StoreError> {
    let known = store.webhook_cursor(tenant).await?;
    let mut cursor = match known {
        Some(cursor) => cursor,
        None => store.events_end(tenant).await?,
    };
    let reads = store.events_after(tenant, &cursor, Buckets::ALL, AT_ONCE).await?;
    let mut new = Vec::new();
    for read in &reads {
        let events = pass(tenant, &mut cursor, read);
        new.extend(events.map(|(at, event)| delivery(event, at, (WebhookSource::Tenant, url))));
    }
    store.make_deliveries(tenant, &new, now).await?;
    if known != Some(cursor) {
        store.put_webhook_cursor(tenant, &cursor).await?;
    }
    Ok(reads.iter().all(|read| read.is_all))
}

/// Moves the cursor behind what was read of a bucket, and answers the events of it.
fn pass<'r>(
    tenant: &TenantId,
    cursor: &mut Cursor,
    read: &'r EventRead,
) -> impl Iterator<Item = (Timestamp, &'r JobEvent)> {
    let position = &mut cursor.0[usize::from(read.bucket)];
    if read.window.gap(*position).is_some() {
        tracing::error!(
            %tenant,
            bucket = read.bucket,
            "jobs have ended, and passed their retention, before their webhooks were made: nobody is told of them"
        );
        metrics::gaps().increment(1);
    }
    let last = read.events.last().map(|(last, _)| *last);
    let settled = read.is_all.then_some(read.settled);
    *position = [Some(*position), last, settled]
        .into_iter()
        .flatten()
        .max()
        .unwrap_or_default();
    let events = read.events.iter();
    events.filter_map(|(position, event)| Some((position.at(), event.as_ref()?)))
}

fn delivery(event: &JobEvent, at: Timestamp, (source, url): (WebhookSource, &WebhookUrl)) -> NewDelivery {
    let message = WebhookMessage::of(JobSummary::of(event, at));
    NewDelivery {
        id: DeliveryId { job: event.id, source },
        url: url.clone(),
        body: serde_json::to_string(&message).expect("a message holds no maps with keys other than text"),
    }
}
