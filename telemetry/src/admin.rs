//! The admin listener: `/livez`, `/readyz` and `/metrics`, apart from the doors for clients. These have no secrets, no commands
//! and no authentication: bind it where only operators reach it. What changes anything is behind a token ([`crate::operator`]).

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
use crate::operator::Operator;

/// The content type of Prometheus's text format.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves the admin endpoints until `shutdown` ends. Let it outlive the drain, so that `/readyz` can tell of it.
///
/// - `/livez`: 200 as long as the runtime turns, whatever else is broken;
/// - `/readyz`: 200 if every component is ready, else 503; both list the components;
/// - `/metrics`: Prometheus's text format;
/// - `/operator/…`: where there is an operator, what he may do.
///
/// # Errors
///
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    readiness: Readiness,
    metrics: MetricsHandle,
    operator: Option<Operator>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(readyz).with_state(readiness))
        .route("/metrics", get(render).with_state(metrics))
        .merge(operator.map(Operator::routes).unwrap_or_default());
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

    const TOKEN: &str = "a-token-of-a-test-0123456789abcdef";

    async fn get_path(addr: SocketAddr, path: &str) -> (String, String) {
        ask(addr, "GET", path, ("", "")).await
    }

    /// With such a token, unless it is empty, and a body.
    async fn ask(addr: SocketAddr, method: &str, path: &str, (token, body): (&str, &str)) -> (String, String) {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let authorization = match token {
            "" => String::new(),
            token => format!("authorization: Bearer {token}\r\n"),
        };
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n{authorization}content-length: {length}\r\n\r\n{body}"
        );
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
        let operator = Operator {
            token: TOKEN.parse().unwrap(),
            shutdown: shutdown.clone(),
        };
        let serving = serve(
            listener,
            readiness.clone(),
            metrics,
            Some(operator),
            shutdown.requested(),
        );
        shutdown.spawn(serving);
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
    async fn operator_changes_the_log_and_ends_the_process_by_his_token_alone() {
        let (addr, shutdown) = started(&Readiness::new()).await;
        let args = crate::TelemetryArgs {
            log_format: crate::LogFormat::Text,
            log_filter: "warn".to_owned(),
            admin_addr: None,
            operator_token: None,
        };
        crate::logs::init(&args).unwrap();
        let wrong = format!("{TOKEN}0");
        for token in ["", &TOKEN[1..], wrong.as_str()] {
            for (method, path) in [
                ("GET", "/operator/log"),
                ("PUT", "/operator/log"),
                ("POST", "/operator/drain"),
            ] {
                let (status, _) = ask(addr, method, path, (token, "trace")).await;
                assert_eq!(status, "HTTP/1.1 401 Unauthorized", "{method} {path}");
            }
        }
        assert_eq!(ask(addr, "GET", "/operator/log", (TOKEN, "")).await.1, "warn\n");
        let (status, _) = ask(
            addr,
            "PUT",
            "/operator/log",
            (TOKEN, "info,gristmill_telemetry=debug\n"),
        )
        .await;
        assert_eq!(status, "HTTP/1.1 204 No Content");
        assert!(tracing::enabled!(tracing::Level::DEBUG));
        let (status, why) = ask(addr, "PUT", "/operator/log", (TOKEN, "a=b=c")).await;
        assert!(status.contains("400") && why.contains("a=b=c"), "{status} {why}");
        let (status, _) = ask(addr, "PUT", "/operator/log", (TOKEN, &"x".repeat(5000))).await;
        assert_eq!(status, "HTTP/1.1 413 Payload Too Large");
        let (_, kept) = ask(addr, "GET", "/operator/log", (TOKEN, "")).await;
        assert_eq!(kept, "info,gristmill_telemetry=debug\n");
        assert_eq!(
            ask(addr, "POST", "/operator/drain", (TOKEN, "")).await.0,
            "HTTP/1.1 202 Accepted"
        );
        assert!(shutdown.is_requested());
    }

    #[test]
    fn token_is_long_and_may_stand_in_a_file() {
        use crate::OperatorToken;
        assert!("short".parse::<OperatorToken>().is_err());
        assert!(
            "a token with spaces, 0123456789abcdef"
                .parse::<OperatorToken>()
                .is_err()
        );
        let file = std::env::temp_dir().join(format!("gristmill-operator-token-{}", std::process::id()));
        std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
        let read = format!("@{}", file.display()).parse::<OperatorToken>();
        std::fs::remove_file(&file).unwrap();
        assert_eq!(format!("{:?}", read.unwrap()), "OperatorToken(…)");
        let gone = format!("@{}", file.display()).parse::<OperatorToken>().unwrap_err();
        assert!(gone.to_string().contains("cannot be read"), "{gone}");
    }

    #[tokio::test]
    async fn metrics_are_served_as_text() {
        let (addr, _shutdown) = started(&Readiness::new()).await;
        let (status, body) = get_path(addr, "/metrics").await;
        assert_eq!(status, "HTTP/1.1 200 OK");
        assert!(body.contains("# HELP gristmill_build_info Always 1;"), "{body}");
    }
}
