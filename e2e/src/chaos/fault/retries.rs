//! Every submission has an idempotency key and is repeated until it is answered, while the broker is killed over and over.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::sleep;

use crate::chaos::{
    fault::{Fault, Proof, Scene},
    plan::Mix,
};

/// The fault.
#[derive(Debug)]
pub(super) struct IdempotentRetries;

impl Fault for IdempotentRetries {
    fn name(&self) -> &'static str {
        "idempotent-retries-over-kill-nats"
    }

    fn mix(&self, _jobs: u64) -> Mix {
        Mix {
            keyed: 100,
            ..Mix::default()
        }
    }

    fn inject<'s>(&'s self, scene: &'s mut Scene) -> BoxFuture<'s, anyhow::Result<()>> {
        Box::pin(async move {
            for round in 0..scene.rounds() {
                scene.until_round(round).await?;
                scene.injected();
                scene.cluster.servers.nats.kill().await?;
                // while the broker is away, an ingest dies with submissions of unknown fate in its hands
                let victim = scene.seed.below(2) as usize;
                let pause = scene
                    .seed
                    .between(Duration::from_millis(300), Duration::from_millis(1500));
                sleep(pause).await;
                scene.cluster.ingests[victim].kill().await?;
                scene.cluster.servers.nats.restart().await?;
                scene.cluster.ingests[victim].revive().await?;
            }
            Ok(())
        })
    }

    fn proof<'s>(&'s self, scene: &'s Scene) -> BoxFuture<'s, anyhow::Result<Proof>> {
        Box::pin(async move { Ok(Proof::of([("keys that were sent again", scene.keys_sent_again())])) })
    }
}
