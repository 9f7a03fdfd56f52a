//! The API keys' records: who a key speaks for, what it may be used for, and the digest of its secret.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use gristmill_schemas::{Digest, KeyId, ModelName, TenantId, Timestamp, key};
use serde::{Deserialize, Serialize};

use crate::store::{Store, StoreError};

/// The channel that hints at a change of the keys or of what is set for a tenant.
pub(crate) const CHANGED: &str = "gm:access:changed";

/// What a key may be used for, among its tenant's jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Submitting jobs, with the outcome in the same reply, and cancelling them.
    Submit,
    /// Reading what became of jobs, dead letters too.
    Read,
    /// Redriving and dropping dead letters.
    Operate,
}

impl Scope {
    /// Every one: what a key may that names none.
    pub const ALL: [Self; 3] = [Self::Submit, Self::Read, Self::Operate];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Read => "read",
            Self::Operate => "operate",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected submit, read or operate")]
pub struct NotAScope;

impl FromStr for Scope {
    type Err = NotAScope;

    fn from_str(text: &str) -> Result<Self, NotAScope> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or(NotAScope)
    }
}

/// What a key may be used for. A record that says nothing of it is one of before there were grants: it may be used for all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// What with the tenant's jobs.
    #[serde(default = "every_scope")]
    pub scopes: BTreeSet<Scope>,
    /// The models that jobs may be submitted for; none named is every one.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub models: BTreeSet<ModelName>,
}

fn every_scope() -> BTreeSet<Scope> {
    Scope::ALL.into()
}

impl Default for Grant {
    fn default() -> Self {
        Self {
            scopes: every_scope(),
            models: BTreeSet::new(),
        }
    }
}

impl Grant {
    /// Whether jobs of this model may be submitted.
    #[must_use]
    pub fn covers(&self, model: &ModelName) -> bool {
        self.models.is_empty() || self.models.contains(model)
    }
}

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
    /// What it may be used for.
    #[serde(flatten)]
    pub grant: Grant,
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
        self.records(key::API_KEYS, "the key is not valid here").await
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
