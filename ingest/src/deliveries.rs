//! Deliveries of webhooks as their tenant may ask: listing, reading, sending again. Sending is `gristmill_webhooks`'s.

use std::sync::Arc;

use gristmill_broker::{BrokerClock, Store, deliveries::Place};
use gristmill_schemas::{
    JobIdKeys, Refusal, RefusalCode, TenantId,
    webhook::{Delivery, DeliveryId, DeliveryState},
};

use crate::submit::refuse_store;

/// Reads deliveries and makes them due. Clones are the same.
#[derive(Debug, Clone)]
pub struct Deliveries {
    /// Where they are.
    pub store: Store,
    /// What due times count by.
    pub clock: BrokerClock,
    /// What signed the ids of the jobs.
    pub keys: Arc<JobIdKeys>,
}

impl Deliveries {
    /// At most `limit` deliveries in these states behind a place, and the place where the next page begins.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn page(
        &self,
        tenant: &TenantId,
        states: &[DeliveryState],
        (after, limit): (Option<Place>, usize),
    ) -> Result<(Vec<Delivery>, Option<Place>), Refusal> {
        let refuse = |error| refuse_store(&error);
        let places = self.store.delivery_places(tenant, states, after, limit).await;
        let places = places.map_err(refuse)?;
        let next = (places.len() == limit).then(|| places.last().copied()).flatten();
        let ids: Vec<DeliveryId> = places.iter().map(|place| place.id).collect();
        let records = self.store.delivery_records(tenant, &ids).await.map_err(refuse)?;
        let deliveries = records.into_iter().flatten().map(|record| record.delivery);
        Ok((deliveries.collect(), next))
    }

    /// One delivery.
    ///
    /// # Errors
    /// `delivery_not_found`, `store_unavailable`.
    pub async fn read(&self, tenant: &TenantId, id: &DeliveryId) -> Result<Delivery, Refusal> {
        self.keys.verify(&id.job, tenant).map_err(|_| not_found())?;
        let records = self.store.delivery_records(tenant, &[*id]).await;
        let mut records = records.map_err(|error| refuse_store(&error))?;
        let record = records.pop().flatten().ok_or_else(not_found)?;
        Ok(record.delivery)
    }

    /// Makes one due at once, with all its attempts before it, and answers how it stands then.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn redeliver(&self, tenant: &TenantId, id: &DeliveryId) -> Result<Delivery, Refusal> {
        let delivery = self.read(tenant, id).await?;
        let made = self.store.redeliver(tenant, &delivery, self.clock.now()).await;
        match made.map_err(|error| refuse_store(&error))? {
            true => self.read(tenant, id).await,
            false => Err(not_found()),
        }
    }
}

/// What an id means that is no delivery's, or another tenant's.
pub(crate) fn not_found() -> Refusal {
    Refusal::new(
        RefusalCode::DeliveryNotFound,
        "there is no such delivery, or it is past its retention",
    )
}
