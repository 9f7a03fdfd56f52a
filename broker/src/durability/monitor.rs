//! What nats-servers say of themselves on their monitoring endpoints, the only place where a server shows how it syncs.

use std::time::Duration;

use futures_util::future::join_all;
use gristmill_schemas::Durability;
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;

use super::{DurabilityArgs, UNMONITORED, Unseen, Weakness};
use crate::server_url::ServerUrl;

/// The longest wait for one answer, which takes a server a millisecond.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// A server in a large cluster tells some hundred bytes of each other.
const MAX_ANSWER: usize = 1 << 20;

/// The part of `/varz` that is read here.
#[derive(Deserialize)]
struct Server {
    server_id: String,
    server_name: String,
    jetstream: JetStream,
}

#[derive(Deserialize)]
struct JetStream {
    /// Absent where it is switched off.
    config: Option<Config>,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    sync_always: bool,
    /// Nanoseconds.
    sync_interval: Option<u64>,
}

/// The settings of all servers that answer which keep less than the level. Those that do not answer are passed over, as
/// one of a cluster may be down, but the one that we are connected to must be among the others.
pub(super) async fn servers(args: &DurabilityArgs, connected_to: &str) -> Result<Vec<Weakness>, Unseen> {
    match args.durability {
        // the operating system has what is acknowledged, whatever the interval
        Durability::ProcessCrash => return Ok(Vec::new()),
        Durability::PowerLoss => {}
    }
    let url = args.nats_monitor_url.as_ref();
    let url = url.ok_or_else(|| Unseen::Hidden(UNMONITORED.to_owned()))?;
    // the endpoint is as near as the server itself: no proxy of the environment's knows it better
    let client = Client::builder().timeout(ANSWER_LIMIT).no_proxy().build();
    let client = client.map_err(|error| Unseen::Hidden(error.to_string()))?;
    let urls: Vec<ServerUrl> = url.each().collect();
    let mut weak = Vec::new();
    let mut known = false;
    let mut unseen = None;
    for (url, looked) in urls
        .iter()
        .zip(join_all(urls.iter().map(|url| look(&client, url))).await)
    {
        match looked {
            Ok(server) => {
                known |= server.server_id == connected_to;
                weak.extend(weakness(&server, url));
            }
            Err(why) => unseen = Some(why),
        }
    }
    if known || !weak.is_empty() {
        return Ok(weak);
    }
    Err(unseen.unwrap_or_else(|| {
        Unseen::Away(format!(
            "none of the servers at {url} is the one that NATS is connected to"
        ))
    }))
}

fn weakness(server: &Server, url: &ServerUrl) -> Option<Weakness> {
    let config = server.jetstream.config.as_ref()?;
    let interval = config.sync_interval.map(Duration::from_nanos).unwrap_or_default();
    (!config.sync_always).then(|| Weakness {
        server: format!("nats-server {} ({url})", server.server_name),
        setting: "sync_interval",
        found: format!("{interval:?}"),
        wanted: "always",
        remedy: "set `sync_interval: always` in the block jetstream of its configuration and restart it; or give --durability process-crash",
    })
}

async fn look(client: &Client, url: &ServerUrl) -> Result<Server, Unseen> {
    let address = format!("{}/varz", url.reveal().trim_end_matches('/'));
    // an error names the address, which may hold a password
    let away = |error: reqwest::Error| {
        let error = error.without_url();
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        Unseen::Away(format!("{url} does not answer: {error}{}", cause.unwrap_or_default()))
    };
    let answer = client.get(address).send().await.map_err(away)?;
    let hidden = |what: String| Unseen::Hidden(format!("{url} is no monitoring endpoint of a NATS server: {what}"));
    if answer.status() != StatusCode::OK {
        return Err(hidden(format!("/varz answers {}", answer.status())));
    }
    let body = read(answer).await.map_err(away)?;
    serde_json::from_slice(&body).map_err(|error| hidden(error.to_string()))
}

/// The body, or so much of it that it is no answer of a NATS server.
async fn read(mut answer: Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await? {
        body.extend_from_slice(&part);
        if body.len() > MAX_ANSWER {
            break;
        }
    }
    Ok(body)
}
