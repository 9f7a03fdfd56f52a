//! What an operator has set for single tenants. A tenant needs no record: without one the server's defaults hold.

use std::collections::BTreeMap;

use gristmill_schemas::{Retention, TenantId, key};
use serde::{Deserialize, Serialize};

use crate::{
    api_keys::CHANGED,
    store::{Store, StoreError},
};

/// One tenant's settings; what is absent is as the ingests' flags say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantSettings {
    /// How long outcomes of jobs that are accepted from now on are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// How many jobs may wait at once; 0 for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_queued: Option<u64>,
}

impl Store {
    /// The settings of every tenant that has any. A record that cannot be read counts as none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn tenants(&self) -> Result<BTreeMap<TenantId, TenantSettings>, StoreError> {
        self.records(key::TENANTS, "the defaults hold for the tenant").await
    }

    /// Replaces a tenant's settings; the default ones leave no record.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put_tenant(&self, tenant: &TenantId, settings: TenantSettings) -> Result<(), StoreError> {
        let mut pipeline = redis::pipe();
        if settings == TenantSettings::default() {
            pipeline.hdel(key::TENANTS, tenant.as_str()).ignore();
        } else {
            let json = serde_json::to_vec(&settings).expect("a record holds no maps");
            pipeline.hset(key::TENANTS, tenant.as_str(), json).ignore();
        }
        pipeline.publish(CHANGED, tenant.as_str()).ignore();
        self.query(&pipeline).await
    }
}
