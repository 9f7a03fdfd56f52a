//! The disk of the broker or of the store is full under load; then there is room again. A server that has ended or is not
//! healthy then is started again, as a supervisor would: neither of the two recovers by itself.

use std::time::Duration;

use futures_util::future::BoxFuture;
use gristmill_servers::{Recipe, Server};
use tokio::time::{sleep, timeout};

use crate::{
    chaos::{
        cluster::{Cluster, Setup},
        fault::{Fault, Proof, Scene},
    },
    inject::Disk,
    wait,
};

/// Whose disk it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Nats,
    Redis,
}

/// The fault.
#[derive(Debug)]
pub(super) struct FullDisk(Of);

/// How long it stays full after the first write that found no room: beyond an ingest's `--publish-timeout` (8 s), so that
/// clients are told.
const OUTAGE: (Duration, Duration) = (Duration::from_millis(9000), Duration::from_millis(11000));
/// An ack that found no room is kept by the consumer and not by the stream: its envelope is never delivered again, and stays
/// until its deadline, when an ingest sees that its jobs have ended.
const DEADLINE: [&str; 2] = ["--default-deadline", "45s"];
/// How many KiB are left when the round begins, at most.
const SPARE: u64 = 64;
/// A server that serves answers within this.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

impl FullDisk {
    pub(super) const NATS: Self = Self(Of::Nats);
    pub(super) const REDIS: Self = Self(Of::Redis);

    fn disk<'c>(&self, cluster: &'c Cluster) -> anyhow::Result<&'c Disk> {
        let disks = cluster.disks()?;
        Ok(match self.0 {
            Of::Nats => &disks.nats,
            Of::Redis => &disks.redis,
        })
    }

    async fn until_refused(&self, cluster: &Cluster) -> anyhow::Result<()> {
        let disk = self.disk(cluster)?;
        let before = disk.harm().writes_refused;
        wait::until("a write to find no room", || async move {
            Ok((disk.harm().writes_refused > before).then_some(()))
        })
        .await
    }

    /// Starts it again if it does not serve, and says whether it did.
    async fn supervise(&self, cluster: &mut Cluster) -> anyhow::Result<bool> {
        match self.0 {
            Of::Nats => supervise(&mut cluster.servers.nats).await,
            Of::Redis => supervise(&mut cluster.servers.redis).await,
        }
    }
}

/// What a supervisor does: `/healthz` of a nats-server that met a full disk stays 503, and redis-server has ended.
async fn supervise<R: Recipe>(server: &mut Server<R>) -> anyhow::Result<bool> {
    let answer = timeout(ANSWER_LIMIT, server.options().is_ready(server.pid())).await;
    let ill = !matches!(answer, Ok(Ok(true)));
    if ill {
        server.restart().await?;
    }
    Ok(ill)
}

impl Fault for FullDisk {
    fn name(&self) -> &'static str {
        match self.0 {
            Of::Nats => "full-disk-nats",
            Of::Redis => "full-disk-redis",
        }
    }

    fn setup(&self) -> Setup {
        Setup {
            disks: true,
            ingest_flags: DEADLINE.to_vec(),
            ..Setup::default()
        }
    }

    fn inject<'s>(&'s self, scene: &'s mut Scene) -> BoxFuture<'s, anyhow::Result<()>> {
        Box::pin(async move {
            for round in 0..scene.rounds() {
                scene.until_round(round).await?;
                let outage = scene.seed.between(OUTAGE.0, OUTAGE.1);
                let spare = scene.seed.below(SPARE) << 10;
                scene.injected();
                self.disk(&scene.cluster)?.fill_up_to(spare);
                self.until_refused(&scene.cluster).await?;
                // the outage itself is the fault: there is nothing to wait for
                sleep(outage).await;
                self.disk(&scene.cluster)?.give_room();
                let restarted = self.supervise(&mut scene.cluster).await?;
                scene.note("restarts", u64::from(restarted));
            }
            Ok(())
        })
    }

    fn proof<'s>(&'s self, scene: &'s Scene) -> BoxFuture<'s, anyhow::Result<Proof>> {
        Box::pin(async move {
            let refused = self.disk(&scene.cluster)?.harm().writes_refused;
            Ok(Proof::of([
                ("writes without room", refused),
                ("refusals", scene.refusals()),
                ("restarts", scene.noted("restarts")),
            ]))
        })
    }
}
