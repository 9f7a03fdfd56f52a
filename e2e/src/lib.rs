//! Whole stacks of real processes for tests: nats-server, redis-server, `gristmill ingest` and `gristmill worker`s, each of
//! which a test may kill, pause and start again.

pub mod bench;
pub mod binary;
pub mod chaos;
pub mod client;
pub mod graphs;
pub mod inject;
pub mod load;
pub mod process;
pub mod scrape;
pub mod sink;
pub mod stack;
pub mod wait;

pub use client::Client;
pub use process::Process;
pub use stack::Stack;
