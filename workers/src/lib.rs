//! Workers: intake, batcher, engine (ONNX Runtime) and settle, and the process that ties them. Workers never see HTTP, and
//! never a client: they take envelopes, and leave outcomes.

pub mod batcher;
pub mod config;
pub mod engine;
mod heartbeat;
mod held_job;
mod intake;
mod lease;
mod line;
mod metrics;
mod progress;
mod run_time;
mod running;
mod settle;
pub mod worker;

pub use config::WorkerArgs;
pub use worker::run;
