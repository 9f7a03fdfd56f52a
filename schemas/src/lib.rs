//! The contract between Gristmill's processes and with its clients: types, encoding, names of subjects and keys.
//!
//! Everything here is plain data and pure functions: no I/O, no async, no clock, no environment. What crosses the wire
//! is MessagePack with named fields and a `schema_version`; unknown fields are tolerated, an unknown major is refused.

pub mod api;
pub mod bulk;
pub mod codec;
pub mod cursor;
pub mod datatype;
pub mod dead_letter;
pub mod digest;
pub mod durability;
pub mod envelope;
pub mod event;
pub mod failure;
mod fields;
pub mod infer;
pub mod job;
pub mod job_id;
pub mod json;
pub mod key;
pub mod lane;
pub mod lineage;
pub mod manifest;
pub mod name;
mod node;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod outcome;
pub mod progress;
pub mod provenance;
pub mod refusal;
pub mod retention;
pub mod running;
pub mod signature;
pub mod span;
pub mod subject;
pub mod tensor;
pub mod time;
pub mod trace;
pub mod webhook;
pub mod webhook_secret;

pub use cursor::{Cursor, Position};
pub use datatype::Datatype;
pub use digest::Digest;
pub use durability::Durability;
pub use envelope::Envelope;
pub use event::JobEvent;
pub use failure::{Failure, FailureCode};
pub use infer::InferRequest;
pub use job::Job;
pub use job_id::{JobId, JobIdKeys};
pub use lane::Lane;
pub use lineage::Lineage;
pub use manifest::Manifest;
pub use name::{KeyId, ModelName, TenantId, VersionName};
pub use outcome::{JobResult, JobState, Outcome};
pub use progress::{Progress, RowsDone};
pub use provenance::Provenance;
pub use refusal::{Refusal, RefusalCode};
pub use retention::Retention;
pub use running::RunningJob;
pub use span::Span;
pub use tensor::Tensor;
pub use time::Timestamp;
pub use trace::TraceParent;
pub use webhook::WebhookUrl;
pub use webhook_secret::WebhookSecret;
