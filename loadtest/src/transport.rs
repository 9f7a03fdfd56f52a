//! How requests travel: over HTTP, one connection a job in flight, or over NATS. What is in them is [`crate::client`]'s.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use eventsource_stream::{EventStream, Eventsource};
use futures_util::StreamExt;
use gristmill_broker::{DoorClient, NatsArgs, ServerUrl};
use http::{
    Request, Response, Uri,
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body_util::{BodyDataStream, BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time::{Instant, timeout, timeout_at};

use crate::denial::Denial;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The way to one server.
#[derive(Debug, Clone)]
pub(crate) enum Transport {
    /// HTTP/1.1. No proxy, no redirects: what stands in between would be measured too.
    Http(Box<Http>),
    /// The subject of requests.
    Nats(DoorClient),
}

/// An HTTP client and where it sends to.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    client: legacy::Client<HttpConnector, Full<Bytes>>,
    authority: Authority,
    /// What every path begins with, without a slash at its end.
    prefix: String,
}

impl Transport {
    /// The way to a URL.
    ///
    /// # Errors
    /// It is none, or of a scheme that is not spoken.
    pub(crate) async fn to(url: &str, in_flight: usize) -> anyhow::Result<Self> {
        match url.split_once("://").map(|(scheme, _)| scheme) {
            Some("http") => Ok(Self::Http(Box::new(Http::to(url, in_flight)?))),
            Some("nats" | "tls") => {
                let nats_url = ServerUrl::new(url.to_owned());
                let door = DoorClient::connect(&NatsArgs { nats_url }).await;
                // not the URL itself: it may hold a password
                Ok(Self::Nats(door.context("the URL of NATS cannot be used")?))
            }
            Some(scheme) => bail!("--url begins with http:// or nats://, not with {scheme}://"),
            None => bail!("{url:?} is no URL"),
        }
    }

    /// Whether a reply can come bit by bit.
    pub(crate) const fn streams(&self) -> bool {
        matches!(self, Self::Http(_))
    }

    /// Sends a request and waits for all of its reply, at most so long.
    pub(crate) async fn exchange(&self, request: Request<Bytes>, limit: Duration) -> Result<Response<Bytes>, Denial> {
        match self {
            Self::Http(http) => in_time(limit, http.exchange(request)).await,
            Self::Nats(door) => door.ask(request, limit).await.map_err(|error| no_reply(&error)),
        }
    }

    /// Opens a stream of events, which ends after so long at the latest.
    pub(crate) async fn events(&self, request: Request<Bytes>, limit: Duration) -> Result<Events, Denial> {
        let Self::Http(http) = self else {
            return Err(Denial::NoReply("events are told over HTTP alone".to_owned()));
        };
        let until = Instant::now() + limit;
        let opened = async {
            let reply = http.send(request).await?;
            if reply.status().is_success() {
                return Ok(reply.into_body());
            }
            Err(Denial::of(&whole(reply).await?))
        };
        let stream = in_time(limit, opened).await?.into_data_stream().eventsource();
        Ok(Events { stream, until })
    }
}

impl Http {
    fn to(url: &str, in_flight: usize) -> anyhow::Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("{url:?} is no URL"))?;
        let authority = uri
            .authority()
            .cloned()
            .with_context(|| format!("{url:?} names no host"))?;
        anyhow::ensure!(uri.query().is_none(), "--url has no query");
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(in_flight)
            .build(connector);
        Ok(Self {
            client,
            authority,
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Denial> {
        whole(self.send(request).await?).await
    }

    async fn send(&self, mut request: Request<Bytes>) -> Result<Response<Incoming>, Denial> {
        *request.uri_mut() = self.uri(request.uri()).map_err(|error| no_reply(&error))?;
        let sent = self.client.request(request.map(Full::new)).await;
        sent.map_err(|error| no_reply(&error))
    }

    /// A path of the API as a URL of this server.
    fn uri(&self, path: &Uri) -> Result<Uri, http::Error> {
        let path = match path.path_and_query() {
            Some(path) if self.prefix.is_empty() => path.clone(),
            path => {
                let path = path.map_or("", PathAndQuery::as_str);
                PathAndQuery::try_from(format!("{}{path}", self.prefix))?
            }
        };
        let uri = Uri::builder().scheme(Scheme::HTTP).authority(self.authority.clone());
        uri.path_and_query(path).build()
    }
}

/// What a job's events say of the job itself; those of its parts are passed over.
pub(crate) struct Events {
    stream: EventStream<BodyDataStream<Incoming>>,
    until: Instant,
}

impl Events {
    /// The next event's data, or why none comes.
    pub(crate) async fn next(&mut self) -> Option<Result<String, String>> {
        loop {
            match timeout_at(self.until, self.stream.next()).await.ok()?? {
                Ok(event) if event.event == "progress" => {}
                event => return Some(event.map(|event| event.data).map_err(|error| error.to_string())),
            }
        }
    }
}

async fn whole(reply: Response<Incoming>) -> Result<Response<Bytes>, Denial> {
    let (head, body) = reply.into_parts();
    let body = body.collect().await.map_err(|error| no_reply(&error))?;
    Ok(Response::from_parts(head, body.to_bytes()))
}

async fn in_time<T>(limit: Duration, reply: impl Future<Output = Result<T, Denial>>) -> Result<T, Denial> {
    let reply = timeout(limit, reply).await;
    reply.unwrap_or_else(|_| Err(Denial::NoReply(format!("none within {limit:?}"))))
}

/// An error with its causes: the outermost one says only that a request failed.
fn no_reply(error: &dyn std::error::Error) -> Denial {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    Denial::NoReply(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_urls_that_are_spoken_are_taken() {
        for (url, word) in [
            ("https://127.0.0.1:1", "https"),
            ("127.0.0.1:8080", "no URL"),
            ("http://", "no URL"),
            ("http://a b", "no URL"),
            ("http://127.0.0.1:1/?a=b", "query"),
        ] {
            let error = Transport::to(url, 1).await.unwrap_err();
            assert!(error.to_string().contains(word), "{url}: {error}");
        }
    }

    #[tokio::test]
    async fn a_path_is_put_behind_that_of_the_url() {
        for (url, whole) in [
            ("http://host:8080", "http://host:8080/v1/jobs?wait=1s"),
            ("http://host/", "http://host/v1/jobs?wait=1s"),
            ("http://host/a/b/", "http://host/a/b/v1/jobs?wait=1s"),
        ] {
            let uri = Http::to(url, 1).unwrap().uri(&"/v1/jobs?wait=1s".parse().unwrap());
            assert_eq!(uri.unwrap().to_string(), whole);
        }
    }
}
