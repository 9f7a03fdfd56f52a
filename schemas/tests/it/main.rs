//! The contract held to its word: bytes that never change, text that is refused, and nothing that panics.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod annotate;
mod codes;
mod golden;
mod job_ids;
mod json_data;
mod messages;
mod nesting;
mod queues;
mod requests;
mod sample;
mod signatures;
mod tensors;
mod words;
