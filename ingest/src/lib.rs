//! Admission and the doors: HTTP in, one transport-free submit behind every door.
//!
//! A request is decoded by its door, taken by [`submit::Submitter`], and answered once the stream has acknowledged its
//! job. What became of a job is [`jobs::Jobs`]'s to tell. Workers are not known here.

pub mod admission;
mod arrivals;
pub mod auth;
pub mod config;
pub mod dead_letters;
pub mod deliveries;
pub mod drain_rate;
pub mod feed;
pub mod filter;
pub mod http;
pub mod idempotency_key;
pub mod ingest;
pub mod job_id_keys;
pub mod jobs;
pub mod keys;
mod level_watch;
pub mod list;
mod metrics;
mod nats_door;
pub mod position;
pub mod progress;
pub mod queues;
mod reconciler;
mod serve;
pub mod store_room;
pub mod submit;
pub mod tenant_quota;
mod trace;

pub use config::IngestArgs;
pub use ingest::{Listeners, run};
