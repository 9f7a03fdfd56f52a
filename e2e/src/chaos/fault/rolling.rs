//! A rolling restart under load: every worker and every ingest is asked to end, one after another, and started again.

use futures_util::future::BoxFuture;

use crate::chaos::fault::{Fault, Proof, Scene, Strike};

/// The fault.
#[derive(Debug)]
pub(super) struct RollingRestart;

impl Fault for RollingRestart {
    fn name(&self) -> &'static str {
        "rolling-restart"
    }

    fn inject<'s>(&'s self, scene: &'s mut Scene) -> BoxFuture<'s, anyhow::Result<()>> {
        Box::pin(async move {
            scene.until_round(0).await?;
            self.strike(scene).await
        })
    }

    fn proof<'s>(&'s self, scene: &'s Scene) -> BoxFuture<'s, anyhow::Result<Proof>> {
        Box::pin(async move {
            let drained = scene.noted("drained");
            // one that had to be killed, or that ended badly, is as good as no proof at all
            let all = if drained == scene.injections { drained } else { 0 };
            Ok(Proof::of([("drained and restarted", all)]))
        })
    }
}

impl Strike for RollingRestart {
    fn strike<'s>(&'s self, scene: &'s mut Scene) -> BoxFuture<'s, anyhow::Result<()>> {
        Box::pin(async move {
            for member in 0..scene.cluster.workers.len() {
                scene.injected();
                let drained = scene.cluster.workers[member].terminate().await?;
                scene.note("drained", u64::from(drained));
                scene.cluster.workers[member].revive().await?;
            }
            for member in 0..scene.cluster.ingests.len() {
                scene.injected();
                let drained = scene.cluster.ingests[member].terminate().await?;
                scene.note("drained", u64::from(drained));
                scene.cluster.ingests[member].revive().await?;
            }
            Ok(())
        })
    }
}
