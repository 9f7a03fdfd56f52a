//! The loop around it all: lead, make deliveries, begin attempts, write down what they came to. What is in progress when the
//! process ends is due again for the next one: a message may be sent twice under the same id, and is never lost.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use gristmill_broker::{Attempt, BrokerClock, DeliveryRecord, Lead, Store, StoreError, WebhookSettings};
use gristmill_schemas::{
    Span, TenantId, Timestamp,
    webhook::{DeliveryId, DeliveryState},
};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use crate::{
    WebhookArgs,
    addresses::Addresses,
    collect::collect,
    flights::{Flights, Route},
    metrics,
    schedule::{self, Verdict},
    sender::{Answer, Sender},
};

/// How often it looks for what has ended and what is due.
const INTERVAL: Duration = Duration::from_millis(500);
/// Tenants that are looked after at once.
const AT_ONCE: usize = 16;
/// Destinations of one tenant that are looked at in one round.
const DESTINATIONS: usize = 256;

/// Delivers webhooks.
#[derive(Debug)]
pub struct Deliverer {
    store: Store,
    clock: BrokerClock,
    sender: Sender,
    retries: Arc<[Span]>,
    leads: bool,
    /// Of the tenants, as they were in the last round.
    settings: BTreeMap<TenantId, Arc<WebhookSettings>>,
    flights: Flights,
    landing: JoinSet<Landed>,
    /// What the store did not take yet: until it has, the delivery counts as in progress and is not sent again.
    unnoted: Vec<Ending>,
}

/// An attempt that is over.
#[derive(Debug)]
struct Landed {
    route: Route,
    record: DeliveryRecord,
    answer: Answer,
}

/// What an attempt came to, to be noted.
#[derive(Debug)]
struct Ending {
    route: Route,
    id: DeliveryId,
    state: DeliveryState,
    next: Option<Timestamp>,
    at: Timestamp,
    result: String,
}

impl Deliverer {
    /// Over this store, by this clock.
    #[must_use]
    pub fn new(args: &WebhookArgs, store: Store, clock: BrokerClock) -> Self {
        Self {
            store,
            clock,
            sender: Sender::new(Addresses::new(args.webhook_allow.clone())),
            retries: args.webhook_retries.clone().into(),
            leads: false,
            settings: BTreeMap::new(),
            flights: Flights::default(),
            landing: JoinSet::new(),
            unnoted: Vec::new(),
        }
    }

    /// Goes on until it is dropped.
    pub async fn run(mut self) {
        let lead = Lead::new(&self.store, "webhooks");
        let mut rounds = interval(INTERVAL);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(landed) = self.landing.join_next() => match landed {
                    Ok(landed) => self.land(landed).await,
                    Err(error) => tracing::error!(%error, "an attempt at a webhook has ended without a word"),
                },
                _ = rounds.tick() => {
                    // without it, what is in progress comes to its end and nothing new begins
                    self.leads = lead.take().await.unwrap_or_else(|error| {
                        tracing::debug!(%error, "nobody knows who delivers webhooks");
                        false
                    });
                    self.note_rest().await;
                    if self.leads {
                        self.round().await;
                    }
                }
            }
            metrics::in_flight().set(self.flights.len() as f64);
        }
    }

    async fn round(&mut self) {
        match self.store.webhooks().await {
            Ok(settings) => {
                self.settings = settings
                    .into_iter()
                    .map(|(tenant, own)| (tenant, Arc::new(own)))
                    .collect()
            }
            Err(error) => return tracing::debug!(%error, "webhooks wait for the store"),
        }
        let now = self.clock.now();
        let tenants = self.settings.clone();
        let looked = stream::iter(tenants).map(|(tenant, settings)| {
            let store = self.store.clone();
            async move {
                let due = look(&store, (&tenant, &settings), now).await;
                due.unwrap_or_else(|error| {
                    tracing::debug!(%error, %tenant, "webhooks of a tenant wait for the store");
                    Vec::new()
                })
            }
        });
        let routes: Vec<Vec<Route>> = looked.buffer_unordered(AT_ONCE).collect().await;
        for route in routes.into_iter().flatten() {
            self.begin(&route).await;
        }
    }

    /// Begins what is due at a destination, as far as there is room.
    async fn begin(&mut self, route: &Route) {
        let Some(settings) = self.settings.get(&route.tenant).cloned() else {
            return;
        };
        let room = self.flights.room(route);
        if !self.leads || room == 0 {
            return;
        }
        match self.due(route, room).await {
            Ok(records) => {
                for record in records {
                    self.send(route, record, Arc::clone(&settings));
                }
            }
            Err(error) => tracing::debug!(%error, "webhooks that are due wait for the store"),
        }
    }

    /// At most so many deliveries that are due there and not in progress.
    async fn due(&self, route: &Route, room: usize) -> Result<Vec<DeliveryRecord>, StoreError> {
        let Route { tenant, destination } = route;
        let (store, now) = (&self.store, self.clock.now());
        // those in progress are still due
        let limit = room + self.flights.aloft(route);
        let ids = store.deliveries_due(tenant, destination, now, limit).await?;
        let records = store.delivery_records(tenant, &ids).await?;
        let mut due = Vec::new();
        for (id, record) in ids.into_iter().zip(records) {
            match record {
                Some(record) => due.push(record),
                // what is not kept any more is due no more
                None => {
                    let gone = Attempt {
                        id,
                        destination,
                        state: DeliveryState::Failed,
                        next: None,
                        at: now,
                        result: "",
                    };
                    store.note_attempt(tenant, &gone).await?;
                }
            }
        }
        Ok(due)
    }

    fn send(&mut self, route: &Route, record: DeliveryRecord, settings: Arc<WebhookSettings>) {
        if self.flights.room(route) == 0 || !self.flights.begin(route, record.delivery.id) {
            return;
        }
        let (sender, now, route) = (self.sender.clone(), self.clock.now(), route.clone());
        self.landing.spawn(async move {
            let answer = sender.send(&record, &settings, now).await;
            Landed { route, record, answer }
        });
    }

    async fn land(&mut self, landed: Landed) {
        let Landed { route, record, answer } = landed;
        let delivery = &record.delivery;
        let verdict = schedule::after(&answer, delivery.attempts, &self.retries, fastrand::f64());
        let at = self.clock.now();
        let next = match verdict {
            Verdict::Again(pause) => Some(at.plus(pause)),
            Verdict::Delivered | Verdict::Failed => None,
        };
        metrics::attempts(verdict.state().as_str()).increment(1);
        let ending = Ending {
            route,
            id: delivery.id,
            state: verdict.state(),
            next,
            at,
            result: answer.to_string(),
        };
        self.note(ending).await;
    }

    /// Notes an ending, now or in a later round.
    async fn note(&mut self, ending: Ending) {
        let attempt = Attempt {
            id: ending.id,
            destination: &ending.route.destination,
            state: ending.state,
            next: ending.next,
            at: ending.at,
            result: &ending.result,
        };
        if let Err(error) = self.store.note_attempt(&ending.route.tenant, &attempt).await {
            tracing::warn!(%error, delivery = %ending.id, "what became of a webhook is noted later");
            self.unnoted.push(ending);
            return;
        }
        let (route, went_well) = (ending.route, ending.state == DeliveryState::Delivered);
        self.flights.end(&route, &ending.id, went_well);
        self.begin(&route).await;
        self.flights.forget_idle(&route);
    }

    /// Tries again to note what the store did not take. One that it does not take now is enough to wait for another round.
    async fn note_rest(&mut self) {
        while let Some(ending) = self.unnoted.pop() {
            let before = self.unnoted.len();
            self.note(ending).await;
            if self.unnoted.len() > before {
                return;
            }
        }
    }
}

/// Makes a tenant's deliveries, and answers where anything is due.
async fn look(
    store: &Store,
    (tenant, settings): (&TenantId, &WebhookSettings),
    now: Timestamp,
) -> Result<Vec<Route>, StoreError> {
    collect(store, (tenant, settings), now).await?;
    let destinations = store.destinations_due(tenant, now, DESTINATIONS).await?;
    let route = |destination| Route {
        tenant: tenant.clone(),
        destination,
    };
    Ok(destinations.into_iter().map(route).collect())
}
