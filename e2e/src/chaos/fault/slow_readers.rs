//! Hundreds of event streams, of single jobs and of whole tenants, whose clients read nothing: they hold their places, and hold up nobody else.

use std::time::Duration;

use anyhow::Context;
use futures_util::future::BoxFuture;
use tokio::{io::AsyncWriteExt, net::TcpStream, time::sleep};

use crate::chaos::{
    fault::{Fault, Proof, Scene},
    history::{Call, End},
};

/// The fault.
#[derive(Debug)]
pub(super) struct SlowReaders;

const READERS: usize = 500;
/// How long they stay.
const STAY: Duration = Duration::from_secs(4);

impl Fault for SlowReaders {
    fn name(&self) -> &'static str {
        "slow-event-readers"
    }

    fn inject<'s>(&'s self, scene: &'s mut Scene) -> BoxFuture<'s, anyhow::Result<()>> {
        Box::pin(async move {
            scene.until_round(0).await?;
            // jobs that wait while the readers come
            for worker in &mut scene.cluster.workers {
                worker.kill().await?;
            }
            let mut readers = Vec::new();
            let mut jobs = Vec::new();
            scene.until_round(1).await?;
            for op in scene.history.ops().into_iter().rev() {
                if let (Call::Submit { .. }, End::Ok(answer)) = (&op.call, &op.end) {
                    jobs.push((op.tenant, answer.id));
                }
            }
            for reader in 0..READERS {
                let (tenant, id) = jobs[reader % jobs.len().min(50)];
                let door = &scene.callers[tenant].doors[reader % 2];
                let path = match reader % 4 {
                    0 => "/v1/events?since=1h&include=outputs".to_owned(),
                    _ => format!("/v1/jobs/{id}/events?include=outputs"),
                };
                readers.push(open(door.address()?, &door.authorization(), &path).await?);
                scene.injected();
            }
            sleep(STAY).await;
            let open = scene.cluster.of_ingests("gristmill_event_streams", "").await?;
            // the load has some, too
            scene.note("streams", if open < READERS as u64 { 0 } else { open });
            for worker in &mut scene.cluster.workers {
                worker.revive().await?;
            }
            sleep(STAY).await;
            drop(readers);
            Ok(())
        })
    }

    fn proof<'s>(&'s self, scene: &'s Scene) -> BoxFuture<'s, anyhow::Result<Proof>> {
        Box::pin(async move { Ok(Proof::of([("event streams open at once", scene.noted("streams"))])) })
    }
}

/// Asks for events and reads nothing of them.
async fn open(address: &str, authorization: &str, path: &str) -> anyhow::Result<TcpStream> {
    let mut connection = TcpStream::connect(address).await.context("a reader's connection")?;
    let head = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: {authorization}\r\n\r\n");
    connection.write_all(head.as_bytes()).await?;
    Ok(connection)
}
