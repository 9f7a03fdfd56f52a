//! Who of several processes does what only one need do: a lease in the store. Two at once for a moment must be harmless.

use std::time::Duration;

use crate::store::{Store, StoreError};

/// How long the lead is kept without a sign of life.
const LEASE: Duration = Duration::from_secs(5);

/// One process's candidacy for a lead.
#[derive(Debug, Clone)]
pub struct Lead {
    store: Store,
    key: String,
    token: String,
}

impl Lead {
    /// For the lead under this name.
    #[must_use]
    pub fn new(store: &Store, name: &str) -> Self {
        Self {
            store: store.clone(),
            key: format!("gm:lead:{name}"),
            token: format!("{}-{:016x}", std::process::id(), fastrand::u64(..)),
        }
    }

    /// Takes the lead, or keeps it; true if it is ours for the next 5 s.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn take(&self) -> Result<bool, StoreError> {
        let millis = LEASE.as_millis() as u64;
        let mut take = redis::cmd("SET");
        take.arg(&self.key).arg(&self.token);
        take.arg("NX").arg("GET").arg("PX").arg(millis);
        match self.store.command::<Option<String>>(&take).await? {
            None => Ok(true),
            Some(leader) if leader == self.token => {
                let mut keep = redis::cmd("PEXPIRE");
                keep.arg(&self.key).arg(millis);
                self.store.command::<i64>(&keep).await.map(|kept| kept == 1)
            }
            Some(_) => Ok(false),
        }
    }
}
