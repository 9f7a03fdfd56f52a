//! The batcher against a naive model; the engine against real models, small graphs that go wrong, and ONNX Runtime itself.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod batcher;
mod bench;
mod datatypes;
mod embeddings;
mod failures;
mod file_types;
mod loading;
mod pipeline;
