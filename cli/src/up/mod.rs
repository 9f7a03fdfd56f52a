//! `gristmill up`: everything on one machine. What is started here runs in production too, by the same command lines; only
//! the two servers and the development key are this command's own.

mod banner;
mod data_dir;
mod dev_key;
mod keeper;
mod member;
mod operator_token;
mod own_process;
mod ready;
mod signals;
mod start;
mod supervisor;

use std::path::PathBuf;

use gristmill_broker::{DurabilityArgs, ServerUrl};
use gristmill_models::CatalogArgs;
use gristmill_schemas::Span;
use gristmill_telemetry::{LogFormat, TelemetryArgs, logs};

pub(crate) use self::data_dir::{DEFAULT_DATA_DIR, DevKeyFile};
use self::{data_dir::DataDir, signals::Signals, supervisor::Supervisor};
use crate::problems::Problems;

/// How much of it, where, and what it is told.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Every other setting of the ingest and the workers is taken from its environment variable; \
                        `gristmill ingest --help` and `gristmill worker --help` name them."
)]
pub(crate) struct UpCommand {
    /// Folder of everything that lasts: the servers' data, the keys
    #[arg(long, env = "GRISTMILL_DATA_DIR", default_value = DEFAULT_DATA_DIR, value_name = "DIR")]
    data_dir: PathBuf,
    /// A NATS server to use instead of one of our own
    #[arg(long, env = "GRISTMILL_NATS_URL", value_name = "URL")]
    nats_url: Option<ServerUrl>,
    /// A Redis server to use instead of one of our own
    #[arg(long, env = "GRISTMILL_REDIS_URL", value_name = "URL")]
    redis_url: Option<ServerUrl>,
    /// Worker processes; each runs one session of every model. Two, so that one may die while the other goes on
    #[arg(long, env = "GRISTMILL_WORKERS", default_value_t = 2, value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
    /// Port of the HTTP API on 127.0.0.1; 0 takes a free one
    #[arg(long, env = "GRISTMILL_PORT", default_value_t = 8080, value_name = "PORT")]
    port: u16,
    /// Port of the ingest's admin listener on 127.0.0.1; 0 takes a free one
    #[arg(long, env = "GRISTMILL_ADMIN_PORT", default_value_t = 0, value_name = "PORT")]
    admin_port: u16,
    /// Written once everything is ready, removed at the end: URLs, API key and process ids as JSON
    #[arg(long, env = "GRISTMILL_READY_FILE", value_name = "PATH")]
    ready_file: Option<PathBuf>,
    /// How long the ingest, and then the workers, may take to finish what they have begun
    #[arg(long, env = "GRISTMILL_GRACE", default_value = "30s", value_name = "TIME")]
    grace: Span,
    #[command(flatten)]
    catalog: CatalogArgs,
    /// How logs are written to stderr
    #[arg(
        long,
        value_enum,
        default_value_t,
        env = "GRISTMILL_LOG_FORMAT",
        value_name = "FORMAT"
    )]
    log_format: LogFormat,
    /// What is logged: a level, or a list of target=level
    #[arg(
        long = "log",
        env = "GRISTMILL_LOG",
        default_value = "info,async_nats=warn,ort=warn",
        value_name = "FILTER"
    )]
    log_filter: String,
    /// What the servers are to keep: our own are started so, others must be so.
    #[command(flatten)]
    durability: DurabilityArgs,
}

impl UpCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        self.check()?;
        let signals = Signals::listen()?;
        let data_dir = DataDir::take(&self.data_dir)?;
        let ready_file = ready::ReadyFile::new(self.ready_file.clone())?;
        let supervisor = Supervisor::new(self.grace.into());
        let starting = start::everything(&self, &data_dir, &supervisor);
        supervisor.run(starting, signals, &ready_file).await
    }

    /// Everything that can be known to be wrong without a child.
    fn check(&self) -> Result<(), Problems> {
        let telemetry = TelemetryArgs {
            log_format: self.log_format,
            log_filter: self.log_filter.clone(),
            admin_addr: None,
            operator_token: None,
        };
        let mut problems = Problems::default();
        problems.note(logs::init(&telemetry));
        problems.note(self.catalog.catalog());
        // our own server is asked on its own endpoint
        if self.nats_url.is_some() {
            problems.add(self.durability.problems());
        }
        if self.admin_port != 0 && self.admin_port == self.port {
            problems.add(["--port and --admin-port must differ".to_owned()]);
        }
        problems.into_result()
    }
}
