//! The binary as its users meet it: help texts, `up` with real servers, and the commands for people.

#![allow(clippy::unwrap_used, reason = "a test ends at whatever is not as it must be")]

mod commands;
mod gristmill;
mod help;
mod instance;
mod settings;
mod up;
mod wait;
