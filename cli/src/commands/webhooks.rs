//! `gristmill webhooks`: what signs a tenant's webhooks and where the ends of its jobs are told, for operators. It speaks to
//! the store, as `gristmill keys` does.

use std::time::{Duration, SystemTime};

use anyhow::bail;
use gristmill_broker::{Store, StoreArgs, WebhookSettings, webhooks::RetiringSecret};
use gristmill_schemas::{TenantId, Timestamp, WebhookSecret, WebhookUrl, webhook_secret::SECRET_BYTES};
use serde::Serialize;

use crate::{
    cli::OutputArgs,
    output::{Table, properties},
};

/// How long a secret that was rotated signs beside the new one.
const OVERLAP: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug, clap::Args)]
pub(crate) struct WebhooksCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Let a tenant have webhooks, and say where the ends of all its jobs are told
    Set {
        /// The tenant
        #[arg(value_name = "TENANT")]
        tenant: TenantId,
        /// Where the end of every job is told; without it, only jobs are told of that name a webhook of their own
        #[arg(long, value_name = "URL")]
        url: Option<WebhookUrl>,
        #[command(flatten)]
        store: WebhookStoreArgs,
    },
    /// Make a new secret and show it, this once; the old one signs too for 24 hours
    Rotate {
        /// The tenant
        #[arg(value_name = "TENANT")]
        tenant: TenantId,
        #[command(flatten)]
        store: WebhookStoreArgs,
    },
    /// List the tenants that have webhooks
    List {
        #[command(flatten)]
        store: WebhookStoreArgs,
    },
    /// Delete a tenant's webhooks, with what was still to be sent
    Delete {
        /// The tenant
        #[arg(value_name = "TENANT")]
        tenant: TenantId,
        #[command(flatten)]
        store: WebhookStoreArgs,
    },
}

#[derive(Debug, clap::Args)]
struct WebhookStoreArgs {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// A tenant's webhooks as they are listed.
#[derive(Debug, Serialize)]
struct Listed {
    tenant: TenantId,
    url: Option<WebhookUrl>,
    /// How long the secret before this one signs, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    old_secret_until: Option<Timestamp>,
    /// Only of one just made.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl Listed {
    fn of(tenant: TenantId, settings: &WebhookSettings) -> Self {
        let retiring = settings.retiring.as_ref().map(|retiring| retiring.until);
        Self {
            tenant,
            url: settings.url.clone(),
            old_secret_until: retiring.filter(|until| *until > now()),
            secret: None,
        }
    }
}

impl WebhooksCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::Set { tenant, url, store } => store.set(tenant, url).await,
            Action::Rotate { tenant, store } => store.rotate(tenant).await,
            Action::List { store } => store.list().await,
            Action::Delete { tenant, store } => store.delete(tenant).await,
        }
    }
}

impl WebhookStoreArgs {
    async fn set(self, tenant: TenantId, url: Option<WebhookUrl>) -> anyhow::Result<()> {
        let store = Store::connect(&self.store)?;
        let known = store.webhooks().await?.remove(&tenant);
        let is_new = known.is_none();
        let mut settings = match known {
            Some(settings) => settings,
            None => WebhookSettings::new(new_secret()?),
        };
        settings.url = url;
        store.put_webhooks(&tenant, &settings).await?;
        self.show(tenant, &settings, is_new)
    }

    async fn rotate(self, tenant: TenantId) -> anyhow::Result<()> {
        let store = Store::connect(&self.store)?;
        let Some(mut settings) = store.webhooks().await?.remove(&tenant) else {
            bail!("the tenant {tenant} has no webhooks");
        };
        settings.retiring = Some(RetiringSecret {
            secret: std::mem::replace(&mut settings.secret, new_secret()?),
            until: now().plus(OVERLAP),
        });
        store.put_webhooks(&tenant, &settings).await?;
        self.show(tenant, &settings, true)
    }

    async fn list(self) -> anyhow::Result<()> {
        let webhooks = Store::connect(&self.store)?.webhooks().await?.into_iter();
        let listed: Vec<Listed> = webhooks
            .map(|(tenant, settings)| Listed::of(tenant, &settings))
            .collect();
        self.output.output.print(&listed, || table(&listed))
    }

    async fn delete(self, tenant: TenantId) -> anyhow::Result<()> {
        let store = Store::connect(&self.store)?;
        let Some(settings) = store.webhooks().await?.remove(&tenant) else {
            bail!("the tenant {tenant} has no webhooks");
        };
        store.delete_webhooks(&tenant).await?;
        let deleted = [Listed::of(tenant, &settings)];
        self.output.output.print(&deleted, || table(&deleted))
    }

    fn show(self, tenant: TenantId, settings: &WebhookSettings, with_secret: bool) -> anyhow::Result<()> {
        let secret = with_secret.then(|| settings.secret.reveal());
        let listed = Listed {
            secret: secret.clone(),
            ..Listed::of(tenant, settings)
        };
        self.output.output.print(&listed, || match secret {
            None => table(std::slice::from_ref(&listed)),
            Some(secret) => {
                let pairs = properties([
                    ("tenant", listed.tenant.to_string()),
                    ("url", url(&listed)),
                    ("secret", secret),
                ]);
                format!("{pairs}\n\nKeep the secret: it is shown this once. Receivers verify messages with it.")
            }
        })
    }
}

fn new_secret() -> Result<WebhookSecret, getrandom::Error> {
    let mut random = [0; SECRET_BYTES];
    getrandom::fill(&mut random)?;
    Ok(WebhookSecret::of(random))
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

fn url(listed: &Listed) -> String {
    let own = listed.url.as_ref().map(ToString::to_string);
    own.unwrap_or_else(|| "what a job names".to_owned())
}

fn table(webhooks: &[Listed]) -> String {
    let mut table = Table::new(["tenant", "url", "old secret until"].map(str::to_owned));
    for listed in webhooks {
        let until = listed.old_secret_until.map(|until| until.to_string());
        table.row([
            listed.tenant.to_string(),
            url(listed),
            until.unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table.text()
}
