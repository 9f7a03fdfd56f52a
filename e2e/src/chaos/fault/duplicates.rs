//! Envelopes that are on the stream twice: what was published is overheard on the broker and published again as it was.

use gristmill_broker::nats::bare;
use std::time::Duration;

use anyhow::anyhow;
use futures_util::{StreamExt, future::BoxFuture};
use gristmill_schemas::subject::WILDCARD;
use tokio::time::timeout;

use crate::chaos::{
    checker::Allowance,
    fault::{Fault, Proof, Scene},
};

/// The fault.
#[derive(Debug)]
pub(super) struct Duplicates;

/// Envelopes of a small row that are published again; each two times more.
const ENVELOPES: u64 = 40;
const COPIES: u64 = 2;
/// How long the next envelope may take to come by.
const PATIENCE: Duration = Duration::from_secs(20);

impl Fault for Duplicates {
    fn name(&self) -> &'static str {
        "duplicate-publishes"
    }

    fn allowance(&self) -> Allowance {
        Allowance {
            // nothing is in the way of news, and who looks again by himself does so after 5 s
            late_news: Some(Duration::from_millis(3500)),
            ..Allowance::default()
        }
    }

    fn inject<'s>(&'s self, scene: &'s mut Scene) -> BoxFuture<'s, anyhow::Result<()>> {
        Box::pin(async move {
            let client = bare(&scene.cluster.servers.nats.url()).await?;
            let jetstream = async_nats::jetstream::new(client.clone());
            scene.until_accepted(10).await?;
            let mut overheard = client.subscribe(WILDCARD).await?;
            let mut again = Vec::new();
            for _ in 0..ENVELOPES * u64::from(scene.rounds()) / 2 {
                let envelope = timeout(PATIENCE, overheard.next()).await?;
                again.push(envelope.ok_or_else(|| anyhow!("the broker closed the subscription"))?);
            }
            drop(overheard);
            for envelope in again {
                for _ in 0..COPIES {
                    scene.injected();
                    let stored = jetstream
                        .publish(envelope.subject.clone(), envelope.payload.clone())
                        .await;
                    stored
                        .map_err(|error| anyhow!("{error}"))?
                        .await
                        .map_err(|error| anyhow!("{error}"))?;
                }
            }
            Ok(())
        })
    }

    fn proof<'s>(&'s self, scene: &'s Scene) -> BoxFuture<'s, anyhow::Result<Proof>> {
        Box::pin(async move {
            let passed_over = scene.cluster.of_workers("gristmill_jobs_passed_over_total", "").await?;
            Ok(Proof::of([("jobs passed over", passed_over)]))
        })
    }
}
