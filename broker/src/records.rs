//! Hashes of JSON records that operators write: one of each is read the same way, and one that cannot be read harms no other.

use std::{collections::BTreeMap, fmt::Display, str::FromStr};

use serde::de::DeserializeOwned;

use crate::store::{Store, StoreError};

impl Store {
    /// Every record of a hash, by its id. One that cannot be read is left out, with an error in the log that tells the
    /// consequence.
    pub(crate) async fn records<I, R>(&self, hash: &str, consequence: &str) -> Result<BTreeMap<I, R>, StoreError>
    where
        I: FromStr<Err: Display> + Ord,
        R: DeserializeOwned,
    {
        let mut command = redis::cmd("HGETALL");
        command.arg(hash);
        let rows: BTreeMap<String, Vec<u8>> = self.command(&command).await?;
        let readable = |(id, record): (String, Vec<u8>)| {
            let read = id.parse().ok().zip(serde_json::from_slice(&record).ok());
            if read.is_none() {
                tracing::error!(hash, record.id = id, "a record cannot be read: {consequence}");
            }
            read
        };
        Ok(rows.into_iter().filter_map(readable).collect())
    }
}
