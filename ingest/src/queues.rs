//! What of a tenant's waits, and where: counts for people and for those who decide how many workers there should be.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use gristmill_broker::{Broker, Store, api_keys::Grant};
use gristmill_models::Catalog;
use gristmill_schemas::{
    Lane, Refusal, RefusalCode, TenantId,
    api::{QueueView, Queues as View},
    subject::{Queue, TenantGroup},
};

use crate::submit::refuse_store;

/// Queues that the broker is asked about at once.
const AT_ONCE: usize = 16;

/// Counts what waits. Clones are the same.
#[derive(Debug, Clone)]
pub struct Queues {
    /// Where envelopes wait.
    pub broker: Broker,
    /// Where a tenant's jobs are counted.
    pub store: Store,
    /// The models that have queues.
    pub catalog: Arc<Catalog>,
}

impl Queues {
    /// The tenant's jobs without an end, and the depth of each queue that its jobs wait in.
    ///
    /// # Errors
    /// `store_unavailable`, `broker_unavailable`.
    pub async fn view(&self, tenant: &TenantId, grant: &Grant) -> Result<View, Refusal> {
        let queued = self.store.queued(tenant, self.broker.clock().now()).await;
        let group = TenantGroup::of(tenant);
        let versions = self.catalog.versions().map(|version| &version.manifest);
        let versions = versions.filter(|manifest| grant.covers(&manifest.name));
        let queues = versions.flat_map(|manifest| {
            Lane::ALL.map(|lane| Queue {
                model: manifest.name.clone(),
                version: manifest.version.clone(),
                lane,
                group,
            })
        });
        let queues: Vec<Queue> = queues.collect();
        let depths = stream::iter(queues).map(async |queue| self.depth(queue).await);
        Ok(View {
            jobs: queued.map_err(|error| refuse_store(&error))?,
            queues: depths.buffered(AT_ONCE).try_collect().await?,
        })
    }

    async fn depth(&self, queue: Queue) -> Result<QueueView, Refusal> {
        let depth = self.broker.queue_depth(&queue).await.map_err(|error| {
            tracing::debug!(%error, queue = queue.subject(), "a queue's depth is not known");
            Refusal::new(RefusalCode::BrokerUnavailable, "the queues cannot be counted")
        })?;
        Ok(QueueView {
            model: queue.model,
            version: queue.version,
            lane: queue.lane,
            envelopes: depth.map(|depth| depth.waiting),
        })
    }
}
