//! A stack in a folder of its own: both servers, one ingest, as many workers as a test wants.

use gristmill_broker::nats::bare;
use std::{path::Path, time::SystemTime};

use anyhow::Context;
use gristmill_broker::{
    ServerUrl, Store, StoreArgs,
    api_keys::{ApiKeyRecord, Grant},
};
use gristmill_ingest::keys::ApiKey;
use gristmill_schemas::TenantId;
use gristmill_servers::{Durability, Pair, Role};
use tempfile::TempDir;

use crate::{Client, Process};

/// Running servers and an ingest; dropping it ends everything.
#[derive(Debug)]
pub struct Stack {
    /// The ingest.
    pub ingest: Process,
    /// nats-server and redis-server.
    pub servers: Pair,
    dir: TempDir,
    /// What every ingest is told besides where the servers are.
    ingest_flags: Vec<String>,
}

impl Stack {
    /// Starts servers at the `power-loss` level and an ingest.
    ///
    /// # Errors
    /// A part cannot be started.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_in(tempfile::tempdir()?, &[]).await
    }

    /// The same in a folder that is there already, and with more flags for every ingest.
    ///
    /// # Errors
    /// A part cannot be started.
    pub async fn start_in(dir: TempDir, more: &[String]) -> anyhow::Result<Self> {
        Self::start_at(Durability::PowerLoss, dir, more).await
    }

    /// The same at this level.
    ///
    /// # Errors
    /// A part cannot be started.
    pub async fn start_at(level: Durability, dir: TempDir, more: &[String]) -> anyhow::Result<Self> {
        let servers = Pair::start(level, dir.path()).await?;
        let mut args = Self::ingest_args(Self::server_args(&servers, Role::Ingest), &dir.path().join("keys.json"));
        args.extend_from_slice(more);
        let ingest = Process::start("ingest", &args, dir.path()).await?;
        Ok(Self {
            ingest,
            servers,
            dir,
            ingest_flags: more.to_owned(),
        })
    }

    pub(crate) fn ingest_args(servers: Vec<String>, keys: &Path) -> Vec<String> {
        let mut args = vec!["ingest".to_owned(), "--listen".to_owned(), "127.0.0.1:0".to_owned()];
        args.extend([
            "--create-job-id-keys".to_owned(),
            "--job-id-keys".to_owned(),
            keys.display().to_string(),
        ]);
        args.extend(servers);
        args
    }

    fn server_args(servers: &Pair, role: Role) -> Vec<String> {
        Self::server_args_by(servers, [servers.nats.url_of(role), servers.redis.url_of(role)])
    }

    /// The flags of a process that reaches the servers, of this level, by these URLs.
    pub(crate) fn server_args_by(servers: &Pair, [nats_url, redis_url]: [String; 2]) -> Vec<String> {
        let options = servers.nats.options();
        let flags = [
            ("--nats-url", nats_url),
            ("--redis-url", redis_url),
            ("--nats-monitor-url", options.monitor_url()),
            ("--durability", options.durability.to_string()),
        ];
        let flags = flags.into_iter();
        flags.flat_map(|(flag, value)| [flag.to_owned(), value]).collect()
    }

    /// Starts one more ingest, with the same keys and flags.
    ///
    /// # Errors
    /// It does not become ready.
    pub async fn another_ingest(&self, name: &str) -> anyhow::Result<Process> {
        self.ingest_with(name, &[]).await
    }

    /// The same with these variables besides.
    ///
    /// # Errors
    /// It does not become ready.
    pub async fn ingest_with(&self, name: &str, variables: &[(&str, &str)]) -> anyhow::Result<Process> {
        Process::start_with(name, &self.another_ingest_args(), self.dir.path(), variables).await
    }

    fn another_ingest_args(&self) -> Vec<String> {
        let servers = Self::server_args(&self.servers, Role::Ingest);
        let mut args = Self::ingest_args(servers, &self.dir.path().join("keys.json"));
        args.extend_from_slice(&self.ingest_flags);
        args
    }

    /// Changes a setting of the running Redis.
    ///
    /// # Errors
    /// It does not answer, or refuses.
    pub async fn set_store(&self, setting: &str, value: &str) -> anyhow::Result<()> {
        crate::chaos::stores::set(&self.servers.redis.url(), setting, value).await
    }

    /// Starts one more worker process.
    ///
    /// # Errors
    /// It does not become ready.
    pub async fn worker(&self, name: &str, more: &[&str]) -> anyhow::Result<Process> {
        let mut args = vec!["worker".to_owned()];
        args.extend(Self::server_args(&self.servers, Role::Worker));
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        Process::start(name, &args, self.dir.path()).await
    }

    /// Where clients connect.
    ///
    /// # Errors
    /// The ingest did not say.
    pub fn url(&self) -> anyhow::Result<String> {
        self.ingest.at.url.clone().context("an ingest announces its URL")
    }

    /// A fresh API key of a tenant, valid once the ingest knows it.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn api_key(&self, tenant: &str) -> anyhow::Result<String> {
        let key = new_api_key(&self.store()?, tenant).await?;
        until_known(&key, &self.url()?).await?;
        Ok(key)
    }

    /// Waits until another ingest knows a key, too.
    ///
    /// # Errors
    /// It does not in time.
    pub async fn until_known(&self, key: &str, ingest: &Process) -> anyhow::Result<()> {
        until_known(key, ingest.at.url.as_deref().context("an ingest announces its URL")?).await
    }

    /// A client of a tenant with a key of its own.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn client(&self, tenant: &str) -> anyhow::Result<Client> {
        Ok(Client::new(&self.url()?, &self.api_key(tenant).await?))
    }

    /// The store, as an operator reaches it.
    ///
    /// # Errors
    /// Its URL is not one.
    pub fn store(&self) -> anyhow::Result<Store> {
        store_of(&self.servers)
    }

    /// Envelopes that the stream holds.
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn stream_envelopes(&self) -> anyhow::Result<u64> {
        Ok(self.stream().await?.cached_info().state.messages)
    }

    /// Loses all that is on the stream, as a broker may that was restored from a backup.
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn purge_stream(&self) -> anyhow::Result<()> {
        self.stream().await?.purge().await?;
        Ok(())
    }

    async fn stream(&self) -> anyhow::Result<async_nats::jetstream::stream::Stream> {
        let client = bare(&self.servers.nats.url()).await?;
        let jetstream = async_nats::jetstream::new(client);
        Ok(jetstream.get_stream(gristmill_schemas::subject::STREAM).await?)
    }
}

/// The store of these servers, as an operator reaches it.
pub(crate) fn store_of(servers: &Pair) -> anyhow::Result<Store> {
    let args = StoreArgs {
        redis_url: ServerUrl::new(servers.redis.url()),
    };
    Ok(Store::connect(&args)?)
}

/// Writes a fresh API key of a tenant to the store.
pub(crate) async fn new_api_key(store: &Store, tenant: &str) -> anyhow::Result<String> {
    let key = ApiKey::generate()?;
    let record = ApiKeyRecord {
        tenant: tenant.parse::<TenantId>()?,
        secret_digest: key.secret.digest(),
        name: "e2e".to_owned(),
        grant: Grant::default(),
        created_at: SystemTime::now().into(),
        revoked_at: None,
    };
    store.put_api_key(&key.id, &record).await?;
    Ok(key.reveal())
}

/// Waits until an ingest knows a new key.
pub(crate) async fn until_known(key: &str, url: &str) -> anyhow::Result<()> {
    let client = Client::new(url, key);
    crate::wait::until("the ingest to know a new key", || {
        let call = client.request(reqwest::Method::GET, "/v1/models");
        async move { Ok(call.send().await?.status().is_success().then_some(())) }
    })
    .await
}
