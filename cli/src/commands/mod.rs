//! The commands, a file each. `up` has a folder of its own.

pub(crate) mod access;
pub(crate) mod dlq;
pub(crate) mod ingest;
pub(crate) mod job;
pub(crate) mod keys;
pub(crate) mod loadtest;
pub(crate) mod models;
pub(crate) mod readers;
pub(crate) mod submit;
pub(crate) mod tenants;
pub(crate) mod webhooks;
pub(crate) mod worker;
