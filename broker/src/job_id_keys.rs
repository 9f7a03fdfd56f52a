//! Which keys have signed job ids: the store remembers their fingerprints, so that a lost key is noticed at start and not
//! by clients whose jobs are suddenly unknown.

use std::collections::BTreeMap;

use gristmill_schemas::{JobIdKeys, key};

use crate::store::{Store, StoreError};

impl Store {
    /// Writes down the fingerprints of these keys and refuses if one that signed before is missing or differs.
    ///
    /// # Errors
    /// [`StoreError::LostKey`] names the key; others as usual.
    pub async fn register_job_id_keys(&self, keys: &JobIdKeys) -> Result<(), StoreError> {
        let ours: BTreeMap<u8, String> = keys.fingerprints().collect();
        let mut known = redis::cmd("HGETALL");
        known.arg(key::JOB_ID_KEYS);
        // before anything is written: a stranger's keys must not lock out those whose ids are in use
        check(&ours, self.command(&known).await?)?;
        let mut pipeline = redis::pipe();
        for (number, fingerprint) in &ours {
            pipeline.hset_nx(key::JOB_ID_KEYS, number, fingerprint).ignore();
        }
        pipeline.add_command(known);
        // and after, in case somebody else began at the same moment
        let (known,) = self.query(&pipeline).await?;
        check(&ours, known)
    }

    /// Forgets a key: the ids it signed are past their retention.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn retire_job_id_key(&self, number: u8) -> Result<(), StoreError> {
        let mut command = redis::cmd("HDEL");
        command.arg(key::JOB_ID_KEYS).arg(number);
        self.command::<u64>(&command).await.map(drop)
    }
}

fn check(ours: &BTreeMap<u8, String>, known: BTreeMap<u8, String>) -> Result<(), StoreError> {
    match known
        .into_iter()
        .find(|(number, fingerprint)| ours.get(number) != Some(fingerprint))
    {
        Some((number, _)) => Err(StoreError::LostKey(number)),
        None => Ok(()),
    }
}
