//! Logs, metrics, the admin listener and shutdown, the same in every process.
//!
//! A process reads [`TelemetryArgs`], calls [`logs::init`] and [`metrics::install`] first thing, gives each of its parts a
//! [`Component`](health::Component) of one [`Readiness`], spawns through one [`Shutdown`] and serves [`admin`] beside its
//! own work. What is measured is declared by each crate in its own `metrics.rs`, with the [`metrics!`] macro.

pub mod admin;
mod config;
pub mod fail_points;
pub mod health;
pub mod logs;
pub mod metrics;
pub mod operator;
pub mod shutdown;

pub use config::{LogFormat, TelemetryArgs};
pub use health::Readiness;
pub use operator::{Operator, OperatorToken};
pub use shutdown::Shutdown;

/// The `metrics` crate, for the code that [`metrics!`] writes into other crates.
#[doc(hidden)]
pub use ::metrics as recording;
