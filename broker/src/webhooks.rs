//! What signs a tenant's webhooks, and where the ends of all its jobs are told. A tenant without a record has no webhooks.

use std::collections::BTreeMap;

use gristmill_schemas::{Cursor, TenantId, Timestamp, WebhookSecret, WebhookUrl, key};
use serde::{Deserialize, Serialize};

use crate::{
    api_keys::CHANGED,
    store::{Store, StoreError},
};

/// One tenant's webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookSettings {
    /// What signs.
    pub secret: WebhookSecret,
    /// What signed before it was rotated, and signs beside the new one for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retiring: Option<RetiringSecret>,
    /// Where the end of every job is told; without it only those are told that name a webhook of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<WebhookUrl>,
}

/// A secret that was rotated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetiringSecret {
    /// It.
    pub secret: WebhookSecret,
    /// How long it signs.
    pub until: Timestamp,
}

impl WebhookSettings {
    /// With a secret and nothing else.
    #[must_use]
    pub const fn new(secret: WebhookSecret) -> Self {
        Self {
            secret,
            retiring: None,
            url: None,
        }
    }

    /// What signs now, the newest first.
    pub fn secrets(&self, now: Timestamp) -> impl Iterator<Item = &WebhookSecret> {
        let retiring = self.retiring.as_ref().filter(|retiring| now < retiring.until);
        std::iter::once(&self.secret).chain(retiring.map(|retiring| &retiring.secret))
    }
}

impl Store {
    /// The webhooks of every tenant that has any. A record that cannot be read counts as none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn webhooks(&self) -> Result<BTreeMap<TenantId, WebhookSettings>, StoreError> {
        self.records(key::WEBHOOKS, "nothing is told for the tenant").await
    }

    /// Replaces a tenant's webhooks. A URL that is new to it is told of jobs that end from now on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put_webhooks(&self, tenant: &TenantId, settings: &WebhookSettings) -> Result<(), StoreError> {
        let before = self.webhooks().await?.remove(tenant);
        if settings.url.is_some() && before.is_none_or(|before| before.url.is_none()) {
            let end = self.events_end(tenant).await?;
            self.put_webhook_cursor(tenant, &end).await?;
        }
        let json = serde_json::to_vec(settings).expect("a record holds no maps");
        let mut pipeline = redis::pipe();
        pipeline.hset(key::WEBHOOKS, tenant.as_str(), json).ignore();
        pipeline.publish(CHANGED, tenant.as_str()).ignore();
        self.query(&pipeline).await
    }

    /// Forgets a tenant's webhooks and what was still to be sent. True if there were any.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete_webhooks(&self, tenant: &TenantId) -> Result<bool, StoreError> {
        let mut pipeline = redis::pipe();
        pipeline.hdel(key::WEBHOOKS, tenant.as_str());
        pipeline.publish(CHANGED, tenant.as_str()).ignore();
        let (deleted,): (u64,) = self.query(&pipeline).await?;
        self.forget_deliveries(tenant).await?;
        Ok(deleted == 1)
    }

    /// Up to where deliveries were made of the tenant's events; `None` if nobody knows.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn webhook_cursor(&self, tenant: &TenantId) -> Result<Option<Cursor>, StoreError> {
        let mut command = redis::cmd("GET");
        command.arg(key::webhooks::cursor(tenant));
        let text: Option<String> = self.command(&command).await?;
        Ok(text.and_then(|text| text.parse().ok()))
    }

    /// Notes that deliveries were made up to there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put_webhook_cursor(&self, tenant: &TenantId, cursor: &Cursor) -> Result<(), StoreError> {
        let mut command = redis::cmd("SET");
        command.arg(key::webhooks::cursor(tenant)).arg(cursor.to_string());
        self.command::<String>(&command).await.map(drop)
    }
}
