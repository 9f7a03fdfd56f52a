//! What a worker process can be told, and which of it contradicts itself.

use std::time::Duration;

use gristmill_broker::{DurabilityArgs, NatsArgs, StoreArgs};
use gristmill_models::CatalogArgs;
use gristmill_schemas::{ModelName, Span};
use gristmill_telemetry::TelemetryArgs;

use crate::engine::EngineArgs;

/// Everything a worker process is told.
#[derive(Debug, Clone, clap::Args)]
pub struct WorkerArgs {
    /// The broker.
    #[command(flatten)]
    pub nats: NatsArgs,
    /// The store.
    #[command(flatten)]
    pub store: StoreArgs,
    /// The models.
    #[command(flatten)]
    pub catalog: CatalogArgs,
    /// The engine.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// What is held, for how long, how often.
    #[command(flatten)]
    pub holding: HoldingArgs,
    /// What broker and store are to keep.
    #[command(flatten)]
    pub durability: DurabilityArgs,
    /// Logs, metrics, health.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
}

/// What a worker holds, for how long, and how often a job may be tried.
#[derive(Debug, Clone, clap::Args)]
pub struct HoldingArgs {
    /// Serve these models only (default: all)
    #[arg(long = "model", env = "GRISTMILL_MODELS", value_delimiter = ',', value_name = "NAME")]
    pub models: Vec<ModelName>,
    /// Full envelopes of one queue (model, version, lane, tenant group) whose rows wait in this process
    #[arg(long, env = "GRISTMILL_PREFETCH", default_value_t = 2, value_name = "N")]
    pub prefetch: usize,
    /// How long the broker waits for a sign of life before it delivers an envelope to another worker
    #[arg(long, env = "GRISTMILL_ACK_WAIT", default_value = "10s", value_name = "TIME")]
    pub ack_wait: Span,
    /// How long one standing pull waits for envelopes
    #[arg(long, env = "GRISTMILL_PULL_EXPIRES", default_value = "5s", value_name = "TIME")]
    pub pull_expires: Span,
    /// Attempts at a job that leave no outcome before it fails
    #[arg(long, env = "GRISTMILL_MAX_ATTEMPTS", default_value_t = 5, value_name = "N")]
    pub max_attempts: u32,
    /// The largest outcome, in bytes of outputs
    #[arg(long, env = "GRISTMILL_MAX_OUTCOME_BYTES", default_value_t = 8 << 20, value_name = "BYTES")]
    pub max_outcome_bytes: usize,
    /// How long a worker that was told to end may take to finish what it has begun
    #[arg(long, env = "GRISTMILL_WORKER_GRACE", default_value = "30s", value_name = "TIME")]
    pub worker_grace: Span,
}

/// How often held envelopes are reported to be alive. The same in every worker: the broker counts by whichever worker's
/// `ack_wait` it was told last, and two signs within the shortest one may be lost.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(1);
/// More would keep jobs from other workers for nothing, and their rows could not be counted.
const MAX_PREFETCH: usize = 1024;
const MIN_ACK_WAIT: Span = Span::from_secs(3);

impl WorkerArgs {
    /// Every contradiction, each a sentence.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = self.holding.problems();
        problems.extend(self.durability.problems());
        problems
    }
}

impl HoldingArgs {
    /// Every contradiction, each a sentence.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !(1..=MAX_PREFETCH).contains(&self.prefetch) {
            problems.push(format!("--prefetch must be 1 to {MAX_PREFETCH}"));
        }
        if self.ack_wait < MIN_ACK_WAIT {
            problems.push(format!(
                "--ack-wait must be at least {MIN_ACK_WAIT}: a worker has to report life several times within it"
            ));
        }
        if self.max_attempts == 0 {
            problems.push("--max-attempts must be at least 1".to_owned());
        }
        problems
    }
}
