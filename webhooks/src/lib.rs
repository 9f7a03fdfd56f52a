//! Telling tenants of the ends of their jobs: deliveries are made of what commits have left in the store, and sent until
//! the receiver has them or the schedule is at its end. One process of all does this at a time.
//!
//! Whoever submits a job says what is called, so nothing of what is called is trusted: [`addresses`] says what may be.

pub mod addresses;
mod args;
mod collect;
mod deliverer;
mod flights;
pub mod metrics;
mod schedule;
mod sender;

pub use addresses::{Addresses, Forbidden};
pub use args::WebhookArgs;
pub use deliverer::Deliverer;

/// Registers the help texts of this crate's metrics; once a process, after the recorder was installed.
pub fn describe_metrics() {
    metrics::describe();
}
