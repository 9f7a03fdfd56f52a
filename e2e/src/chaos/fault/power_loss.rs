//! The power of the broker, the store or both is cut under load, at the worst moment: a write has been made, and its fsync
//! has not come back. What was not synced is gone; the server starts again on the rest.

use std::time::Duration;

use futures_util::future::BoxFuture;
use gristmill_servers::{Pair, Signal};
use tokio::time::sleep;

use crate::{
    chaos::{
        cluster::{Cluster, Setup},
        fault::{Fault, Proof, Scene, Strike},
    },
    inject::{Disk, Disks},
    wait,
};

/// Whose power it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Nats,
    Redis,
    Stores,
}

/// The fault.
#[derive(Debug)]
pub(super) struct PowerLoss(Of);

/// How long the power stays away.
const OUTAGE: (Duration, Duration) = (Duration::from_millis(300), Duration::from_millis(1500));
/// How long jobs pile up on the stream before a cut of the broker's power.
const PILE: Duration = Duration::from_millis(500);

impl PowerLoss {
    pub(super) const NATS: Self = Self(Of::Nats);
    pub(super) const REDIS: Self = Self(Of::Redis);
    pub(super) const STORES: Self = Self(Of::Stores);

    fn nats(&self) -> bool {
        self.0 != Of::Redis
    }

    fn redis(&self) -> bool {
        self.0 != Of::Nats
    }

    /// Whether workers stand still before a cut: only then are there jobs that nobody but the broker knows of. With both
    /// stores every other time, as workers that work are what makes Redis write outcomes.
    fn piles_up(&self, round: u32) -> bool {
        match self.0 {
            Of::Nats => true,
            Of::Redis => false,
            Of::Stores => round % 2 == 1,
        }
    }

    fn hit<'d>(&self, disks: &'d Disks) -> impl Iterator<Item = &'d Disk> + Clone {
        let nats = self.nats().then_some(&disks.nats);
        nats.into_iter().chain(self.redis().then_some(&disks.redis))
    }

    /// Waits until a write of each server is in the air.
    async fn until_syncing(&self, disks: &Disks) -> anyhow::Result<()> {
        let hit = self.hit(disks);
        hit.clone().for_each(Disk::hold_syncs);
        wait::until("each server to wait for its disk", || {
            let all = hit.clone().all(|disk| disk.held() > 0);
            async move { Ok(all.then_some(())) }
        })
        .await
    }

    async fn cut(&self, servers: &mut Pair, disks: &Disks) -> anyhow::Result<()> {
        // first the signals: whoever gets no answer any more is not to act on it
        if self.nats() {
            servers.nats.signal(Signal::SIGKILL)?;
        }
        if self.redis() {
            servers.redis.signal(Signal::SIGKILL)?;
        }
        self.hit(disks).for_each(Disk::cut);
        if self.nats() {
            servers.nats.kill().await?;
        }
        if self.redis() {
            servers.redis.kill().await?;
        }
        Ok(())
    }

    async fn restart(&self, servers: &mut Pair) -> anyhow::Result<()> {
        match self.0 {
            Of::Nats => servers.nats.restart().await,
            Of::Redis => servers.redis.restart().await,
            Of::Stores => tokio::try_join!(servers.nats.restart(), servers.redis.restart()).map(drop),
        }
    }
}

impl PowerLoss {
    async fn once(&self, scene: &mut Scene, round: u32) -> anyhow::Result<()> {
        let outage = scene.seed.between(OUTAGE.0, OUTAGE.1);
        let piled_up = self.piles_up(round);
        if piled_up {
            signal_workers(&scene.cluster, Signal::SIGSTOP)?;
            sleep(PILE).await;
        }
        self.until_syncing(scene.cluster.disks()?).await?;
        let cluster = &mut scene.cluster;
        let Some(disks) = &cluster.disks else { return Ok(()) };
        self.cut(&mut cluster.servers, disks).await?;
        if piled_up {
            signal_workers(cluster, Signal::SIGCONT)?;
        }
        sleep(outage).await;
        self.hit(disks).for_each(Disk::power_on);
        self.restart(&mut cluster.servers).await
    }
}

fn signal_workers(cluster: &Cluster, signal: Signal) -> anyhow::Result<()> {
    cluster.workers.iter().try_for_each(|worker| worker.signal(signal))
}

impl Fault for PowerLoss {
    fn name(&self) -> &'static str {
        match self.0 {
            Of::Nats => "power-loss-nats",
            Of::Redis => "power-loss-redis",
            Of::Stores => "power-loss-both-stores",
        }
    }

    fn setup(&self) -> Setup {
        Setup {
            disks: true,
            ..Setup::default()
        }
    }

    fn inject<'s>(&'s self, scene: &'s mut Scene) -> BoxFuture<'s, anyhow::Result<()>> {
        Box::pin(async move {
            for round in 0..scene.rounds() {
                scene.until_round(round).await?;
                scene.injected();
                self.once(scene, round).await?;
            }
            Ok(())
        })
    }

    fn proof<'s>(&'s self, scene: &'s Scene) -> BoxFuture<'s, anyhow::Result<Proof>> {
        Box::pin(async move {
            let disks = scene.cluster.disks()?;
            let (nats, redis) = (disks.nats.harm(), disks.redis.harm());
            Ok(match self.0 {
                Of::Nats => Proof::of([("bytes dropped", nats.bytes_dropped), ("syncs cut", nats.syncs_cut)]),
                Of::Redis => Proof::of([("bytes dropped", redis.bytes_dropped), ("syncs cut", redis.syncs_cut)]),
                Of::Stores => Proof::of([
                    ("bytes dropped of nats", nats.bytes_dropped),
                    ("of redis", redis.bytes_dropped),
                    ("syncs cut", nats.syncs_cut.min(redis.syncs_cut)),
                ]),
            })
        })
    }
}

impl Strike for PowerLoss {
    fn strike<'s>(&'s self, scene: &'s mut Scene) -> BoxFuture<'s, anyhow::Result<()>> {
        Box::pin(async move {
            let round = scene.seed.below(2) as u32;
            self.once(scene, round).await
        })
    }
}
