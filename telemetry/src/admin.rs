//! The admin listener: `/livez`, `/readyz` and `/metrics`, apart from the doors for clients. It has no secrets and no
//! commands, and no authentication: bind it where only operators reach it.

use std::future::Future;

use axum::Json;
use axum::Router;
use axum::extract::State as Extract;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use serde::Serialize;
use tokio::net::TcpListener;

use crate::health::{Readiness, State};
use crate::metrics::MetricsHandle;

/// The content type of Prometheus's text format.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves the admin endpoints until `shutdown` ends. Let it outlive the drain, so that `/readyz` can tell of it.
///
/// - `/livez`: 200 as long as the runtime turns, whatever else is broken;
/// - `/readyz`: 200 if every component is ready, else 503; both list the components;
/// - `/metrics`: Prometheus's text format.
///
/// # Errors
///
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    readiness: Readiness,
    metrics: MetricsHandle,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(readyz).with_state(readiness))
        .route("/metrics", get(render).with_state(metrics));
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}

#[derive(Serialize)]
struct Readyz {
    ready: bool,
    components: Vec<ComponentState>,
}

#[derive(Serialize)]
struct ComponentState {
    name: String,
    #[serde(flatten)]
    state: State,
}

async fn readyz(Extract(readiness): Extract<Readiness>) -> impl IntoResponse {
    let report = readiness.report();
    let ready = report.is_ready();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let components = report
        .components
        .into_iter()
        .map(|(name, state)| ComponentState { name, state })
        .collect();
    (status, Json(Readyz { ready, components }))
}

async fn render(Extract(metrics): Extract<MetricsHandle>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, EXPOSITION)], metrics.render())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::Shutdown;

    async fn get_path(addr: SocketAddr, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }

    async fn started(readiness: &Readiness) -> (SocketAddr, Shutdown) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shutdown = Shutdown::new();
        let metrics = crate::metrics::install().unwrap();
        shutdown.spawn(serve(listener, readiness.clone(), metrics, shutdown.requested()));
        (addr, shutdown)
    }

    #[tokio::test]
    async fn readyz_tells_which_component_is_missing_and_livez_does_not_care() {
        let readiness = Readiness::new();
        let nats = readiness.component("nats");
        let redis = readiness.component("redis");
        nats.ready();
        redis.degraded("LOADING");
        let (addr, shutdown) = started(&readiness).await;

        let (status, body) = get_path(addr, "/readyz").await;
        assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
        let listed: serde_json::Value = serde_json::from_str(&body).unwrap();
        let expected = json!({"ready": false, "components": [
            {"name": "nats", "state": "ready"},
            {"name": "redis", "state": "degraded", "reason": "LOADING"},
        ]});
        assert_eq!(listed, expected);
        assert_eq!(get_path(addr, "/livez").await.0, "HTTP/1.1 200 OK");

        redis.ready();
        assert_eq!(get_path(addr, "/readyz").await.0, "HTTP/1.1 200 OK");
        readiness.drain();
        assert_eq!(get_path(addr, "/readyz").await.0, "HTTP/1.1 503 Service Unavailable");
        shutdown.drain(std::time::Duration::from_secs(60)).await.unwrap();
    }

    #[tokio::test]
    async fn metrics_are_served_as_text() {
        let (addr, _shutdown) = started(&Readiness::new()).await;
        let (status, body) = get_path(addr, "/metrics").await;
        assert_eq!(status, "HTTP/1.1 200 OK");
        assert!(body.contains("# HELP gristmill_build_info Always 1;"), "{body}");
    }
}
