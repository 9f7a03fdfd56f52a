//! The catalog against the repository's own models and against broken copies of them; artifacts against changed files.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod artifacts;
mod catalog;
