//! What a network does to processes and servers that are all well: it is cut, silent, deaf in one direction, or slow. Each
//! process has proxies of its own, so that some may be hit and others not.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::sleep;

use crate::{
    chaos::{
        cluster::{Cluster, Setup},
        fault::{Fault, Proof, Scene, Strike},
        member::Member,
    },
    inject::{Damage, Proxy, Way, Weather},
};

/// Who is hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Everyone,
    Workers,
    OneIngest,
}

/// On the way to which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum To {
    Broker,
    Store,
}

/// The fault.
#[derive(Debug)]
pub(super) struct Network {
    name: &'static str,
    whose: Whose,
    to: To,
    weather: Weather,
}

/// Beyond a worker's `ack_wait` (3 s here), a call's time-out at the store (4 s) and what a client of the broker takes to
/// notice a silent peer (6 s, sometimes).
const OUTAGE: (Duration, Duration) = (Duration::from_millis(5000), Duration::from_millis(7000));
/// Between two outages.
const REST: Duration = Duration::from_secs(1);

impl Network {
    /// Every kind of weather that the suite has.
    pub(super) fn all() -> [Self; 10] {
        let fault = |name, whose, to, weather| Self {
            name,
            whose,
            to,
            weather,
        };
        let slow = Weather::Slow(Duration::from_millis(50));
        [
            fault("cut-workers-from-nats", Whose::Workers, To::Broker, Weather::Cut),
            fault("cut-ingest-from-nats", Whose::OneIngest, To::Broker, Weather::Cut),
            fault("cut-all-from-redis", Whose::Everyone, To::Store, Weather::Cut),
            fault("half-open-to-nats", Whose::Everyone, To::Broker, Weather::Silent),
            fault("half-open-to-redis", Whose::Everyone, To::Store, Weather::Silent),
            fault(
                "nats-hears-nothing",
                Whose::Everyone,
                To::Broker,
                Weather::Deaf(Way::ToServer),
            ),
            fault(
                "nats-is-not-heard",
                Whose::Everyone,
                To::Broker,
                Weather::Deaf(Way::ToClient),
            ),
            fault(
                "redis-hears-nothing",
                Whose::Everyone,
                To::Store,
                Weather::Deaf(Way::ToServer),
            ),
            fault(
                "redis-is-not-heard",
                Whose::Everyone,
                To::Store,
                Weather::Deaf(Way::ToClient),
            ),
            fault("redis-50-ms-away", Whose::Everyone, To::Store, slow),
        ]
    }

    fn proxies<'c>(&self, cluster: &'c Cluster) -> impl Iterator<Item = &'c Proxy> {
        let (ingests, workers) = match self.whose {
            Whose::Everyone => (&cluster.ingests[..], &cluster.workers[..]),
            Whose::Workers => (&[][..], &cluster.workers[..]),
            Whose::OneIngest => (&cluster.ingests[..1], &[][..]),
        };
        let to = self.to;
        let on_the_way = move |member: &'c Member| {
            let link = member.link.as_ref()?;
            Some(match to {
                To::Broker => &link.broker,
                To::Store => &link.store,
            })
        };
        ingests.iter().chain(workers).filter_map(on_the_way)
    }

    fn set(&self, cluster: &Cluster, weather: Weather) {
        for proxy in self.proxies(cluster) {
            proxy.set(weather);
        }
    }
}

impl Fault for Network {
    fn name(&self) -> &'static str {
        self.name
    }

    fn setup(&self) -> Setup {
        Setup {
            linked: true,
            ..Setup::default()
        }
    }

    fn inject<'s>(&'s self, scene: &'s mut Scene) -> BoxFuture<'s, anyhow::Result<()>> {
        Box::pin(async move {
            for round in 0..scene.rounds() {
                scene.until_round(round).await?;
                scene.injected();
                self.strike(scene).await?;
                // not after the last: recovery is counted from the moment the weather clears
                if round + 1 < scene.rounds() {
                    sleep(REST).await;
                }
            }
            Ok(())
        })
    }

    fn proof<'s>(&'s self, scene: &'s Scene) -> BoxFuture<'s, anyhow::Result<Proof>> {
        Box::pin(async move {
            let damages = self.proxies(&scene.cluster).map(Proxy::damage);
            let damage = damages.fold(Damage::default(), |sum, damage| sum + damage);
            let (cut, dropped) = (
                ("connections cut", damage.connections_cut),
                ("bytes dropped", damage.bytes_dropped),
            );
            Ok(match self.weather {
                Weather::Cut => Proof::of([cut]),
                Weather::Silent | Weather::Deaf(_) => Proof::of([dropped, cut]),
                Weather::Fair | Weather::Slow(_) => Proof::of([("pieces delayed", damage.pieces_delayed)]),
            })
        })
    }
}

impl Strike for Network {
    fn strike<'s>(&'s self, scene: &'s mut Scene) -> BoxFuture<'s, anyhow::Result<()>> {
        Box::pin(async move {
            let outage = scene.seed.between(OUTAGE.0, OUTAGE.1);
            self.set(&scene.cluster, self.weather);
            // the outage itself is the fault: there is nothing to wait for
            sleep(outage).await;
            self.set(&scene.cluster, Weather::Fair);
            Ok(())
        })
    }
}
