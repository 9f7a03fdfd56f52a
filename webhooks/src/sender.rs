//! One attempt: a signed POST to an address that may be called, without redirects, bounded in time and size.
//!
//! A name is resolved once a connection, by us; what may not be called is struck out, and the connection goes to what is
//! left. So no later answer of a name server can lead it elsewhere.

use std::{
    error::Error,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use gristmill_broker::{DeliveryRecord, WebhookSettings};
use gristmill_schemas::{Timestamp, WebhookSecret};
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{HttpConnector, dns::Name},
    },
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use tower::Service;

use crate::addresses::{Addresses, Forbidden};

/// How long an attempt may take, from resolving the name to the last byte that is read.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(10);
/// The most of an answer's body that is read; it is not kept.
const BODY_LIMIT: usize = 64 << 10;
/// The most of its head.
const HEAD_LIMIT: usize = 16 << 10;
/// How long a connection is kept that nothing goes over.
const IDLE: Duration = Duration::from_secs(30);

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The receiver has answered.
    Status(u16),
    /// Not in time.
    TimedOut,
    /// It may not be called.
    Forbidden(Forbidden),
    /// There was no answer.
    Broken(&'static str),
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(status @ 300..=399) => write!(f, "HTTP {status}: redirects are not followed"),
            Self::Status(status) => write!(f, "HTTP {status}"),
            Self::TimedOut => write!(f, "no answer within {}s", TIME_LIMIT.as_secs()),
            Self::Forbidden(forbidden) => forbidden.fmt(f),
            Self::Broken(why) => f.write_str(why),
        }
    }
}

type Connections = Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>;

/// Sends. Clones share their connections.
#[derive(Debug, Clone)]
pub(crate) struct Sender {
    addresses: Arc<Addresses>,
    over_tls: Connections,
    plain: Connections,
}

impl Sender {
    /// To these addresses.
    pub(crate) fn new(addresses: Addresses) -> Self {
        let addresses = Arc::new(addresses);
        let tls = tls();
        let connections = |allowed_only| {
            let resolver = Resolver {
                addresses: Arc::clone(&addresses),
                allowed_only,
            };
            let mut connector = HttpConnector::new_with_resolver(resolver);
            connector.enforce_http(false);
            let builder = HttpsConnectorBuilder::new().with_tls_config(tls.clone());
            let builder = match allowed_only {
                true => builder.https_or_http(),
                false => builder.https_only(),
            };
            let connector = builder.enable_http1().wrap_connector(connector);
            Client::builder(TokioExecutor::new())
                .pool_idle_timeout(IDLE)
                .pool_timer(TokioTimer::new())
                .pool_max_idle_per_host(2)
                .http1_max_buf_size(HEAD_LIMIT)
                .build(connector)
        };
        Self {
            over_tls: connections(false),
            plain: connections(true),
            addresses,
        }
    }

    /// Makes one attempt.
    pub(crate) async fn send(&self, record: &DeliveryRecord, settings: &WebhookSettings, now: Timestamp) -> Answer {
        let url = &record.delivery.url;
        // an address needs no resolving, so that the resolver never sees it
        if let Err(forbidden) = self.addresses.check(url) {
            return Answer::Forbidden(forbidden);
        }
        let client = match url.as_url().scheme() {
            "https" => &self.over_tls,
            _ => &self.plain,
        };
        let Ok(request) = request(record, settings, now) else {
            return Answer::Broken("the URL cannot be asked for over HTTP");
        };
        let answered = tokio::time::timeout(TIME_LIMIT, async {
            let response = client.request(request).await.map_err(|error| broken(&error))?;
            let status = response.status().as_u16();
            let (mut body, mut read) = (response.into_body(), 0);
            // to its end, so that the connection can be used again; no further than the limit
            while read < BODY_LIMIT
                && let Some(frame) = body.frame().await
            {
                let frame = frame.map_err(|error| broken(&error))?;
                read += frame.data_ref().map_or(0, Bytes::len);
            }
            Ok(status)
        });
        match answered.await {
            Ok(Ok(status)) => Answer::Status(status),
            Ok(Err(broken)) => broken,
            Err(_) => Answer::TimedOut,
        }
    }
}

/// Trusts what the system trusts. A system that trusts nobody is no reason not to serve: it has receivers over https fail.
fn tls() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::warn!(errors = ?found.errors, "the system trusts no certificate: webhooks over https will fail");
    }
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the usual versions of TLS")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn request(
    record: &DeliveryRecord,
    settings: &WebhookSettings,
    now: Timestamp,
) -> Result<Request<Full<Bytes>>, http::Error> {
    let (id, seconds) = (record.delivery.id, now.as_micros() / 1_000_000);
    let sign = |secret: &WebhookSecret| secret.sign(&id, seconds, &record.body);
    let signatures: Vec<String> = settings.secrets(now).map(sign).collect();
    Request::post(record.delivery.url.as_url().as_str())
        .header(header::USER_AGENT, concat!("gristmill/", env!("CARGO_PKG_VERSION")))
        .header(header::CONTENT_TYPE, "application/json")
        .header("webhook-id", id.to_string())
        .header("webhook-timestamp", seconds)
        .header("webhook-signature", signatures.join(" "))
        .body(Full::from(record.body.clone()))
}

/// Says what went wrong in our own words: those of libraries may tell of what is within.
fn broken(error: &(dyn Error + 'static)) -> Answer {
    let mut connecting = false;
    let mut source = Some(error);
    while let Some(error) = source {
        if let Some(forbidden) = error.downcast_ref::<Forbidden>() {
            return Answer::Forbidden(forbidden.clone());
        }
        if error.is::<Unresolved>() {
            return Answer::Broken("the host's name cannot be resolved");
        }
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if error.is::<rustls::Error>() || inner.is_some_and(|inner| inner.is::<rustls::Error>()) {
            return Answer::Broken("TLS failed: the receiver's certificate is not trusted, or it speaks none");
        }
        connecting |= error
            .downcast_ref::<hyper_util::client::legacy::Error>()
            .is_some_and(hyper_util::client::legacy::Error::is_connect);
        source = error.source();
    }
    Answer::Broken(match connecting {
        true => "no connection",
        false => "the connection broke before the answer was whole",
    })
}

/// A name without an address.
#[derive(Debug, thiserror::Error)]
#[error("the name cannot be resolved")]
struct Unresolved;

/// Looks names up, and keeps of what it finds what may be called.
#[derive(Debug, Clone)]
struct Resolver {
    addresses: Arc<Addresses>,
    allowed_only: bool,
}

type BoxError = Box<dyn Error + Send + Sync>;

impl Resolver {
    async fn resolve(self, name: &str) -> Result<Vec<SocketAddr>, BoxError> {
        let found = tokio::net::lookup_host((name, 0)).await.map_err(|_| Unresolved)?;
        let may = |address: &SocketAddr| match self.allowed_only {
            true => self.addresses.is_allowed(address.ip()),
            false => self.addresses.permits(address.ip()),
        };
        let found: Vec<SocketAddr> = found.filter(may).collect();
        match (found.is_empty(), self.allowed_only) {
            (false, _) => Ok(found),
            (true, true) => Err(Forbidden::Plain.into()),
            (true, false) => Err(Forbidden::Host.into()),
        }
    }
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolver = self.clone();
        Box::pin(async move { Ok(resolver.resolve(name.as_str()).await?.into_iter()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn resolved(addresses: Addresses, allowed_only: bool) -> Result<usize, String> {
        let resolver = Resolver {
            addresses: Arc::new(addresses),
            allowed_only,
        };
        let found = resolver.resolve("localhost").await;
        found.map(|found| found.len()).map_err(|error| error.to_string())
    }

    /// The connection goes to what is answered here, so that no second answer of a name server counts.
    #[tokio::test]
    async fn name_that_leads_within_has_no_address_unless_the_operator_allows_it() {
        assert_eq!(
            resolved(Addresses::default(), false).await,
            Err(Forbidden::Host.to_string())
        );
        let loopback = || Addresses::new(["127.0.0.0/8", "::1/128"].map(|net| net.parse().unwrap()).to_vec());
        assert!(resolved(loopback(), true).await.unwrap() > 0);
        let elsewhere = Addresses::new(vec!["10.0.0.0/8".parse().unwrap()]);
        assert_eq!(resolved(elsewhere, true).await, Err(Forbidden::Plain.to_string()));
    }
}
