//! About where in its queue a job stands, from its id alone: the id tells the queue and when the job was accepted, the
//! measured queue the rest. An estimate, and nobody depends on it.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use gristmill_broker::BrokerClock;
use gristmill_models::Catalog;
use gristmill_schemas::{
    JobId, Lane, ModelName, TenantId, Timestamp, VersionName,
    subject::{Queue, QueueTag, TenantGroup},
};

use crate::drain_rate::DrainRates;

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// About how many envelopes are before the job's own.
    pub envelopes_before: u64,
    /// About when a worker begins it, if the queue's speed is known.
    pub estimated_start: Option<Timestamp>,
}

/// A queue but for the tenant group.
type Served = (ModelName, VersionName, Lane);

/// Knows where jobs stand. Clones are the same.
#[derive(Debug, Clone)]
pub struct Positions {
    /// By tag; `None` where two queues have the same one.
    served: Arc<HashMap<QueueTag, Option<Served>>>,
    rates: DrainRates,
    clock: BrokerClock,
}

impl Positions {
    /// Of the queues of these models.
    #[must_use]
    pub fn new(catalog: &Catalog, rates: DrainRates, clock: BrokerClock) -> Self {
        let mut served = HashMap::new();
        for version in catalog.versions() {
            let (model, version) = (&version.manifest.name, &version.manifest.version);
            for lane in Lane::ALL {
                match served.entry(QueueTag::of(model, version, lane)) {
                    Entry::Vacant(entry) => drop(entry.insert(Some((model.clone(), version.clone(), lane)))),
                    Entry::Occupied(mut entry) => drop(entry.insert(None)),
                }
            }
        }
        Self {
            served: Arc::new(served),
            rates,
            clock,
        }
    }

    /// Where a job that has no outcome stands; `None` while its queue is not known here.
    #[must_use]
    pub fn of(&self, tenant: &TenantId, id: &JobId) -> Option<Position> {
        let (model, version, lane) = self.served.get(&id.queue_tag())?.clone()?;
        let group = TenantGroup::of(tenant);
        let queue = Queue {
            model,
            version,
            lane,
            group,
        };
        self.rates.position(queue, id.accepted_at(), self.clock.now())
    }
}
