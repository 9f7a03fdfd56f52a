//! The two stores and nothing else: NATS JetStream, which holds accepted jobs until they are settled, and Redis, which
//! holds outcomes. The only crate that imports `async-nats` or `redis`; what a job means is not known here.

pub mod api_keys;
pub mod backlog;
pub mod backoff;
pub mod claim;
pub mod clock;
pub mod consumer;
pub mod dead_inputs;
pub mod dead_letters;
pub mod deliveries;
pub mod delivery;
pub mod door;
pub mod durability;
pub mod events;
mod hint;
pub mod idempotency;
pub mod job_id_keys;
mod lane;
mod lead;
mod linger;
pub mod metrics;
pub mod nats;
pub mod outbox;
pub mod outcomes;
pub mod progress;
pub mod publisher;
pub mod queue_depth;
pub mod queued;
pub mod readers;
mod records;
pub mod running;
mod script;
pub mod server_url;
pub mod settle;
pub mod start;
pub mod store;
mod store_clock;
pub mod store_memory;
pub mod tenants;
pub mod watch;
pub mod webhooks;

pub use backlog::Backlog;
pub use backoff::Backoff;
pub use claim::{Claim, ClaimRequest};
pub use clock::BrokerClock;
pub use consumer::QueueConsumer;
pub use dead_inputs::{DeadInputs, DeadLetterArgs, KeptInput};
pub use dead_letters::DeadLetterRecord;
pub use deliveries::{Attempt, DeliveryRecord, NewDelivery};
pub use delivery::Delivery;
pub use door::{AskError, Asked, Door, DoorClient, ReplyTo};
pub use durability::{DurabilityArgs, Level, LevelError};
pub use events::{EventRead, EventWindow};
pub use idempotency::Begun;
pub use lead::Lead;
pub use nats::{Broker, BrokerError, NatsArgs, StreamArgs};
pub use outbox::OutboxEntry;
pub use outcomes::{Ended, Known, Record};
pub use progress::{ProgressEntry, RowsRun};
pub use publisher::{PublishError, Publisher, PublisherArgs, Work};
pub use queue_depth::QueueDepth;
pub use server_url::ServerUrl;
pub use settle::{Settled, Settlement};
pub use start::StartError;
pub use store::{Store, StoreArgs, StoreError};
pub use tenants::TenantSettings;
pub use watch::{Expected, Follower, ProgressHints, Watch};
pub use webhooks::WebhookSettings;

/// Registers the help texts of this crate's metrics; once a process, after the recorder was installed.
pub fn describe_metrics() {
    metrics::describe();
}
