//! A receiver of webhooks, which answers as it is told and remembers what it got.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Context;
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use gristmill_schemas::webhook::WebhookMessage;
use tokio::{net::TcpListener, task::JoinHandle};

/// How often a request that is held looks whether it still is.
const PAUSE: Duration = Duration::from_millis(10);

/// How a sink answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// With this status.
    Status(u16),
    /// Never.
    Stall,
    /// As it is told next.
    Hold,
    /// By sending the sender elsewhere.
    Redirect(String),
}

/// One request that came.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its `webhook-*` headers and what else there was.
    pub headers: BTreeMap<String, String>,
    /// As it came.
    pub body: String,
}

impl Received {
    /// What it tells.
    ///
    /// # Errors
    /// It is no message.
    pub fn message(&self) -> anyhow::Result<WebhookMessage> {
        serde_json::from_str(&self.body).context("a message")
    }

    /// A header, or nothing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

#[derive(Debug)]
struct Shared {
    mode: Mode,
    received: Vec<Received>,
}

/// A running sink on a port of its own; dropping it closes it.
#[derive(Debug)]
pub struct Sink {
    /// Where it is called.
    pub url: String,
    shared: Arc<Mutex<Shared>>,
    serving: JoinHandle<()>,
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Sink {
    /// Starts one.
    ///
    /// # Errors
    /// No port can be had.
    pub async fn start(mode: Mode) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let shared = Arc::new(Mutex::new(Shared {
            mode,
            received: Vec::new(),
        }));
        let router = Router::new().fallback(receive).with_state(Arc::clone(&shared));
        let serving = tokio::spawn(async move {
            // it ends with the task
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { url, shared, serving })
    }

    /// Answers in another way from now on.
    pub fn set(&self, mode: Mode) {
        lock(&self.shared).mode = mode;
    }

    /// What came so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        lock(&self.shared).received.clone()
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn receive(State(shared): State<Arc<Mutex<Shared>>>, headers: HeaderMap, body: Bytes) -> Response {
    let text = |(name, value): (&header::HeaderName, &header::HeaderValue)| {
        let value = String::from_utf8_lossy(value.as_bytes());
        (name.to_string(), value.into_owned())
    };
    let received = Received {
        headers: headers.iter().map(text).collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    lock(&shared).received.push(received);
    while lock(&shared).mode == Mode::Hold {
        tokio::time::sleep(PAUSE).await;
    }
    let mode = lock(&shared).mode.clone();
    match mode {
        Mode::Status(status) => StatusCode::from_u16(status).unwrap_or(StatusCode::OK).into_response(),
        Mode::Redirect(to) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
        Mode::Stall => std::future::pending().await,
        // it was told of something else before this was asked
        Mode::Hold => StatusCode::OK.into_response(),
    }
}
