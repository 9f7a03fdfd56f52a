//! The broker crate against a real nats-server and a real redis-server: what is promised while they work, and what is
//! left of it when they are killed, paused, full or gone.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod backlog;
mod bench;
mod claiming;
mod dead_inputs;
mod deliveries;
mod durability;
mod jobs;
mod progress;
mod publishing;
mod queued;
mod readers;
mod records;
mod running;
mod settling;
mod store;
mod watching;
