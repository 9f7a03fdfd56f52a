//! Signs of life for held envelopes, from an OS thread with a runtime of its own. It hands them to the connection's task,
//! which runs on the process's runtime: no inference runs there either, but on threads that own their sessions.

use std::{sync::Arc, time::Duration};

use gristmill_telemetry::{fail_points, shutdown::Shutdown};

use crate::lease::Leases;

/// Starts the thread; it ends with the process, since envelopes are held until the very end of a drain.
///
/// # Errors
/// The thread or its runtime cannot be made.
pub(crate) fn start(leases: Arc<Leases>, every: Duration, ended: Shutdown) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    std::thread::Builder::new()
        .name("heartbeat".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                let mut ticks = tokio::time::interval(every);
                ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                loop {
                    tokio::select! {
                        _ = ticks.tick() => {}
                        () = ended.requested() => return,
                    }
                    fail_points::as_one_thread("bug-heartbeat-on-inference-thread", || ());
                    for sign in leases.signs() {
                        sign.send().await;
                    }
                }
            });
        })?;
    Ok(())
}
