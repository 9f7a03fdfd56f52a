//! The API keys' records: who a key speaks for, and the digest of its secret.

use std::collections::BTreeMap;

use gristmill_schemas::{Digest, KeyId, TenantId, Timestamp, key};
use serde::{Deserialize, Serialize};

use crate::store::{Store, StoreError};

/// The channel that hints at a change of the keys or of what is set for a tenant.
pub(crate) const CHANGED: &str = "gm:access:changed";

/// One API key without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyRecord {
    /// Whom it speaks for.
    pub tenant: TenantId,
    /// SHA-256 of the secret, which has 256 random bits of its own and so needs no slow hash.
    pub secret_digest: Digest,
    /// What its owner calls it.
    #[serde(default)]
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was revoked, if it was.
    #[serde(default)]
    pub revoked_at: Option<Timestamp>,
}

impl Store {
    /// Every key, revoked ones too. A record that cannot be read makes its own key invalid and no other.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn api_keys(&self) -> Result<BTreeMap<KeyId, ApiKeyRecord>, StoreError> {
        let mut command = redis::cmd("HGETALL");
        command.arg(key::API_KEYS);
        let rows: BTreeMap<String, Vec<u8>> = self.command(&command).await?;
        let readable = |(id, record): (String, Vec<u8>)| {
            let read = id.parse().ok().zip(serde_json::from_slice(&record).ok());
            if read.is_none() {
                tracing::error!(
                    key.id = id,
                    "the record of an API key cannot be read: the key is not valid here"
                );
            }
            read
        };
        Ok(rows.into_iter().filter_map(readable).collect())
    }

    /// Writes one key's record.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put_api_key(&self, id: &KeyId, record: &ApiKeyRecord) -> Result<(), StoreError> {
        let json = serde_json::to_vec(record).expect("a record holds no maps");
        let mut pipeline = redis::pipe();
        pipeline
            .hset(key::API_KEYS, id.as_str(), json)
            .ignore()
            .publish(CHANGED, id.as_str())
            .ignore();
        self.query(&pipeline).await
    }

    /// Revokes a key; `false` if there is none of this id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revoke_api_key(&self, id: &KeyId, at: Timestamp) -> Result<bool, StoreError> {
        let Some(mut record) = self.api_keys().await?.remove(id) else {
            return Ok(false);
        };
        record.revoked_at.get_or_insert(at);
        self.put_api_key(id, &record).await.map(|()| true)
    }
}
