//! One request and what its reply says. How it travels is [`crate::transport`]'s, repeating it [`crate::trial`]'s.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use gristmill_schemas::{
    InferRequest, JobId, Lineage, Tensor,
    api::{JobView, ResultView},
    codec,
};
use http::{HeaderValue, Method, Request, header, request::Builder};
use serde::de::DeserializeOwned;

use crate::{
    config::{Encoding, TargetArgs, Wait},
    denial::Denial,
    transport::Transport,
};

/// How long one request waits for a job's end. A lost connection is noticed after that at the latest.
pub(crate) const WAIT: Duration = Duration::from_secs(10);
/// How much longer a reply may take than the wait that was asked for: a publish may be repeated meanwhile.
const REPLY_MARGIN: Duration = Duration::from_secs(20);
/// Where jobs are.
const JOBS: &str = "/v1/jobs";

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
    transport: Transport,
    authorization: HeaderValue,
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
    pub(crate) async fn new(target: &TargetArgs, in_flight: usize) -> anyhow::Result<Self> {
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", target.api_key.reveal()))
            .context("the API key has characters that none has")?;
        authorization.set_sensitive(true);
        let transport = Transport::to(target.url.reveal(), in_flight).await?;
        anyhow::ensure!(
            target.wait != Wait::Events || transport.streams(),
            "--wait events needs an HTTP URL: a request over NATS has one reply"
        );
        Ok(Self {
            transport,
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
            .call(Method::POST, JOBS)
            .header(header::CONTENT_TYPE, self.encoding.media_type());
        if self.is_idempotent {
            call = call.header("idempotency-key", &submission.idempotency_key);
        }
        if let Some(seconds) = submission.prefer_wait {
            call = call.header("prefer", format!("wait={seconds}"));
        }
        self.answer(call, submission.body.clone(), wait).await
    }

    /// Where a job stands once it has ended, or after a while: by long-poll, or as the last of its events says.
    pub(crate) async fn job(&self, id: &JobId) -> Result<JobView, Denial> {
        if self.wait == Wait::Events {
            return self.last_event(id).await;
        }
        let path = format!("{JOBS}/{id}?wait={}s&include=outputs", WAIT.as_secs());
        self.answer(self.call(Method::GET, &path), Bytes::new(), WAIT).await
    }

    async fn last_event(&self, id: &JobId) -> Result<JobView, Denial> {
        let path = format!("{JOBS}/{id}/events?include=outputs");
        let call = self
            .call(Method::GET, &path)
            .header(header::ACCEPT, "text/event-stream");
        let limit = WAIT + REPLY_MARGIN;
        let mut events = self.transport.events(finished(call, Bytes::new())?, limit).await?;
        let mut last = Denial::NoReply("the events ended before the job did".to_owned());
        while let Some(event) = events.next().await {
            match event.map(|data| serde_json::from_str::<JobView>(&data)) {
                Ok(Ok(view)) if view.status.is_terminal() => return Ok(view),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(Denial::NoReply(format!("an event that is none of ours: {error}"))),
                Err(error) => last = Denial::NoReply(error),
            }
        }
        Err(last)
    }

    /// The outputs of a job that has succeeded.
    pub(crate) async fn result(&self, id: &JobId) -> Result<Vec<Tensor>, Denial> {
        let call = self.call(Method::GET, &format!("{JOBS}/{id}/result"));
        let view: ResultView = self.answer(call, Bytes::new(), Duration::ZERO).await?;
        Ok(view.outputs.into_iter().map(|output| output.0).collect())
    }

    /// A job's lineage, which is JSON whatever else is spoken.
    pub(crate) async fn lineage(&self, id: &JobId) -> Option<Lineage> {
        let call = self.call(Method::GET, &format!("{JOBS}/{id}/lineage"));
        let call = finished(call.header(header::ACCEPT, "application/json"), Bytes::new()).ok()?;
        let reply = self.transport.exchange(call, REPLY_MARGIN).await.ok()?;
        let reply = reply.status().is_success().then_some(reply)?;
        serde_json::from_slice(reply.body()).ok()
    }

    fn call(&self, method: Method, path: &str) -> Builder {
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, self.authorization.clone())
    }

    async fn answer<T: DeserializeOwned>(&self, call: Builder, body: Bytes, wait: Duration) -> Result<T, Denial> {
        let call = finished(call.header(header::ACCEPT, self.encoding.media_type()), body)?;
        let reply = self.transport.exchange(call, wait + REPLY_MARGIN).await?;
        if !reply.status().is_success() {
            return Err(Denial::of(&reply));
        }
        self.decode(reply.body())
            .map_err(|error| Denial::NoReply(format!("a reply that is none of ours: {error}")))
    }

    fn decode<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, String> {
        match self.encoding {
            Encoding::Msgpack => codec::decode_part(body).map_err(|error| error.to_string()),
            Encoding::Json => serde_json::from_slice(body).map_err(|error| error.to_string()),
        }
    }
}

fn finished(call: Builder, body: Bytes) -> Result<Request<Bytes>, Denial> {
    call.body(body)
        .map_err(|error| Denial::NoReply(format!("a request that cannot be sent: {error}")))
}
