//! The order of the start: servers, key, ingest and workers, and then everything is ready.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::Context;
use futures_util::future::try_join_all;
use gristmill_broker::{DurabilityArgs, ServerUrl};
use gristmill_servers::{Binaries, Nats, NatsOptions, Redis, RedisOptions, free_port};

use super::{
    UpCommand, banner,
    data_dir::DataDir,
    dev_key,
    own_process::{OwnProcess, Recipe},
    ready::{self, Access},
    supervisor::{BEYOND_GRACE, Rank, Supervisor},
};
use crate::client::Client;

/// Everything runs.
#[derive(Debug)]
pub(super) struct Started {
    /// How to reach it.
    pub(super) access: Access,
    /// What people are told.
    pub(super) banner: String,
}

/// Starts everything, and hands each child to the supervisor as soon as it runs.
///
/// # Errors
/// A child does not start.
pub(super) async fn everything(
    command: &UpCommand,
    data_dir: &DataDir,
    supervisor: &Supervisor,
) -> anyhow::Result<Started> {
    let ((nats_url, nats_monitor_url), redis_url) = tokio::try_join!(
        nats(command, data_dir, supervisor),
        redis(command, data_dir, supervisor)
    )?;
    let api_key = dev_key::ensure(&data_dir.dev_key(), &redis_url).await?;
    let recipes = Recipes {
        command,
        data_dir,
        executable: std::env::current_exe().context("find the executable of this process")?,
        servers: Servers {
            nats: &nats_url,
            redis: &redis_url,
            nats_monitor: nats_monitor_url.as_ref(),
        }
        .variables(&command.durability),
    };
    let (ingest, workers) = tokio::try_join!(
        OwnProcess::start(recipes.ingest()?),
        try_join_all((1..=command.workers).map(|number| OwnProcess::start(recipes.worker(number))))
    )?;
    let announced = ingest.announced().clone();
    let access = Access {
        url: announced.url.context("an ingest announces its URL")?,
        admin_url: announced.admin_url,
        api_key,
        nats_url,
        redis_url,
    };
    supervisor.keep(ingest, ready::INGEST, Rank::Ingest);
    for (number, worker) in (1..).zip(workers) {
        supervisor.keep(worker, &ready::worker(number), Rank::Workers);
    }
    let client = Client::new(&access.url, &access.api_key)?;
    ready::key_is_taken(&client).await;
    let banner = banner::of(&access, data_dir, &client).await?;
    Ok(Started { access, banner })
}

/// Where it is, and where it tells of itself, if it does.
async fn nats(
    command: &UpCommand,
    data_dir: &DataDir,
    supervisor: &Supervisor,
) -> anyhow::Result<(ServerUrl, Option<ServerUrl>)> {
    let UpCommand { durability, .. } = command;
    if let Some(url) = &command.nats_url {
        return Ok((url.clone(), durability.nats_monitor_url.clone()));
    }
    let options = NatsOptions::new(Binaries::locate_nats()?, data_dir.nats(), durability.durability);
    let server = Nats::start(options).await?;
    let (url, monitor_url) = (server.url().into(), server.options().monitor_url().into());
    supervisor.keep(server, ready::NATS, Rank::Servers);
    Ok((url, Some(monitor_url)))
}

async fn redis(command: &UpCommand, data_dir: &DataDir, supervisor: &Supervisor) -> anyhow::Result<ServerUrl> {
    if let Some(url) = &command.redis_url {
        return Ok(url.clone());
    }
    let options = RedisOptions::new(
        Binaries::locate_redis()?,
        data_dir.redis(),
        command.durability.durability,
    );
    let server = Redis::start(options).await?;
    let url = server.url().into();
    supervisor.keep(server, ready::REDIS, Rank::Servers);
    Ok(url)
}

/// How the servers are reached.
struct Servers<'a> {
    nats: &'a ServerUrl,
    redis: &'a ServerUrl,
    nats_monitor: Option<&'a ServerUrl>,
}

impl Servers<'_> {
    /// What our own processes are told of them. Not as flags: everybody may read those, and URLs may hold passwords.
    fn variables(&self, args: &DurabilityArgs) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("GRISTMILL_NATS_URL", self.nats.reveal().to_owned()),
            ("GRISTMILL_REDIS_URL", self.redis.reveal().to_owned()),
            ("GRISTMILL_DURABILITY", args.durability.to_string()),
            ("GRISTMILL_DURABILITY_UNCHECKED", args.durability_unchecked.to_string()),
        ];
        variables.extend(
            self.nats_monitor
                .map(|url| ("GRISTMILL_NATS_MONITOR_URL", url.reveal().to_owned())),
        );
        variables
    }
}

/// The command lines of our own processes.
struct Recipes<'a> {
    command: &'a UpCommand,
    data_dir: &'a DataDir,
    executable: PathBuf,
    servers: Vec<(&'static str, String)>,
}

impl Recipes<'_> {
    /// Its ports are chosen here and not by the kernel, so that it has the same ones when it is started again.
    fn ingest(&self) -> anyhow::Result<Recipe> {
        let mut args = words(["ingest", "--create-job-id-keys", "--job-id-keys"]);
        args.push(self.data_dir.job_id_keys().display().to_string());
        args.extend(["--listen".to_owned(), address(self.command.port)?]);
        args.extend(["--admin-addr".to_owned(), address(self.command.admin_port)?]);
        args.extend(["--drain-timeout".to_owned(), self.command.grace.to_string()]);
        Ok(self.recipe(ready::INGEST.to_owned(), args))
    }

    fn worker(&self, number: u16) -> Recipe {
        let mut args = words(["worker", "--admin-addr", "127.0.0.1:0"]);
        args.extend(["--worker-grace".to_owned(), self.command.grace.to_string()]);
        self.recipe(ready::worker(number), args)
    }

    fn recipe(&self, name: String, mut args: Vec<String>) -> Recipe {
        let UpCommand { catalog, .. } = self.command;
        args.extend(["--models-dir".to_owned(), catalog.models_dir.display().to_string()]);
        args.extend([
            "--artifacts-dir".to_owned(),
            catalog.artifacts_dir.display().to_string(),
        ]);
        args.extend(["--log".to_owned(), self.command.log_filter.clone()]);
        args.extend(["--log-format".to_owned(), word(self.command.log_format)]);
        Recipe {
            announcement: self.data_dir.announcement(&name),
            executable: self.executable.clone(),
            grace: Duration::from(self.command.grace) + BEYOND_GRACE,
            name,
            args,
            environment: self.servers.clone(),
        }
    }
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

/// The word of a choice on the command line.
fn word(choice: impl clap::ValueEnum) -> String {
    let value = choice.to_possible_value();
    value.map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn address(port: u16) -> anyhow::Result<String> {
    let port = if port == 0 { free_port()? } else { port };
    Ok(SocketAddr::from(([127, 0, 0, 1], port)).to_string())
}
