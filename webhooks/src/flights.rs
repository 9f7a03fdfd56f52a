//! How many attempts may be in progress where: more for a destination that answers well, one for a destination that does not,
//! so that those who stall hold up nobody but themselves. Pure.

use std::collections::{HashMap, HashSet};

use gristmill_schemas::{TenantId, webhook::DeliveryId};

/// The most attempts at once to one destination.
const DESTINATION: usize = 8;
/// The most of one tenant.
const TENANT: usize = 64;
/// The most of all.
const ALL: usize = 1024;

/// What is sent for whom to where.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Route {
    pub(crate) tenant: TenantId,
    pub(crate) destination: String,
}

#[derive(Debug, Default)]
struct Flight {
    aloft: HashSet<DeliveryId>,
    width: usize,
}

/// The attempts in progress. What has none is not remembered.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    routes: HashMap<Route, Flight>,
    of_tenant: HashMap<TenantId, usize>,
    all: usize,
}

impl Flights {
    /// How many more attempts may begin there now.
    pub(crate) fn room(&self, route: &Route) -> usize {
        let (aloft, width) = self
            .routes
            .get(route)
            .map_or((0, 1), |flight| (flight.aloft.len(), flight.width));
        let of_tenant = self.of_tenant.get(&route.tenant).copied().unwrap_or_default();
        width
            .saturating_sub(aloft)
            .min(TENANT.saturating_sub(of_tenant))
            .min(ALL.saturating_sub(self.all))
    }

    /// How many are in progress there.
    pub(crate) fn aloft(&self, route: &Route) -> usize {
        self.routes.get(route).map_or(0, |flight| flight.aloft.len())
    }

    /// How many are in progress.
    pub(crate) const fn len(&self) -> usize {
        self.all
    }

    /// Notes that an attempt begins; false if one of the same delivery is in progress.
    pub(crate) fn begin(&mut self, route: &Route, id: DeliveryId) -> bool {
        let flight = self.routes.entry(route.clone()).or_default();
        flight.width = flight.width.max(1);
        if !flight.aloft.insert(id) {
            return false;
        }
        *self.of_tenant.entry(route.tenant.clone()).or_default() += 1;
        self.all += 1;
        true
    }

    /// Notes that one is over, and whether the destination answered as it should.
    pub(crate) fn end(&mut self, route: &Route, id: &DeliveryId, went_well: bool) {
        let Some(flight) = self.routes.get_mut(route) else {
            return;
        };
        if !flight.aloft.remove(id) {
            return;
        }
        flight.width = if went_well {
            (flight.width * 2).min(DESTINATION)
        } else {
            1
        };
        self.all -= 1;
        if let Some(of_tenant) = self.of_tenant.get_mut(&route.tenant) {
            *of_tenant -= 1;
            if *of_tenant == 0 {
                self.of_tenant.remove(&route.tenant);
            }
        }
    }

    /// Forgets a destination to which nothing goes.
    pub(crate) fn forget_idle(&mut self, route: &Route) {
        if self.aloft(route) == 0 {
            self.routes.remove(route);
        }
    }
}

#[cfg(test)]
mod tests {
    use gristmill_schemas::webhook::WebhookSource;

    use super::*;

    fn route(tenant: &str, destination: usize) -> Route {
        Route {
            tenant: tenant.parse().unwrap(),
            destination: destination.to_string(),
        }
    }

    fn id(number: u8) -> DeliveryId {
        let job = format!("{number:0>56}").parse().unwrap();
        DeliveryId {
            job,
            source: WebhookSource::Job,
        }
    }

    #[test]
    fn destination_that_answers_gets_more_at_once_and_one_that_fails_gets_one() {
        let (mut flights, route) = (Flights::default(), route("acme", 0));
        for expected in [1, 2, 4, 8, 8] {
            assert_eq!(flights.room(&route), expected);
            assert!(flights.begin(&route, id(1)) && !flights.begin(&route, id(1)));
            flights.end(&route, &id(1), true);
        }
        assert!(flights.begin(&route, id(1)) && flights.begin(&route, id(2)));
        flights.end(&route, &id(1), false);
        assert_eq!(flights.room(&route), 0, "the other one is still in progress");
        flights.end(&route, &id(2), false);
        assert_eq!(flights.room(&route), 1);
        flights.forget_idle(&route);
        assert!(flights.routes.is_empty() && flights.of_tenant.is_empty() && flights.all == 0);
    }

    #[test]
    fn tenant_whose_destinations_all_stall_leaves_room_for_others() {
        let mut flights = Flights::default();
        for destination in 0..TENANT {
            assert!(flights.begin(&route("acme", destination), id(1)));
        }
        assert_eq!(flights.room(&route("acme", TENANT)), 0);
        assert_eq!(flights.room(&route("other", 0)), 1);
    }
}
