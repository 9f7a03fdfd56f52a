//! Who of several processes does what only one need do: a lease in the store. Two at once for a moment must be harmless.

use std::time::Duration;

use crate::store::{Store, StoreError};

impl Store {
    /// Takes the lead under a name, or keeps it; true if it is this token's for `lease` from now on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn take_lead(&self, name: &str, token: &str, lease: Duration) -> Result<bool, StoreError> {
        let key = format!("gm:lead:{name}");
        let millis = lease.as_millis() as u64;
        let mut take = redis::cmd("SET");
        take.arg(&key).arg(token).arg("NX").arg("GET").arg("PX").arg(millis);
        match self.command::<Option<String>>(&take).await? {
            None => Ok(true),
            Some(leader) if leader == token => {
                let mut keep = redis::cmd("PEXPIRE");
                keep.arg(&key).arg(millis);
                self.command::<i64>(&keep).await.map(|kept| kept == 1)
            }
            Some(_) => Ok(false),
        }
    }
}
