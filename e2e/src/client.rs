//! A client of the HTTP door that a test can hold to every word.

use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::StreamExt;
use gristmill_schemas::{
    InferRequest, JobState, Lineage, Tensor,
    api::{JobView, ResultView},
};
use reqwest::{Method, RequestBuilder, Response};
use tokio::time::timeout;

const MSGPACK: &str = "application/msgpack";
/// What is told at once is there long before.
const PATIENCE: Duration = Duration::from_secs(20);

/// One tenant's client.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    api_key: String,
}

impl Client {
    /// A client with a key.
    #[must_use]
    pub fn new(url: &str, api_key: &str) -> Self {
        Self {
            http: reqwest::Client::new(),
            url: url.to_owned(),
            api_key: api_key.to_owned(),
        }
    }

    /// Host and port, for who speaks HTTP himself.
    ///
    /// # Errors
    /// Its URL has another scheme.
    pub fn address(&self) -> anyhow::Result<&str> {
        self.url.strip_prefix("http://").context("plain HTTP")
    }

    /// What stands in its `Authorization` header.
    #[must_use]
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.api_key)
    }

    /// Any request, with the key.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(&self.api_key)
    }

    /// Submits a job as MessagePack and waits up to `wait_seconds` for its outcome.
    ///
    /// # Errors
    /// It was refused, or the reply is not one of ours.
    pub async fn submit(&self, request: &InferRequest, wait_seconds: u32) -> anyhow::Result<JobView> {
        let mut call = self
            .request(Method::POST, "/v1/jobs")
            .header("content-type", MSGPACK)
            .header("accept", MSGPACK);
        if wait_seconds > 0 {
            call = call.header("prefer", format!("wait={wait_seconds}"));
        }
        decoded(call.body(request.to_msgpack()).send().await?).await
    }

    /// Where a job stands, waiting up to `wait_seconds` for its end.
    ///
    /// # Errors
    /// There is no such job for this tenant.
    pub async fn job(&self, id: &str, wait_seconds: u32) -> anyhow::Result<JobView> {
        let wait = if wait_seconds > 0 {
            format!("?wait={wait_seconds}s")
        } else {
            String::new()
        };
        let call = self.request(Method::GET, &format!("/v1/jobs/{id}{wait}"));
        decoded(call.header("accept", MSGPACK).send().await?).await
    }

    /// The outputs of a job that has succeeded.
    ///
    /// # Errors
    /// It has not.
    pub async fn result(&self, id: &str) -> anyhow::Result<Vec<Tensor>> {
        let call = self
            .request(Method::GET, &format!("/v1/jobs/{id}/result"))
            .header("accept", MSGPACK);
        let view: ResultView = decoded(call.send().await?).await?;
        Ok(view.outputs.into_iter().map(|output| output.0).collect())
    }

    /// A job's lineage.
    ///
    /// # Errors
    /// It has not ended.
    pub async fn lineage(&self, id: &str) -> anyhow::Result<Lineage> {
        let reply = self
            .request(Method::GET, &format!("/v1/jobs/{id}/lineage"))
            .send()
            .await?;
        let text = reply.error_for_status()?.text().await?;
        serde_json::from_str(&text).with_context(|| format!("lineage: {text}"))
    }

    /// The cursor of now: the first thing that the stream of all ends tells.
    ///
    /// # Errors
    /// The stream tells nothing.
    pub async fn cursor(&self) -> anyhow::Result<String> {
        let opened = self
            .request(Method::GET, "/v1/events")
            .send()
            .await?
            .error_for_status()?;
        let mut pieces = opened.bytes_stream();
        let first = timeout(PATIENCE, pieces.next()).await?.context("a first event")??;
        let text = std::str::from_utf8(&first)?;
        let id = text.lines().find_map(|line| line.strip_prefix("id: "));
        Ok(id.with_context(|| text.to_owned())?.to_owned())
    }

    /// Submits a job and returns its outputs.
    ///
    /// # Errors
    /// It ended otherwise than by success.
    pub async fn infer(&self, request: &InferRequest) -> anyhow::Result<Vec<Tensor>> {
        let view = self.submit(request, 30).await?;
        let view = if view.status.is_terminal() {
            view
        } else {
            self.job(&view.id.to_string(), 30).await?
        };
        ensure!(
            view.status == JobState::Succeeded,
            "{} ended as {}: {:?}",
            view.id,
            view.status,
            view.failure
        );
        self.result(&view.id.to_string()).await
    }
}

async fn decoded<T: serde::de::DeserializeOwned>(reply: Response) -> anyhow::Result<T> {
    let status = reply.status();
    let body = reply.bytes().await?;
    ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
    gristmill_schemas::codec::decode_part(&body).context("the reply")
}
