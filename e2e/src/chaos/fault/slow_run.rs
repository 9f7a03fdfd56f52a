//! Runs that take longer than `ack_wait`: the worker is alive and says so, so nobody else is given its jobs.

use futures_util::future::BoxFuture;

use crate::{
    chaos::{
        checker::Allowance,
        cluster::Setup,
        fault::{Fault, Proof, Scene},
    },
    wait,
};

/// The fault.
#[derive(Debug)]
pub(super) struct SlowRun;

/// A slow run, in seconds: the broker looks for overdue envelopes about once an `ack_wait` (5 s in this row), so that they may
/// be twice as late.
const SECONDS: u64 = 14;
const COMPUTE: &str = "gristmill_compute_seconds_sum";

impl Fault for SlowRun {
    fn name(&self) -> &'static str {
        "runs-longer-than-ack-wait"
    }

    fn setup(&self) -> Setup {
        Setup {
            ack_wait: "5s",
            // the other one is free for whatever it is given
            armed_workers: 1,
            worker_fail_points: format!("worker-slow-run=30*off->1*sleep({})->off", SECONDS * 1000),
            ..Setup::default()
        }
    }

    fn allowance(&self) -> Allowance {
        Allowance {
            attempts: 1,
            ..Allowance::default()
        }
    }

    fn inject<'s>(&'s self, scene: &'s mut Scene) -> BoxFuture<'s, anyhow::Result<()>> {
        Box::pin(async move {
            let cluster = &scene.cluster;
            wait::until("slow runs to be over", || async move {
                let computed = cluster.of_workers(COMPUTE, "").await?;
                Ok((computed >= SECONDS).then_some(()))
            })
            .await?;
            scene.injected();
            Ok(())
        })
    }

    fn proof<'s>(&'s self, scene: &'s Scene) -> BoxFuture<'s, anyhow::Result<Proof>> {
        Box::pin(async move {
            let computed = scene.cluster.of_workers(COMPUTE, "").await?;
            Ok(Proof::of([("slow runs", computed / SECONDS)]))
        })
    }
}
