//! `gristmill keys`: API keys, for operators. It speaks to the store, as no key could be asked for the first one.

use std::time::SystemTime;

use anyhow::bail;
use gristmill_broker::{
    Store, StoreArgs,
    api_keys::{ApiKeyRecord, Grant, Scope},
};
use gristmill_ingest::keys::ApiKey;
use gristmill_schemas::{KeyId, ModelName, TenantId, Timestamp};
use serde::Serialize;

use crate::{
    cli::OutputArgs,
    output::{Table, properties},
};

#[derive(Debug, clap::Args)]
pub(crate) struct KeysCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make a key and show it, this once
    Create {
        /// Whom the key speaks for
        #[arg(long, value_name = "TENANT")]
        tenant: TenantId,
        /// What its owner calls it
        #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME")]
        name: String,
        /// What it may be used for: submit (and cancel), read (dead letters too), operate (redrive and drop dead letters); all three if
        /// none is given
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<Scope>,
        /// The models it may submit jobs for; every model if none is given
        #[arg(long = "model", value_name = "MODEL")]
        models: Vec<ModelName>,
        #[command(flatten)]
        store: KeyStoreArgs,
    },
    /// List the keys, without their secrets
    List {
        #[command(flatten)]
        store: KeyStoreArgs,
    },
    /// Revoke a key: within seconds no ingest takes it
    Revoke {
        /// The key's id: the part after gm_
        id: KeyId,
        #[command(flatten)]
        store: KeyStoreArgs,
    },
}

#[derive(Debug, clap::Args)]
struct KeyStoreArgs {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// A key as it is listed.
#[derive(Debug, Serialize)]
struct Listed {
    id: KeyId,
    tenant: TenantId,
    name: String,
    #[serde(flatten)]
    grant: Grant,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<Timestamp>,
    /// Only of a key just made.
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key: Option<String>,
}

impl Listed {
    fn new(id: KeyId, record: ApiKeyRecord) -> Self {
        Self {
            id,
            tenant: record.tenant,
            name: record.name,
            grant: record.grant,
            created_at: record.created_at,
            revoked_at: record.revoked_at,
            api_key: None,
        }
    }
}

impl KeysCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::Create {
                tenant,
                name,
                scopes,
                models,
                store,
            } => {
                let mut grant = Grant {
                    models: models.into_iter().collect(),
                    ..Grant::default()
                };
                if !scopes.is_empty() {
                    grant.scopes = scopes.into_iter().collect();
                }
                store.create(tenant, name, grant).await
            }
            Action::List { store } => store.list().await,
            Action::Revoke { id, store } => store.revoke(id).await,
        }
    }
}

impl KeyStoreArgs {
    async fn create(self, tenant: TenantId, name: String, grant: Grant) -> anyhow::Result<()> {
        let key = ApiKey::generate()?;
        let record = ApiKeyRecord {
            tenant,
            secret_digest: key.secret.digest(),
            name,
            grant,
            created_at: SystemTime::now().into(),
            revoked_at: None,
        };
        Store::connect(&self.store)?.put_api_key(&key.id, &record).await?;
        let secret = key.reveal();
        let made = Listed {
            api_key: Some(secret.clone()),
            ..Listed::new(key.id, record)
        };
        self.output.output.print(&made, || {
            let pairs = properties([
                ("id", made.id.to_string()),
                ("tenant", made.tenant.to_string()),
                ("name", made.name.clone()),
                ("scopes", joined(&made.grant.scopes)),
                ("models", models(&made.grant)),
                ("key", secret),
            ]);
            format!("{pairs}\n\nKeep it: it is shown this once.")
        })
    }

    async fn list(self) -> anyhow::Result<()> {
        let keys = Store::connect(&self.store)?.api_keys().await?;
        let keys: Vec<Listed> = keys.into_iter().map(|(id, record)| Listed::new(id, record)).collect();
        self.output.output.print(&keys, || table(&keys))
    }

    async fn revoke(self, id: KeyId) -> anyhow::Result<()> {
        let store = Store::connect(&self.store)?;
        if !store.revoke_api_key(&id, SystemTime::now().into()).await? {
            bail!("there is no API key {id}");
        }
        let record = store.api_keys().await?.remove(&id);
        let revoked: Vec<Listed> = record.map(|record| Listed::new(id, record)).into_iter().collect();
        self.output.output.print(&revoked, || table(&revoked))
    }
}

fn models(grant: &Grant) -> String {
    if grant.models.is_empty() {
        return "every one".to_owned();
    }
    joined(&grant.models)
}

fn joined<T: std::fmt::Display>(words: &std::collections::BTreeSet<T>) -> String {
    let words: Vec<_> = words.iter().map(T::to_string).collect();
    words.join(",")
}

fn table(keys: &[Listed]) -> String {
    let mut table = Table::new(["id", "tenant", "name", "scopes", "models", "created", "revoked"].map(str::to_owned));
    for key in keys {
        table.row([
            key.id.to_string(),
            key.tenant.to_string(),
            key.name.clone(),
            joined(&key.grant.scopes),
            models(&key.grant),
            key.created_at.to_string(),
            key.revoked_at.map(|at| at.to_string()).unwrap_or_default(),
        ]);
    }
    table.text()
}
