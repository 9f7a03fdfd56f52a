//! Waiting for the servers when a process starts. What time may mend is waited for; what it will not ends the process.

use std::time::Duration;

use gristmill_telemetry::health::Component;

use crate::{durability::LevelError, nats::BrokerError, store::StoreError};

/// The pause before a server is asked again.
const PAUSE: Duration = Duration::from_millis(250);

/// Why a process cannot begin yet, or cannot at all.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The servers keep less than they are to.
    #[error(transparent)]
    Level(#[from] LevelError),
    /// The broker.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl StartError {
    fn may_pass(&self) -> bool {
        match self {
            Self::Level(error) => error.may_pass(),
            Self::Broker(_) => true,
            Self::Store(StoreError::LostKey(_)) => false,
            Self::Store(StoreError::Unavailable(_) | StoreError::Full(_) | StoreError::Unreadable(_)) => true,
        }
    }
}

/// Tries until a server is as it must be, and reports meanwhile what is missing.
///
/// # Errors
/// What no waiting mends.
pub async fn until_ready<F: Future<Output = Result<(), StartError>>>(
    server: &'static str,
    component: &Component,
    prepare: impl Fn() -> F,
) -> Result<(), StartError> {
    let mut said = String::new();
    while let Err(error) = prepare().await {
        if !error.may_pass() {
            return Err(error);
        }
        let reason = error.to_string();
        if reason != said {
            tracing::warn!(%error, "waiting for the {server}");
            component.degraded(&reason);
            said = reason;
        }
        tokio::time::sleep(PAUSE).await;
    }
    component.ready();
    Ok(())
}
