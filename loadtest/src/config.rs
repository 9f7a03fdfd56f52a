//! The flags and environment variables of a load test.

use std::{convert::Infallible, fmt, path::PathBuf, str::FromStr};

use gristmill_broker::ServerUrl;
use gristmill_schemas::{Lane, Span};
use serde::{Deserialize, Serialize};

use crate::{pace::MOST_IN_FLIGHT, schedule::Arrivals, slo::Slo};

/// All that a load test can be told.
#[derive(Debug, Clone, clap::Args)]
pub struct LoadtestArgs {
    /// Whom to ask.
    #[command(flatten)]
    pub target: TargetArgs,
    /// What to ask for.
    #[command(flatten)]
    pub work: WorkArgs,
    /// How much of it.
    #[command(flatten)]
    pub pace: PaceArgs,
    /// Do what this file says instead (TOML; loadtest/scenarios has some): several loads at once, phase by phase
    #[arg(
        long,
        help_heading = "Work",
        value_name = "FILE",
        conflicts_with_all = ["model", "rows", "texts", "lane", "deadline", "in_flight", "rate", "arrivals", "jobs", "duration"]
    )]
    pub scenario: Option<PathBuf>,
    /// What is told, and when the test has passed.
    #[command(flatten)]
    pub report: ReportArgs,
}

/// What is told, and when the test has passed.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Report")]
pub struct ReportArgs {
    /// Jobs that end as failed, expired or cancelled do not fail the test: it still fails on lost, duplicated and wrong ones
    #[arg(long)]
    pub allow_failures: bool,
    /// What is to be reached, gates in a row: "p99<200ms,errors<0.1%,lost=0,rate>=500". With errors among them, refused and
    /// failed jobs fail the test only past that gate
    #[arg(long, value_name = "GATES")]
    pub slo: Option<Slo>,
    /// Search, from --rate, for the highest rate that reaches the gates: each one tried takes --duration
    #[arg(long, requires = "slo", requires = "rate", requires = "duration")]
    pub search: bool,
    /// Write the report to this file as well, as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write it to this file as one page with plots
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Compare with the run of this file, which --json has written
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
}

/// Whom to ask, and with which words.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Target")]
pub struct TargetArgs {
    /// The server's URL: http:// of an ingest, or nats:// of a broker whose ingests serve there as well (--nats-door)
    #[arg(
        long,
        env = "GRISTMILL_URL",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL"
    )]
    pub url: ServerUrl,
    /// The API key
    #[arg(long, env = "GRISTMILL_API_KEY", hide_env_values = true, value_name = "KEY")]
    pub api_key: ApiKey,
    /// How requests and replies are written
    #[arg(long, value_enum, default_value_t, value_name = "ENCODING")]
    pub encoding: Encoding,
    /// How the result comes to hand
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub wait: Wait,
    /// Submit without an Idempotency-Key, which costs the server two durable writes a job: a submission after which nobody
    /// knows whether it was accepted is given up then, instead of repeated
    #[arg(long)]
    pub no_idempotency_key: bool,
}

/// What to ask for.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Work")]
pub struct WorkArgs {
    /// Which model the jobs are for
    #[arg(long, value_enum, default_value_t, value_name = "MODEL")]
    pub model: Model,
    /// Rows of a job
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=4096), value_name = "N")]
    pub rows: u16,
    /// How long the texts are, for a model of texts
    #[arg(long, value_enum, default_value_t, value_name = "WHICH")]
    pub texts: Texts,
    /// Where the jobs wait: interactive or batch
    #[arg(long, default_value_t, value_name = "LANE")]
    pub lane: Lane,
    /// The deadline the jobs name; the server's own if not given
    #[arg(long, value_name = "TIME")]
    pub deadline: Option<Span>,
}

/// How much, how fast, how patiently.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Pace")]
pub struct PaceArgs {
    /// Jobs in flight at once (16); with --rate the most there may be (8192)
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=i64::from(MOST_IN_FLIGHT)), value_name = "N")]
    pub in_flight: Option<u16>,
    /// Jobs a second that begin by the clock, whether or not those before them have ended: an open loop
    #[arg(long, value_parser = rate, value_name = "N")]
    pub rate: Option<f64>,
    /// How they lie within the rate
    #[arg(long, value_enum, default_value_t, requires = "rate", value_name = "HOW")]
    pub arrivals: Arrivals,
    /// Jobs in all
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..), value_name = "N")]
    pub jobs: u64,
    /// Submit for so long, however many jobs that makes, instead of a number of jobs
    #[arg(long, conflicts_with = "jobs", value_name = "TIME")]
    pub duration: Option<Span>,
    /// How long a job may take to be accepted, and then to end; one that has not ended by then is lost
    #[arg(long, default_value = "60s", value_name = "TIME")]
    pub timeout: Span,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.001..=1e6).contains(&rate) => Ok(rate),
        _ => Err("expected a number from 0.001 to 1000000".to_owned()),
    }
}

/// An API key. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// The key in full.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for ApiKey {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// How requests and replies are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// MessagePack with raw tensor bytes
    #[default]
    Msgpack,
    /// JSON
    Json,
}

impl Encoding {
    /// Its media type.
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Msgpack => "application/msgpack",
            Self::Json => "application/json",
        }
    }

    /// Its word on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Msgpack => "msgpack",
            Self::Json => "json",
        }
    }
}

/// How the result comes to hand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Wait {
    /// In the answer to the submission (Prefer: wait), by long-poll if it is not there in time
    #[default]
    Prefer,
    /// Submission and long-poll (GET ?wait=) in two requests
    LongPoll,
    /// Submission, and the job's events (SSE) in a second request
    Events,
}

impl Wait {
    /// Its word on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prefer => "prefer",
            Self::LongPoll => "long-poll",
            Self::Events => "events",
        }
    }
}

/// How long texts are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Texts {
    /// Sentences of about ten words
    #[default]
    Short,
    /// As in prose: lengths follow a log-normal distribution, half of them below 18 words and one in twenty above 67
    Mixed,
}

impl Texts {
    /// Its word on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Mixed => "mixed",
        }
    }
}

/// Which model the jobs are for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    /// Rows of numbers, which must come back bit for bit
    #[default]
    Identity,
    /// Numbers of which four come back, with scores that are known
    Light,
    /// Files of known types
    Magika,
    /// Sentences of known embeddings
    Minilm,
}

impl Model {
    /// The model's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Light => "light",
            Self::Magika => "magika",
            Self::Minilm => "minilm",
        }
    }
}
