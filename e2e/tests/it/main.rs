//! The whole pipeline across real processes: nats-server, redis-server, `gristmill ingest`, `gristmill worker`, real models.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod access;
mod backup;
mod bad_input;
mod bulk;
mod clients;
mod dead_letters;
mod deadlines;
mod durability;
mod events;
mod fairness;
mod faults;
mod inject;
mod jobs;
mod lineage;
mod models;
mod nats_door;
mod operations;
mod progress;
mod quota;
mod sharing;
mod webhooks;

/// An identity request of one row, whose answer must be the row itself.
fn identity(row: &[f32]) -> gristmill_schemas::InferRequest {
    use gristmill_schemas::{InferRequest, Tensor};
    let x = Tensor::from_f32("x", vec![1, row.len() as u64], row).unwrap();
    InferRequest::new("identity".parse().unwrap(), vec![x])
}
