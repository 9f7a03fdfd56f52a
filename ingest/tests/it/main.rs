//! The HTTP door against real servers. No worker runs: where a job must end, the test settles it.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod bad_input;
mod bulk;
mod callers;
mod door;
mod drain_rate;
mod ending;
mod faults;
mod following;
mod idempotency;
mod nats_door;
mod raw;
mod refusals;
mod stand;
mod subscribing;
