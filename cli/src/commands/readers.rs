//! `gristmill readers`: Redis users for clients that read one tenant's outcomes and events in Redis itself. It speaks to the
//! store, as somebody who may manage its users.

use anyhow::bail;
use gristmill_broker::{
    Store, StoreArgs,
    readers::{Reader, ReaderName, Saved},
};
use gristmill_ingest::keys::ApiKey;
use gristmill_schemas::{Digest, TenantId};
use serde::Serialize;

use crate::{
    cli::OutputArgs,
    output::{Table, properties},
};

#[derive(Debug, clap::Args)]
pub(crate) struct ReadersCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make a reader and show its password, this once
    Create {
        /// Whose outcomes and events it may read
        #[arg(long, value_name = "TENANT")]
        tenant: TenantId,
        /// Let it read events by consumer groups too: these, and nothing else, it may write
        #[arg(long)]
        consumer_groups: bool,
        #[command(flatten)]
        store: ReaderStoreArgs,
    },
    /// List the readers
    List {
        #[command(flatten)]
        store: ReaderStoreArgs,
    },
    /// Delete a reader, and end its connections
    Delete {
        /// Its name: reader.TENANT.ID
        name: ReaderName,
        #[command(flatten)]
        store: ReaderStoreArgs,
    },
}

#[derive(Debug, clap::Args)]
struct ReaderStoreArgs {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// A reader as it is listed.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    tenant: TenantId,
    /// Only of one just made.
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    /// Only of one just made, where the server does not keep its users itself: the line for its ACL file.
    #[serde(skip_serializing_if = "Option::is_none")]
    acl_line: Option<String>,
}

impl Listed {
    fn of(name: ReaderName) -> Self {
        Self {
            name: name.to_string(),
            tenant: name.tenant,
            password: None,
            acl_line: None,
        }
    }
}

impl ReadersCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::Create {
                tenant,
                consumer_groups,
                store,
            } => store.create(tenant, consumer_groups).await,
            Action::List { store } => store.list().await,
            Action::Delete { name, store } => store.delete(&name).await,
        }
    }
}

impl ReaderStoreArgs {
    async fn create(self, tenant: TenantId, consumer_groups: bool) -> anyhow::Result<()> {
        let key = ApiKey::generate()?;
        let password = key.reveal();
        let reader = Reader {
            name: ReaderName { tenant, id: key.id },
            password: Digest::of(password.as_bytes()),
            consumer_groups,
        };
        let saved = Store::connect(&self.store)?.put_reader(&reader).await?;
        let made = Listed {
            password: Some(password.clone()),
            acl_line: (saved == Saved::InMemoryOnly).then(|| reader.acl_line()),
            ..Listed::of(reader.name.clone())
        };
        self.output.output.print(&made, || {
            let pairs = properties([
                ("name", made.name.clone()),
                ("tenant", made.tenant.to_string()),
                ("password", password),
            ]);
            let more = made.acl_line.as_ref().map(|line| {
                format!("\n\nThe server has no ACL file and forgets the reader at its next start. Its line for one:\n\n{line}")
            });
            format!("{pairs}\n\nKeep the password: it is shown this once.{}", more.unwrap_or_default())
        })
    }

    async fn list(self) -> anyhow::Result<()> {
        let readers = Store::connect(&self.store)?.readers().await?;
        let readers: Vec<Listed> = readers.into_iter().map(Listed::of).collect();
        self.output.output.print(&readers, || table(&readers))
    }

    async fn delete(self, name: &ReaderName) -> anyhow::Result<()> {
        if Store::connect(&self.store)?.delete_reader(name).await?.is_none() {
            bail!("there is no reader {name}");
        }
        let deleted = [Listed::of(name.clone())];
        self.output.output.print(&deleted, || table(&deleted))
    }
}

fn table(readers: &[Listed]) -> String {
    let mut table = Table::new(["name", "tenant"].map(str::to_owned));
    for reader in readers {
        table.row([reader.name.clone(), reader.tenant.to_string()]);
    }
    table.text()
}
