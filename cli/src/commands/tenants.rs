//! `gristmill tenants`: what is set for single tenants, for operators. It speaks to the store, as `gristmill keys` does.

use std::str::FromStr;

use gristmill_broker::{Store, StoreArgs, TenantSettings};
use gristmill_schemas::{Retention, TenantId};
use serde::Serialize;

use crate::{cli::OutputArgs, output::Table};

#[derive(Debug, clap::Args)]
pub(crate) struct TenantsCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Set what is named and leave the rest; ingests follow within seconds
    Set(Wanted),
    /// List the tenants for whom anything is set
    List {
        #[command(flatten)]
        store: StoreArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
}

#[derive(Debug, clap::Args)]
struct Wanted {
    /// The tenant
    #[arg(value_name = "TENANT")]
    tenant: TenantId,
    /// How long outcomes of jobs accepted from now on are kept: 1min to 45days, or "default" for the ingests' --retention
    #[arg(long, value_name = "TIME", required_unless_present = "max_queued")]
    retention: Option<Setting<Retention>>,
    /// How many jobs may wait at once, 0 for no limit, or "default" for the ingests' --max-queued-per-tenant
    #[arg(long, value_name = "N")]
    max_queued: Option<Setting<u64>>,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// A value of the tenant's own, or the default.
#[derive(Debug, Clone, Copy)]
enum Setting<T> {
    Default,
    Own(T),
}

impl<T> Setting<T> {
    fn own(self) -> Option<T> {
        match self {
            Self::Default => None,
            Self::Own(value) => Some(value),
        }
    }
}

impl<T: FromStr> FromStr for Setting<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        if text == "default" {
            return Ok(Self::Default);
        }
        text.parse().map(Self::Own)
    }
}

/// A tenant as it is listed.
#[derive(Debug, Serialize)]
struct Listed {
    tenant: TenantId,
    #[serde(flatten)]
    settings: TenantSettings,
}

impl TenantsCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let (tenants, output) = match self.action {
            Action::Set(wanted) => (vec![wanted.set().await?], wanted.output),
            Action::List { store, output } => {
                let tenants = Store::connect(&store)?.tenants().await?.into_iter();
                let listed = tenants.map(|(tenant, settings)| Listed { tenant, settings });
                (listed.collect(), output)
            }
        };
        output.output.print(&tenants, || table(&tenants))
    }
}

impl Wanted {
    async fn set(&self) -> anyhow::Result<Listed> {
        let store = Store::connect(&self.store)?;
        let mut settings = store.tenants().await?.remove(&self.tenant).unwrap_or_default();
        if let Some(retention) = self.retention {
            settings.retention = retention.own();
        }
        if let Some(max_queued) = self.max_queued {
            settings.max_queued = max_queued.own();
        }
        store.put_tenant(&self.tenant, settings).await?;
        Ok(Listed {
            tenant: self.tenant.clone(),
            settings,
        })
    }
}

fn table(tenants: &[Listed]) -> String {
    let mut table = Table::new(["tenant", "retention", "max queued"].map(str::to_owned));
    for Listed { tenant, settings } in tenants {
        let or_default = |own: Option<String>| own.unwrap_or_else(|| "default".to_owned());
        let max_queued = settings.max_queued.map(|most| match most {
            0 => "no limit".to_owned(),
            most => most.to_string(),
        });
        table.row([
            tenant.to_string(),
            or_default(settings.retention.map(|retention| retention.to_string())),
            or_default(max_queued),
        ]);
    }
    table.text()
}
