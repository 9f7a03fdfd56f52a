//! What an ingest and a worker have in common as processes: signals, and the address that an announcement needs.

use std::net::{Ipv4Addr, SocketAddr};

use gristmill_telemetry::{Shutdown, TelemetryArgs, shutdown};

/// A shutdown that SIGTERM or SIGINT asks for; a second signal ends the process at once.
pub(crate) fn shutdown_by_signal() -> Shutdown {
    let asked = Shutdown::new();
    let told = asked.clone();
    tokio::spawn(async move {
        if let Err(error) = shutdown::signal().await {
            tracing::error!(%error, "signals cannot be heard, so the process ends now");
        }
        told.request();
    });
    asked
}

/// Who announces itself has an admin listener, on a free port if none was named.
pub(crate) fn ensure_admin(telemetry: &mut TelemetryArgs) {
    telemetry
        .admin_addr
        .get_or_insert(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
}
