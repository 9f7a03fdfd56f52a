//! Requests over NATS: what a client would send over HTTP comes as one message, and its reply goes back as another. Plain NATS,
//! nothing is kept: a job is accepted by the reply that says so. What a request means is not known here.
//!
//! | | subject | headers | payload |
//! |---|---|---|---|
//! | request | [`subject::REQUESTS`] | `Method`, `Path`, and those of HTTP | the body |
//! | reply | the request's inbox | `Status`, and those of HTTP | the body |

use std::time::Duration;

use async_nats::{Client, HeaderMap, Message, Subscriber, client::RequestErrorKind};
use bytes::Bytes;
use futures_util::StreamExt;
use gristmill_schemas::subject;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};

use crate::nats::{BrokerError, NatsArgs, options};

/// Who serves requests shares them: each goes to one of them.
const GROUP: &str = "ingest";
/// Requests that have arrived and nobody has looked at. Whoever looks only hands them on, so that this is for a moment.
const UNSEEN: usize = 1024;
/// The header that holds a request's method.
const METHOD: &str = "Method";
/// The header that holds its path and query.
const PATH: &str = "Path";
/// The header that holds a reply's status.
const STATUS: &str = "Status";
/// What NATS's own headers begin with: they are no client's.
const RESERVED: &str = "nats-";

/// Where requests come in. It has a connection of its own, so that a flood of them stands in no publish's way.
#[derive(Debug)]
pub struct Door {
    client: Client,
    requests: Subscriber,
}

/// A request, and where its reply goes.
#[derive(Debug)]
pub struct Asked {
    /// The request, or what is wrong with its headers.
    pub request: Result<Request<Bytes>, String>,
    /// The way back.
    pub reply: ReplyTo,
}

/// Where a reply goes.
#[derive(Debug)]
pub struct ReplyTo {
    client: Client,
    inbox: async_nats::Subject,
}

impl Door {
    /// Listens for requests; a server that is not there yet, or is away, is waited for in the background.
    ///
    /// # Errors
    /// The URL cannot be read.
    pub async fn open(args: &NatsArgs) -> Result<Self, BrokerError> {
        let client = connect(args, "gristmill-door").await?;
        let requests = client.queue_subscribe(subject::REQUESTS, GROUP.to_owned()).await;
        let requests = requests.map_err(|error| BrokerError::Subscribe(error.to_string()))?;
        Ok(Self { client, requests })
    }

    /// The next request; one that names no inbox is none, since nobody would ever learn what became of it.
    pub async fn next(&mut self) -> Option<Asked> {
        loop {
            let mut message = self.requests.next().await?;
            let Some(inbox) = message.reply.take() else {
                tracing::debug!("a request without an inbox for its reply is passed over");
                continue;
            };
            let reply = ReplyTo {
                client: self.client.clone(),
                inbox,
            };
            return Some(Asked {
                request: request_of(message),
                reply,
            });
        }
    }

    /// Takes no more: what has arrived still comes, and then the end.
    pub async fn close(&mut self) {
        if let Err(error) = self.requests.drain().await {
            tracing::debug!(%error, "the door is closed already");
        }
    }

    /// Waits, within a limit, until all replies have left this process.
    pub async fn flush(&self, limit: Duration) {
        if !matches!(tokio::time::timeout(limit, self.client.flush()).await, Ok(Ok(()))) {
            tracing::warn!("the last replies over NATS may not have been sent");
        }
    }
}

impl ReplyTo {
    /// The longest body that a reply can have.
    #[must_use]
    pub fn max_body(&self) -> usize {
        // headers count too, and are a few short lines
        self.client.max_payload().saturating_sub(HEADER_ROOM)
    }

    /// Sends the reply. One that cannot be sent is as good as lost on the way: whoever asked asks again.
    pub async fn send(self, response: Response<Bytes>) {
        let mut headers = HeaderMap::new();
        headers.insert(STATUS, response.status().as_str());
        copy(response.headers(), &mut headers);
        let sent = self
            .client
            .publish_with_headers(self.inbox, headers, response.into_body());
        if let Err(error) = sent.await {
            tracing::debug!(%error, "a reply was not sent");
        }
    }
}

/// What headers may take of a message.
const HEADER_ROOM: usize = 4 << 10;

/// Whoever asks through the door.
#[derive(Debug, Clone)]
pub struct DoorClient {
    client: Client,
}

/// Why there is no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// It cannot be a message at all.
    #[error("the request cannot be sent: {0}")]
    Unsendable(String),
    /// It was not sent, or nobody has taken it.
    #[error("nobody serves requests on this NATS server")]
    NobodyThere,
    /// Nobody knows what became of it.
    #[error("no reply over NATS: {0}")]
    NoReply(String),
}

impl DoorClient {
    /// Connects; a server that is away is tried again and again in the background.
    ///
    /// # Errors
    /// The URL cannot be read.
    pub async fn connect(args: &NatsArgs) -> Result<Self, BrokerError> {
        let client = connect(args, "gristmill-client").await?;
        Ok(Self { client })
    }

    /// Sends a request and waits for its reply, at most so long.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask(&self, request: Request<Bytes>, limit: Duration) -> Result<Response<Bytes>, AskError> {
        let (request, body) = request.into_parts();
        let path = request
            .uri
            .path_and_query()
            .ok_or_else(|| AskError::Unsendable("it has no path".to_owned()))?;
        let mut headers = HeaderMap::new();
        headers.insert(METHOD, request.method.as_str());
        headers.insert(PATH, path.as_str());
        copy(&request.headers, &mut headers);
        let message = async_nats::Request::new().headers(headers).payload(body);
        let asked = self
            .client
            .send_request(subject::REQUESTS, message.timeout(Some(limit)))
            .await;
        let reply = asked.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => AskError::NobodyThere,
            RequestErrorKind::MaxPayloadExceeded | RequestErrorKind::InvalidSubject => {
                AskError::Unsendable(error.to_string())
            }
            RequestErrorKind::TimedOut | RequestErrorKind::Other => AskError::NoReply(error.to_string()),
        })?;
        response_of(reply).map_err(AskError::NoReply)
    }
}

async fn connect(args: &NatsArgs, name: &str) -> Result<Client, BrokerError> {
    let options = options(&args.nats_url)?.name(name).subscription_capacity(UNSEEN);
    let urls: Vec<_> = args.nats_url.reveal().split(',').collect();
    Ok(options.connect(urls).await?)
}

fn copy(from: &http::HeaderMap, to: &mut HeaderMap) {
    for (name, value) in from {
        // what is not text stands in no header of ours
        if let Ok(value) = value.to_str() {
            to.append(name.as_str(), value);
        }
    }
}

/// A message's headers but for the first few names and NATS's own.
fn headers_of(headers: &HeaderMap, without: &[&str]) -> Result<http::HeaderMap, String> {
    let mut copied = http::HeaderMap::new();
    for (name, values) in headers.iter() {
        let name: &str = name.as_ref();
        if without.contains(&name) || name.to_ascii_lowercase().starts_with(RESERVED) {
            continue;
        }
        let key: HeaderName = name.parse().map_err(|_| format!("{name:?} is no header's name"))?;
        for value in values {
            let value: HeaderValue = value
                .as_str()
                .parse()
                .map_err(|_| format!("the header {key} has a value that none has"))?;
            copied.append(&key, value);
        }
    }
    Ok(copied)
}

fn request_of(message: Message) -> Result<Request<Bytes>, String> {
    let headers = message.headers.unwrap_or_default();
    let of = |name: &str| headers.get(name).map(async_nats::HeaderValue::as_str);
    let method = of(METHOD).ok_or("the header Method is missing")?;
    let path = of(PATH).ok_or("the header Path is missing")?;
    if !path.starts_with('/') {
        return Err("the header Path begins with a slash".to_owned());
    }
    let mut request = Request::new(message.payload);
    *request.method_mut() =
        Method::from_bytes(method.as_bytes()).map_err(|_| "the header Method holds no method".to_owned())?;
    *request.uri_mut() = path
        .parse::<Uri>()
        .map_err(|_| "the header Path holds no path".to_owned())?;
    *request.headers_mut() = headers_of(&headers, &[METHOD, PATH])?;
    Ok(request)
}

fn response_of(message: Message) -> Result<Response<Bytes>, String> {
    let headers = message.headers.unwrap_or_default();
    let status = headers.get(STATUS).map(async_nats::HeaderValue::as_str);
    let status = status.and_then(|status| StatusCode::from_bytes(status.as_bytes()).ok());
    let mut response = Response::new(message.payload);
    *response.status_mut() = status.ok_or("a reply without a status")?;
    *response.headers_mut() = headers_of(&headers, &[STATUS])?;
    Ok(response)
}
