//! The flags and environment variables of an ingest, and the check of how they go together.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use gristmill_broker::{DeadLetterArgs, DurabilityArgs, NatsArgs, PublisherArgs, StoreArgs, StreamArgs};
use gristmill_models::CatalogArgs;
use gristmill_schemas::{Retention, Span};
use gristmill_telemetry::TelemetryArgs;
use gristmill_webhooks::WebhookArgs;

/// All that an ingest can be told.
#[derive(Debug, Clone, clap::Args)]
pub struct IngestArgs {
    /// The HTTP door.
    #[command(flatten)]
    pub http: HttpArgs,
    /// What one request may bring, and how much of it at once.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// The keys that sign job ids.
    #[command(flatten)]
    pub job_id_keys: JobIdKeyArgs,
    /// The models.
    #[command(flatten)]
    pub catalog: CatalogArgs,
    /// The broker.
    #[command(flatten)]
    pub nats: NatsArgs,
    /// The door on it.
    #[command(flatten)]
    pub nats_door: NatsDoorArgs,
    /// The stream.
    #[command(flatten)]
    pub stream: StreamArgs,
    /// The inputs of failed jobs.
    #[command(flatten)]
    pub dead_letters: DeadLetterArgs,
    /// The publisher.
    #[command(flatten)]
    pub publisher: PublisherArgs,
    /// The store.
    #[command(flatten)]
    pub store: StoreArgs,
    /// Who is told of the ends of jobs.
    #[command(flatten)]
    pub webhooks: WebhookArgs,
    /// What both are to keep.
    #[command(flatten)]
    pub durability: DurabilityArgs,
    /// Logs and the admin listener.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
}

/// Where and how HTTP is served.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "HTTP")]
pub struct HttpArgs {
    /// Where clients connect; port 0 takes a free one
    #[arg(
        long,
        env = "GRISTMILL_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "IP:PORT"
    )]
    pub listen: SocketAddr,
    /// The most connections at once; further ones wait to be taken
    #[arg(long, env = "GRISTMILL_MAX_CONNECTIONS", default_value_t = 8192, value_name = "N")]
    pub max_connections: usize,
    /// How long the head of a request may take to arrive
    #[arg(long, env = "GRISTMILL_HEADER_TIMEOUT", default_value = "10s", value_name = "TIME")]
    pub header_timeout: Span,
    /// How long the body of a request may take to arrive
    #[arg(long, env = "GRISTMILL_BODY_TIMEOUT", default_value = "30s", value_name = "TIME")]
    pub body_timeout: Span,
    /// How long requests in progress may take to end at shutdown
    #[arg(long, env = "GRISTMILL_DRAIN_TIMEOUT", default_value = "15s", value_name = "TIME")]
    pub drain_timeout: Span,
}

/// Whether requests are served over NATS as well.
#[derive(Debug, Clone, clap::Args)]
pub struct NatsDoorArgs {
    /// Serve the API over NATS too, as requests to the subject gristmill.requests. API keys then pass through the broker: whoever
    /// may subscribe there sees them
    #[arg(long, env = "GRISTMILL_NATS_DOOR")]
    pub nats_door: bool,
}

/// What one request may bring, and how much of it there may be at once. Each bound keeps memory or descriptors flat.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// The most bytes of one body, counted after decompression
    #[arg(long, env = "GRISTMILL_MAX_BODY_BYTES", default_value_t = 8 << 20, value_name = "BYTES")]
    pub max_body_bytes: usize,
    /// The most bytes of one job's inputs as tensors
    #[arg(long, env = "GRISTMILL_MAX_INPUT_BYTES", default_value_t = 4 << 20, value_name = "BYTES")]
    pub max_input_bytes: usize,
    /// The most bytes of bodies held at once; past it submissions are refused
    #[arg(long, env = "GRISTMILL_MAX_HELD_BYTES", default_value_t = 256 << 20, value_name = "BYTES")]
    pub max_held_bytes: usize,
    /// The most requests in progress at once, waiting ones included
    #[arg(long, env = "GRISTMILL_MAX_REQUESTS", default_value_t = 8192, value_name = "N")]
    pub max_requests: usize,
    /// The most event streams (SSE) open at once
    #[arg(long, env = "GRISTMILL_MAX_EVENT_STREAMS", default_value_t = 1024, value_name = "N")]
    pub max_event_streams: usize,
    /// The most bulk requests in progress at once; each holds some 20 MiB at most
    #[arg(long, env = "GRISTMILL_MAX_BULK_REQUESTS", default_value_t = 16, value_name = "N")]
    pub max_bulk_requests: usize,
    /// The most bytes of replies that one bulk request leaves on disk (in the folder for temporary files) while its client reads none
    #[arg(long, env = "GRISTMILL_BULK_SPOOL_BYTES", default_value_t = 1 << 30, value_name = "BYTES")]
    pub bulk_spool_bytes: u64,
    /// The most jobs of one tenant that wait at once, over all ingests; a tenant may have a limit of its own; 0 for none
    #[arg(
        long,
        env = "GRISTMILL_MAX_QUEUED_PER_TENANT",
        default_value_t = 1_000_000,
        value_name = "N"
    )]
    pub max_queued_per_tenant: u64,
    /// The share of the store's `maxmemory` that outcomes may fill; past it submissions are refused
    #[arg(
        long,
        env = "GRISTMILL_STORE_MEMORY_LIMIT",
        default_value_t = 0.9,
        value_name = "SHARE"
    )]
    pub store_memory_limit: f64,
    /// The deadline of a job that names none
    #[arg(long, env = "GRISTMILL_DEFAULT_DEADLINE", default_value = "5m", value_name = "TIME")]
    pub default_deadline: Span,
    /// The shortest deadline
    #[arg(long, env = "GRISTMILL_MIN_DEADLINE", default_value = "100ms", value_name = "TIME")]
    pub min_deadline: Span,
    /// How long outcomes and lineage are kept, from 1min to 45days; a tenant may have a retention of its own
    #[arg(long, env = "GRISTMILL_RETENTION", default_value = "24h", value_name = "TIME")]
    pub retention: Retention,
    /// The longest deadline; shorter than the retention of outcomes
    #[arg(long, env = "GRISTMILL_MAX_DEADLINE", default_value = "6h", value_name = "TIME")]
    pub max_deadline: Span,
    /// How long after its deadline a job without an outcome is settled as expired by whoever looks
    #[arg(long, env = "GRISTMILL_EXPIRY_GRACE", default_value = "30s", value_name = "TIME")]
    pub expiry_grace: Span,
}

/// The keys that sign job ids.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Job ids")]
pub struct JobIdKeyArgs {
    /// A JSON file of the keys that sign job ids, by number: {"1": "<64 hex digits>"}; the same for every ingest
    #[arg(long, env = "GRISTMILL_JOB_ID_KEYS", value_name = "FILE")]
    pub job_id_keys: PathBuf,
    /// Write a fresh key to that file if it is not there (one ingest alone)
    #[arg(long, env = "GRISTMILL_CREATE_JOB_ID_KEYS")]
    pub create_job_id_keys: bool,
}

/// Settings that do not go together, all of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the settings do not go together:\n  {}", .0.join("\n  "))]
pub struct ConfigError(pub Vec<String>);

impl IngestArgs {
    /// Looks for settings that do not go together.
    ///
    /// # Errors
    /// Every problem, each a sentence with the flags in it.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Vec::new();
        let mut demand = |holds: bool, problem: &str| {
            if !holds {
                problems.push(problem.to_owned());
            }
        };
        let limits = &self.limits;
        demand(
            limits.min_deadline <= limits.default_deadline,
            "--min-deadline is longer than --default-deadline",
        );
        demand(
            limits.default_deadline <= limits.max_deadline,
            "--default-deadline is longer than --max-deadline",
        );
        demand(
            (0.1..=1.0).contains(&limits.store_memory_limit),
            "--store-memory-limit is a share from 0.1 to 1",
        );
        let kept = Duration::from(limits.max_deadline) + Duration::from(limits.expiry_grace);
        demand(
            kept < limits.retention.as_duration(),
            "--max-deadline and --expiry-grace together must be shorter than --retention: a job must end before it is forgotten",
        );
        demand(limits.max_body_bytes > 0, "--max-body-bytes must be at least 1");
        demand(
            limits.max_input_bytes <= limits.max_body_bytes,
            "--max-input-bytes is more than --max-body-bytes lets in",
        );
        demand(
            limits.max_body_bytes <= limits.max_held_bytes,
            "--max-held-bytes must have room for one body of --max-body-bytes",
        );
        demand(
            u32::try_from(limits.max_held_bytes).is_ok(),
            "--max-held-bytes must be below 4 GiB",
        );
        demand(limits.max_requests > 0, "--max-requests must be at least 1");
        demand(self.http.max_connections > 0, "--max-connections must be at least 1");
        problems.extend(self.durability.problems());
        if problems.is_empty() {
            Ok(())
        } else {
            Err(ConfigError(problems))
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: IngestArgs,
    }

    fn parsed(flags: &[&str]) -> IngestArgs {
        let line = [
            "ingest",
            "--job-id-keys",
            "keys.json",
            "--nats-monitor-url",
            "http://nats:8222",
        ]
        .iter()
        .chain(flags);
        Command::parse_from(line).args
    }

    #[test]
    fn defaults_go_together() {
        assert_eq!(parsed(&[]).check(), Ok(()));
    }

    #[test]
    fn every_contradiction_is_reported_at_once() {
        let args = parsed(&[
            "--max-deadline",
            "25h",
            "--max-body-bytes",
            "1000",
            "--max-requests",
            "0",
        ]);
        let ConfigError(problems) = args.check().unwrap_err();
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems[0].contains("--retention"), "{problems:?}");
    }
}
