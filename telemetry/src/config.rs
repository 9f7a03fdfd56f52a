//! The flags and environment variables of telemetry. What they do is in the modules beside.

use std::net::SocketAddr;

use crate::operator::{Operator, OperatorToken};
use crate::shutdown::Shutdown;

/// How one log event is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// A JSON object a line, for machines.
    Json,
}

/// Logs and the admin listener.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Telemetry")]
pub struct TelemetryArgs {
    /// How logs are written to stderr
    #[arg(
        long,
        value_enum,
        default_value_t,
        env = "GRISTMILL_LOG_FORMAT",
        value_name = "FORMAT"
    )]
    pub log_format: LogFormat,

    /// What is logged: a level, or a list of target=level
    #[arg(
        long = "log",
        default_value = "info,async_nats=warn",
        env = "GRISTMILL_LOG",
        value_name = "FILTER"
    )]
    pub log_filter: String,

    /// Where /livez, /readyz and /metrics are served; not served if not given; port 0 takes a free one
    #[arg(long, env = "GRISTMILL_ADMIN_ADDR", value_name = "IP:PORT")]
    pub admin_addr: Option<SocketAddr>,

    /// The token that operators show on the admin listener, or @FILE that holds it; /operator is not served if not given
    #[arg(long, env = "GRISTMILL_OPERATOR_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub operator_token: Option<OperatorToken>,
}

impl TelemetryArgs {
    /// What an operator may do to a process that ends by this shutdown; nothing, where there is no token.
    #[must_use]
    pub fn operator(&self, shutdown: &Shutdown) -> Option<Operator> {
        self.operator_token.clone().map(|token| Operator {
            token,
            shutdown: shutdown.clone(),
        })
    }
}
