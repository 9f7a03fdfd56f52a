//! The HTTP door as a client sees it. What is shown of the answers is not known here.

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use gristmill_schemas::{
    InferRequest, JobId, Lineage, ModelName,
    api::{JobView, ModelList, ModelView, Problem},
    codec,
    dead_letter::{DeadLetterDetail, DeadLetterPage, DeadLetterResults, MAX_PAGE},
};
use reqwest::{Method, RequestBuilder, Url, header};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    refused::Refused,
    up::{DEFAULT_DATA_DIR, DevKeyFile},
};

const MSGPACK: &str = "application/msgpack";
/// The longest wait that a server grants in one request.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// What an answer may take beyond the wait that was asked for.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// The pause before a server that did not answer is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Which server, as whom.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ClientArgs {
    /// The HTTP API
    #[arg(
        long,
        env = "GRISTMILL_URL",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL"
    )]
    url: String,
    /// An API key [default: the development key of `gristmill up`, for a server on this machine]
    #[arg(long, env = "GRISTMILL_API_KEY", value_name = "KEY")]
    api_key: Option<String>,
    /// The data folder of `gristmill up`, for its development key
    #[arg(long, env = "GRISTMILL_DATA_DIR", default_value = DEFAULT_DATA_DIR, value_name = "DIR")]
    data_dir: PathBuf,
}

impl ClientArgs {
    /// The client.
    ///
    /// # Errors
    /// The URL is none, or there is no key.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        Client::new(&self.url, &self.key()?)
    }

    fn key(&self) -> anyhow::Result<String> {
        if let Some(key) = &self.api_key {
            return Ok(key.clone());
        }
        let url = parse(&self.url)?;
        let file = DevKeyFile::of(&self.data_dir);
        // no other machine is told our key unasked
        let kept = if is_here(&url) { file.read()? } else { None };
        kept.context("there is no API key: give --api-key, or set GRISTMILL_API_KEY")
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The server has said why.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It cannot be reached, or did not answer in time.
    #[error("{url} does not answer: {reason}")]
    Unreachable {
        /// Which server.
        url: Url,
        /// The deepest reason.
        reason: String,
    },
    /// The answer is none of ours.
    #[error("the answer cannot be understood: {0}")]
    Unreadable(String),
}

/// One caller of one server.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: Url,
    api_key: String,
}

impl Client {
    /// A client with a key.
    ///
    /// # Errors
    /// The URL is none.
    pub(crate) fn new(url: &str, api_key: &str) -> anyhow::Result<Self> {
        let url = parse(url)?;
        let mut http = reqwest::Client::builder().connect_timeout(CONNECT_LIMIT);
        if is_here(&url) {
            // a proxy that the environment names has no business with this machine's own addresses
            http = http.no_proxy();
        }
        Ok(Self {
            http: http.build()?,
            url,
            api_key: api_key.to_owned(),
        })
    }

    /// Submits a job, and waits a while for its end.
    pub(crate) async fn submit(&self, request: &InferRequest, wait: Duration) -> Result<JobView, ClientError> {
        let granted = wait.min(LONGEST_WAIT);
        let mut call = self
            .call(Method::POST, "v1/jobs", granted)
            .header(header::CONTENT_TYPE, MSGPACK);
        if !granted.is_zero() {
            // whole seconds are all that a preference can say
            call = call.header("prefer", format!("wait={}", granted.as_secs().max(1)));
        }
        self.msgpack(call.body(request.to_msgpack())).await
    }

    /// Where a job stands, with its outputs once it has them, after waiting a while for its end.
    pub(crate) async fn job(&self, id: &str, wait: Duration) -> Result<JobView, ClientError> {
        let granted = wait.min(LONGEST_WAIT);
        let mut path = format!("v1/jobs/{id}?include=outputs");
        if !granted.is_zero() {
            // a wait of less than a millisecond cannot be said
            path.push_str(&format!("&wait={}ms", granted.as_millis().max(1)));
        }
        self.msgpack(self.call(Method::GET, &path, granted)).await
    }

    /// The job's end, or where it stands when `limit` is over. A server that is away for a moment is asked again.
    pub(crate) async fn ended(&self, mut job: JobView, limit: Duration) -> Result<JobView, ClientError> {
        let until = tokio::time::Instant::now() + limit;
        while !job.status.is_terminal() {
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            if left.is_zero() {
                break;
            }
            match self.job(&job.id.to_string(), left).await {
                Ok(now) => job = now,
                Err(ClientError::Unreachable { .. }) => tokio::time::sleep(PAUSE.min(left)).await,
                Err(error) => return Err(error),
            }
        }
        Ok(job)
    }

    /// Cancels a job.
    pub(crate) async fn cancel(&self, id: &str) -> Result<JobView, ClientError> {
        let path = format!("v1/jobs/{id}/cancel");
        self.msgpack(self.call(Method::POST, &path, Duration::ZERO)).await
    }

    /// A job's lineage.
    pub(crate) async fn lineage(&self, id: &str) -> Result<Lineage, ClientError> {
        self.json(&format!("v1/jobs/{id}/lineage")).await
    }

    /// Some dead letters, from the newest or from a cursor on.
    pub(crate) async fn dead_letter_page(&self, cursor: Option<&str>) -> Result<DeadLetterPage, ClientError> {
        let from = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        self.json(&format!("v1/dead-letters?limit={MAX_PAGE}{from}")).await
    }

    /// One dead letter.
    pub(crate) async fn dead_letter(&self, id: &JobId, inputs: bool) -> Result<DeadLetterDetail, ClientError> {
        let include = if inputs { "?include=inputs" } else { "" };
        self.json(&format!("v1/dead-letters/{id}{include}")).await
    }

    /// Redrives or drops many dead letters.
    pub(crate) async fn dead_letters(
        &self,
        action: &str,
        many: &impl Serialize,
    ) -> Result<DeadLetterResults, ClientError> {
        let call = self.call(Method::POST, &format!("v1/dead-letters/{action}"), Duration::ZERO);
        let body = self.answer(call.json(many)).await?;
        serde_json::from_slice(&body).map_err(|error| ClientError::Unreadable(error.to_string()))
    }

    /// Every model, in short.
    pub(crate) async fn models(&self) -> Result<ModelList, ClientError> {
        self.json("v1/models").await
    }

    /// One model.
    pub(crate) async fn model(&self, name: &ModelName) -> Result<ModelView, ClientError> {
        self.json(&format!("v1/models/{name}")).await
    }

    fn call(&self, method: Method, path: &str, wait: Duration) -> RequestBuilder {
        let url = format!("{}/{path}", self.url.as_str().trim_end_matches('/'));
        self.http
            .request(method, url)
            .bearer_auth(&self.api_key)
            .timeout(wait + ANSWER_LIMIT)
    }

    async fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let call = self.call(Method::GET, path, Duration::ZERO);
        let body = self.answer(call.header(header::ACCEPT, "application/json")).await?;
        serde_json::from_slice(&body).map_err(|error| ClientError::Unreadable(error.to_string()))
    }

    async fn msgpack<T: DeserializeOwned>(&self, call: RequestBuilder) -> Result<T, ClientError> {
        let body = self.answer(call.header(header::ACCEPT, MSGPACK)).await?;
        codec::decode_part(&body).map_err(|error| ClientError::Unreadable(error.to_string()))
    }

    async fn answer(&self, call: RequestBuilder) -> Result<Vec<u8>, ClientError> {
        let reply = call.send().await.map_err(|error| self.unreachable(&error))?;
        let status = reply.status();
        let body = reply.bytes().await.map_err(|error| self.unreachable(&error))?;
        if status.is_success() {
            return Ok(body.into());
        }
        Err(match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Refused::from(problem).into(),
            Err(_) => ClientError::Unreadable(format!("{status}, and no problem document")),
        })
    }

    fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        let mut reason: &dyn std::error::Error = error;
        while let Some(deeper) = reason.source() {
            reason = deeper;
        }
        ClientError::Unreachable {
            url: self.url.clone(),
            reason: reason.to_string(),
        }
    }
}

fn parse(url: &str) -> anyhow::Result<Url> {
    let parsed: Url = url.parse().with_context(|| format!("--url {url:?} is no URL"))?;
    anyhow::ensure!(
        parsed.scheme() == "http",
        "--url {url:?}: only http is spoken here; encryption is for a proxy in front"
    );
    Ok(parsed)
}

fn is_here(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_told_the_development_key() {
        for (url, here) in [
            ("http://127.0.0.1:8080", true),
            ("http://localhost", true),
            ("http://[::1]:1", true),
            ("http://10.0.0.1", false),
            ("http://127.0.0.1.example", false),
        ] {
            assert_eq!(is_here(&parse(url).unwrap()), here, "{url}");
        }
    }

    #[test]
    fn url_of_another_scheme_is_refused() {
        assert!(parse("https://127.0.0.1").is_err());
        assert!(parse("127.0.0.1:8080").is_err());
    }
}
