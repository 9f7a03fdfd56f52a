//! nats-server and redis-server as child processes, with the settings that a durability level promises.
//!
//! [`Nats`] and [`Redis`] serve `gristmill up`, for which one machine is production, and the tests, which kill, pause and
//! restart them. [`Child`] is the same care for our own processes. This crate speaks to the servers only to see that they
//! are ready; everything else is the broker crate's.

pub mod access;
mod binaries;
mod child;
mod lock;
mod nats;
mod pair;
mod ports;
mod redis;
mod server;
mod spawner;

pub use access::{Access, Role};
pub use binaries::Binaries;
pub use child::{Child, Output};
pub use gristmill_schemas::Durability;
pub use nats::{Nats, NatsOptions};
pub use nix::sys::signal::Signal;
pub use pair::Pair;
pub use ports::free_port;
pub use redis::{Redis, RedisOptions};
pub use server::{Recipe, Server};
