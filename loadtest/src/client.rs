//! One HTTP request and what its reply says. Repeating one is [`crate::trial`]'s.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use eventsource_stream::Eventsource;
use futures_util::StreamExt;
use gristmill_schemas::{
    InferRequest, JobId, Lineage, Tensor,
    api::{JobView, Problem, ResultView},
    codec,
};
use reqwest::{IntoUrl, Method, RequestBuilder, Response, Url, header};
use serde::de::DeserializeOwned;

use crate::config::{Encoding, TargetArgs, Wait};

/// How long one request waits for a job's end. A lost connection is noticed after that at the latest.
pub(crate) const WAIT: Duration = Duration::from_secs(10);
/// How much longer a reply may take than the wait that was asked for: a publish may be repeated meanwhile.
const REPLY_MARGIN: Duration = Duration::from_secs(20);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A reply that is not what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Denial {
    /// No reply, or none that can be read: nobody knows what the server did.
    NoReply(String),
    /// The server says why.
    Problem {
        /// HTTP status.
        status: u16,
        /// The stable code, or `http_<status>` from somebody in between.
        code: String,
        /// One sentence.
        detail: String,
        /// When to come back.
        retry_after: Option<Duration>,
        /// The job it may have become.
        id: Option<JobId>,
    },
}

impl Denial {
    /// What it is counted as.
    pub(crate) fn code(&self) -> &str {
        match self {
            Self::NoReply(_) => "no_reply",
            Self::Problem { code, .. } => code,
        }
    }

    /// One line for people.
    pub(crate) fn detail(&self) -> String {
        match self {
            Self::NoReply(why) => format!("no reply: {why}"),
            Self::Problem {
                status, code, detail, ..
            } => format!("{status} {code}: {detail}"),
        }
    }

    /// Whether the same request may be answered otherwise in a while.
    pub(crate) const fn is_passing(&self) -> bool {
        match self {
            Self::NoReply(_) => true,
            Self::Problem { status, .. } => matches!(status, 408 | 429 | 500..),
        }
    }

    /// Whether a submission that was answered so may have been accepted nevertheless.
    pub(crate) fn is_unknown(&self) -> bool {
        match self {
            Self::NoReply(_) => true,
            Self::Problem { status, code, .. } => {
                code == "publish_unknown" || code.starts_with("http_5") || *status == 500
            }
        }
    }

    /// The job that the submission may have become.
    pub(crate) const fn id(&self) -> Option<JobId> {
        match self {
            Self::NoReply(_) => None,
            Self::Problem { id, .. } => *id,
        }
    }

    /// When the server wants to be asked again.
    pub(crate) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::NoReply(_) => None,
            Self::Problem { retry_after, .. } => *retry_after,
        }
    }

    /// Whether the server has no such job.
    pub(crate) const fn is_absence(&self) -> bool {
        matches!(self, Self::Problem { status: 404 | 410, .. })
    }
}

/// A submission, the same each time it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Submission {
    /// The body.
    pub(crate) body: Bytes,
    /// What it is told apart by, and if the client sends it what makes one job of all its repetitions.
    pub(crate) idempotency_key: String,
    /// How many seconds to wait for the outcome in the same reply.
    pub(crate) prefer_wait: Option<u64>,
}

/// A client of one server, with one key and one encoding.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    /// Where jobs are submitted, and what everything else begins with.
    jobs: Url,
    authorization: header::HeaderValue,
    encoding: Encoding,
    wait: Wait,
    /// Whether it sends idempotency keys.
    pub(crate) is_idempotent: bool,
}

impl Client {
    /// A client that keeps as many connections as there are jobs in flight.
    ///
    /// # Errors
    /// The URL or the key cannot stand in a request.
    pub(crate) fn new(target: &TargetArgs, in_flight: usize) -> anyhow::Result<Self> {
        let url = Url::parse(&target.url).with_context(|| format!("{:?} is no URL", target.url))?;
        let jobs = format!("{}/v1/jobs", url.as_str().trim_end_matches('/'));
        let mut authorization = header::HeaderValue::from_str(&format!("Bearer {}", target.api_key.reveal()))
            .context("the API key has characters that none has")?;
        authorization.set_sensitive(true);
        // a proxy in between would be measured too
        let http = reqwest::Client::builder().no_proxy().connect_timeout(CONNECT_TIMEOUT);
        Ok(Self {
            http: http
                .pool_max_idle_per_host(in_flight)
                .build()
                .context("the HTTP client")?,
            jobs: Url::parse(&jobs).with_context(|| format!("{jobs:?} is no URL"))?,
            authorization,
            encoding: target.encoding,
            wait: target.wait,
            is_idempotent: !target.no_idempotency_key,
        })
    }

    /// A request as the bytes it is sent as.
    pub(crate) fn encode(&self, request: &InferRequest) -> Bytes {
        match self.encoding {
            Encoding::Msgpack => request.to_msgpack().into(),
            Encoding::Json => request.to_json().into(),
        }
    }

    /// Sends a submission once.
    pub(crate) async fn submit(&self, submission: &Submission) -> Result<JobView, Denial> {
        let wait = Duration::from_secs(submission.prefer_wait.unwrap_or_default());
        let mut call = self
            .call(Method::POST, self.jobs.clone(), wait)
            .header(header::CONTENT_TYPE, self.encoding.media_type());
        if self.is_idempotent {
            call = call.header("idempotency-key", &submission.idempotency_key);
        }
        if let Some(seconds) = submission.prefer_wait {
            call = call.header("prefer", format!("wait={seconds}"));
        }
        self.answer(call.body(submission.body.clone())).await
    }

    /// Where a job stands once it has ended, or after a while: by long-poll, or as the last of its events says.
    pub(crate) async fn job(&self, id: &JobId) -> Result<JobView, Denial> {
        if self.wait == Wait::Events {
            return self.last_event(id).await;
        }
        let url = format!("{}/{id}?wait={}s&include=outputs", self.jobs, WAIT.as_secs());
        self.answer(self.call(Method::GET, &url, WAIT)).await
    }

    async fn last_event(&self, id: &JobId) -> Result<JobView, Denial> {
        let url = format!("{}/{id}/events?include=outputs", self.jobs);
        let no_reply = |error: reqwest::Error| Denial::NoReply(chain(&error));
        let call = self
            .call(Method::GET, &url, WAIT)
            .header(header::ACCEPT, "text/event-stream");
        let reply = call.send().await.map_err(no_reply)?;
        if !reply.status().is_success() {
            return Err(denial(reply).await);
        }
        let mut events = reply.bytes_stream().eventsource();
        let mut last = Denial::NoReply("the events ended before the job did".to_owned());
        while let Some(event) = events.next().await {
            match event.map(|event| serde_json::from_str::<JobView>(&event.data)) {
                Ok(Ok(view)) if view.status.is_terminal() => return Ok(view),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(Denial::NoReply(format!("an event that is none of ours: {error}"))),
                Err(error) => last = Denial::NoReply(error.to_string()),
            }
        }
        Err(last)
    }

    /// The outputs of a job that has succeeded.
    pub(crate) async fn result(&self, id: &JobId) -> Result<Vec<Tensor>, Denial> {
        let url = format!("{}/{id}/result", self.jobs);
        let view: ResultView = self.answer(self.call(Method::GET, &url, Duration::ZERO)).await?;
        Ok(view.outputs.into_iter().map(|output| output.0).collect())
    }

    /// A job's lineage, which is JSON whatever else is spoken.
    pub(crate) async fn lineage(&self, id: &JobId) -> Option<Lineage> {
        let url = format!("{}/{id}/lineage", self.jobs);
        let call = self.call(Method::GET, &url, Duration::ZERO);
        let reply = call.header(header::ACCEPT, "application/json").send().await.ok()?;
        serde_json::from_slice(&reply.error_for_status().ok()?.bytes().await.ok()?).ok()
    }

    fn call(&self, method: Method, url: impl IntoUrl, wait: Duration) -> RequestBuilder {
        self.http
            .request(method, url)
            .timeout(wait + REPLY_MARGIN)
            .header(header::AUTHORIZATION, self.authorization.clone())
    }

    async fn answer<T: DeserializeOwned>(&self, call: RequestBuilder) -> Result<T, Denial> {
        let no_reply = |error: reqwest::Error| Denial::NoReply(chain(&error));
        let call = call.header(header::ACCEPT, self.encoding.media_type());
        let reply = call.send().await.map_err(no_reply)?;
        if !reply.status().is_success() {
            return Err(denial(reply).await);
        }
        let body = reply.bytes().await.map_err(no_reply)?;
        self.decode(&body)
            .map_err(|error| Denial::NoReply(format!("a reply that is none of ours: {error}")))
    }

    fn decode<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, String> {
        match self.encoding {
            Encoding::Msgpack => codec::decode_part(body).map_err(|error| error.to_string()),
            Encoding::Json => serde_json::from_slice(body).map_err(|error| error.to_string()),
        }
    }
}

async fn denial(reply: Response) -> Denial {
    let status = reply.status().as_u16();
    let seconds = reply
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let body = reply.bytes().await.unwrap_or_default();
    let problem: Option<Problem> = serde_json::from_slice(&body).ok();
    let (code, detail, id) = match problem {
        Some(problem) => (problem.code, problem.detail, problem.id),
        None => (
            format!("http_{status}"),
            "no problem document came with it".to_owned(),
            None,
        ),
    };
    Denial::Problem {
        status,
        code,
        detail,
        retry_after: seconds.map(Duration::from_secs),
        id,
    }
}

/// An error with its causes: the outermost one says only that a request failed.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(status: u16, code: &str) -> Denial {
        Denial::Problem {
            status,
            code: code.to_owned(),
            detail: String::new(),
            retry_after: None,
            id: None,
        }
    }

    #[test]
    fn what_may_pass_is_repeated_and_what_may_have_been_accepted_is_unknown() {
        let cases = [
            (Denial::NoReply(String::new()), (true, true)),
            (problem(503, "publish_unknown"), (true, true)),
            (problem(502, "http_502"), (true, true)),
            (problem(500, "internal"), (true, true)),
            (problem(503, "broker_unavailable"), (true, false)),
            (problem(429, "overloaded"), (true, false)),
            (problem(408, "body_timeout"), (true, false)),
            (problem(400, "shape_mismatch"), (false, false)),
            (problem(401, "unauthenticated"), (false, false)),
            (problem(422, "idempotency_mismatch"), (false, false)),
        ];
        for (denial, expected) in cases {
            assert_eq!((denial.is_passing(), denial.is_unknown()), expected, "{denial:?}");
        }
        assert!(problem(404, "job_not_found").is_absence() && problem(410, "job_gone").is_absence());
        assert!(!problem(503, "store_unavailable").is_absence());
    }
}
