//! More than small limits let in and slowed workers can take: whatever is refused is refused in words, whatever is accepted ends.

use futures_util::future::BoxFuture;

use crate::chaos::{
    cluster::Setup,
    fault::{Fault, Proof, Scene},
    plan::Mix,
};

/// The fault.
#[derive(Debug)]
pub(super) struct Overload;

impl Fault for Overload {
    fn name(&self) -> &'static str {
        "overload"
    }

    fn setup(&self) -> Setup {
        Setup {
            ingest_flags: vec!["--max-requests", "24", "--stream-max-bytes", "131072"],
            // so slow that no build keeps up with the load
            worker_fail_points: "worker-slow-run=sleep(15)".to_owned(),
            ..Setup::default()
        }
    }

    fn mix(&self, _jobs: u64) -> Mix {
        Mix {
            rate: 600,
            ..Mix::default()
        }
    }

    fn inject<'s>(&'s self, scene: &'s mut Scene) -> BoxFuture<'s, anyhow::Result<()>> {
        Box::pin(async move {
            // the load itself is the fault
            scene.injected();
            scene.until_accepted(90).await
        })
    }

    fn proof<'s>(&'s self, scene: &'s Scene) -> BoxFuture<'s, anyhow::Result<Proof>> {
        Box::pin(async move { Ok(Proof::of([("refusals", scene.refusals())])) })
    }
}
