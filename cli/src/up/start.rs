//! The order of the start: servers, key, ingest and workers, and then everything is ready.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::Context;
use futures_util::future::try_join_all;
use gristmill_broker::{DurabilityArgs, ServerUrl};
use gristmill_servers::{Binaries, Nats, NatsOptions, Redis, RedisOptions, Role, free_port};

use super::{
    UpCommand, banner,
    data_dir::DataDir,
    dev_key, operator_token,
    own_process::{OwnProcess, Recipe},
    ready::{self, Access},
    supervisor::{BEYOND_GRACE, Rank, Supervisor},
};
use crate::{atomic_file, client::Client};

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
    let (nats, redis) = tokio::try_join!(
        nats(command, data_dir, supervisor),
        redis(command, data_dir, supervisor)
    )?;
    atomic_file::write(&data_dir.redis_url(), redis.operator.reveal().as_bytes())?;
    operator_token::ensure(&data_dir.operator_token())?;
    let api_key = dev_key::ensure(&data_dir.dev_key(), &redis.operator).await?;
    let recipes = Recipes {
        command,
        data_dir,
        executable: std::env::current_exe().context("find the executable of this process")?,
        servers: Servers {
            nats: &nats,
            redis: &redis,
        },
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
        nats_url: nats.operator.clone(),
        redis_url: redis.operator.clone(),
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

/// How one server is reached by whom. One that was given has one URL for all.
struct Reached {
    operator: ServerUrl,
    ingest: ServerUrl,
    worker: ServerUrl,
    /// Where it tells of itself, if it does.
    monitor: Option<ServerUrl>,
}

impl Reached {
    fn given(url: &ServerUrl, monitor: Option<ServerUrl>) -> Self {
        let [operator, ingest, worker] = [(); 3].map(|()| url.clone());
        Self {
            operator,
            ingest,
            worker,
            monitor,
        }
    }

    fn own(url_of: impl Fn(Role) -> String, monitor: Option<String>) -> Self {
        let [operator, ingest, worker] =
            [Role::Operator, Role::Ingest, Role::Worker].map(|role| ServerUrl::new(url_of(role)));
        Self {
            operator,
            ingest,
            worker,
            monitor: monitor.map(ServerUrl::new),
        }
    }
}

async fn nats(command: &UpCommand, data_dir: &DataDir, supervisor: &Supervisor) -> anyhow::Result<Reached> {
    let UpCommand { durability, .. } = command;
    if let Some(url) = &command.nats_url {
        return Ok(Reached::given(url, durability.nats_monitor_url.clone()));
    }
    let options = NatsOptions::new(Binaries::locate_nats()?, data_dir.nats(), durability.durability);
    let server = Nats::start(options).await?;
    let reached = Reached::own(|role| server.url_of(role), Some(server.options().monitor_url()));
    supervisor.keep(server, ready::NATS, Rank::Servers);
    Ok(reached)
}

async fn redis(command: &UpCommand, data_dir: &DataDir, supervisor: &Supervisor) -> anyhow::Result<Reached> {
    if let Some(url) = &command.redis_url {
        return Ok(Reached::given(url, None));
    }
    let options = RedisOptions::new(
        Binaries::locate_redis()?,
        data_dir.redis(),
        command.durability.durability,
    );
    let server = Redis::start(options).await?;
    let reached = Reached::own(|role| server.url_of(role), None);
    supervisor.keep(server, ready::REDIS, Rank::Servers);
    Ok(reached)
}

/// Both servers.
struct Servers<'a> {
    nats: &'a Reached,
    redis: &'a Reached,
}

impl Servers<'_> {
    /// What a process of ours is told of them. Not as flags: everybody may read those, and URLs hold passwords.
    fn variables(&self, url: impl Fn(&Reached) -> &ServerUrl, args: &DurabilityArgs) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("GRISTMILL_NATS_URL", url(self.nats).reveal().to_owned()),
            ("GRISTMILL_REDIS_URL", url(self.redis).reveal().to_owned()),
            ("GRISTMILL_DURABILITY", args.durability.to_string()),
            ("GRISTMILL_DURABILITY_UNCHECKED", args.durability_unchecked.to_string()),
        ];
        let monitor = self.nats.monitor.as_ref();
        variables.extend(monitor.map(|url| ("GRISTMILL_NATS_MONITOR_URL", url.reveal().to_owned())));
        variables
    }
}

/// The command lines of our own processes.
struct Recipes<'a> {
    command: &'a UpCommand,
    data_dir: &'a DataDir,
    executable: PathBuf,
    servers: Servers<'a>,
}

impl Recipes<'_> {
    /// Its ports are chosen here and not by the kernel, so that it has the same ones when it is started again.
    fn ingest(&self) -> anyhow::Result<Recipe> {
        let mut args = words(["ingest", "--create-job-id-keys", "--job-id-keys"]);
        args.push(self.data_dir.job_id_keys().display().to_string());
        args.extend(["--listen".to_owned(), address(self.command.port)?]);
        args.extend(["--admin-addr".to_owned(), address(self.command.admin_port)?]);
        args.extend(["--drain-timeout".to_owned(), self.command.grace.to_string()]);
        Ok(self.recipe(ready::INGEST.to_owned(), args, |reached| &reached.ingest))
    }

    fn worker(&self, number: u16) -> Recipe {
        let mut args = words(["worker", "--admin-addr", "127.0.0.1:0"]);
        args.extend(["--worker-grace".to_owned(), self.command.grace.to_string()]);
        self.recipe(ready::worker(number), args, |reached| &reached.worker)
    }

    fn recipe(&self, name: String, mut args: Vec<String>, url: impl Fn(&Reached) -> &ServerUrl) -> Recipe {
        let UpCommand {
            catalog, durability, ..
        } = self.command;
        args.extend(["--models-dir".to_owned(), catalog.models_dir.display().to_string()]);
        args.extend([
            "--artifacts-dir".to_owned(),
            catalog.artifacts_dir.display().to_string(),
        ]);
        args.extend([
            "--operator-token".to_owned(),
            format!("@{}", self.data_dir.operator_token().display()),
        ]);
        args.extend(["--log".to_owned(), self.command.log_filter.clone()]);
        args.extend(["--log-format".to_owned(), word(self.command.log_format)]);
        Recipe {
            announcement: self.data_dir.announcement(&name),
            executable: self.executable.clone(),
            grace: Duration::from(self.command.grace) + BEYOND_GRACE,
            name,
            args,
            environment: self.servers.variables(url, durability),
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
