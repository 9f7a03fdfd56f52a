//! What JetStream says of our streams.

use async_nats::jetstream::{ErrorCode, response::Response};
use gristmill_schemas::subject;
use serde::Deserialize;

use super::Weakness;
use crate::nats::Broker;

/// What of a stream decides whether its messages are on the disk. Settled when it is made: no update changes it.
#[derive(Deserialize)]
struct StreamInfo {
    config: StreamConfig,
}

#[derive(Deserialize)]
struct StreamConfig {
    storage: String,
    persist_mode: Option<String>,
}

const REMAKE: &str = "it cannot be changed; let the stream run empty and delete it, an ingest makes it anew";

/// The settings of our streams that keep less than any level. A stream that is not there is made right by an ingest.
pub(super) async fn streams(broker: &Broker) -> Result<Vec<Weakness>, String> {
    if !broker.is_connected() {
        return Err("NATS is not connected".to_owned());
    }
    let mut weak = Vec::new();
    for name in [subject::STREAM, subject::DEAD_LETTERS] {
        let info = broker.jetstream.request(format!("STREAM.INFO.{name}"), &()).await;
        match info.map_err(|error| format!("JetStream: {error}"))? {
            Response::Ok(StreamInfo { config }) => weak.extend(weaknesses(name, config)),
            Response::Err { error } if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {}
            Response::Err { error } => return Err(format!("JetStream: {error}")),
        }
    }
    Ok(weak)
}

fn weaknesses(name: &str, config: StreamConfig) -> Vec<Weakness> {
    let weakness = |setting, found, wanted| Weakness {
        server: format!("stream {name}"),
        setting,
        found,
        wanted,
        remedy: REMAKE,
    };
    let mut weak = Vec::new();
    if config.storage != "file" {
        weak.push(weakness("storage", config.storage, "file"));
    }
    if let Some(mode) = config.persist_mode.filter(|mode| mode == "async") {
        weak.push(weakness("persist_mode", mode, "default"));
    }
    weak
}
