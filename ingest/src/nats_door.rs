//! The door on NATS: the same routes as over HTTP, for clients that are on the bus already. A request is one message and its
//! reply another, so that event streams are HTTP's alone.

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    http::{Request, Response, header},
    response::IntoResponse,
};
use gristmill_broker::{Asked, Door};
use gristmill_schemas::{Refusal, RefusalCode, Span};
use gristmill_telemetry::Shutdown;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::http::problem::Reply;

/// Serves until the shutdown is requested, then lets requests in progress end, at most for the drain's time.
pub(crate) async fn serve(mut door: Door, router: Router, drain: Span, shutdown: &Shutdown) {
    let requests = TaskTracker::new();
    let hand_on = |asked: Asked| drop(requests.spawn(answer(asked, router.clone())));
    while let Some(Some(asked)) = shutdown.token().run_until_cancelled(door.next()).await {
        hand_on(asked);
    }
    let drained = async {
        door.close().await;
        while let Some(asked) = door.next().await {
            hand_on(asked);
        }
        requests.close();
        requests.wait().await;
    };
    if tokio::time::timeout(drain.into(), drained).await.is_err() {
        tracing::warn!("requests over NATS were still in progress at the end of the drain");
    }
    door.flush(FLUSH).await;
}

/// How long the last replies may take to leave.
const FLUSH: std::time::Duration = std::time::Duration::from_secs(2);

async fn answer(Asked { request, reply }: Asked, router: Router) {
    let response = match request {
        Ok(request) => routed(router, request).await,
        Err(wrong) => refused(Refusal::new(RefusalCode::InvalidValue, wrong).at("headers")),
    };
    let response = match whole(response, reply.max_body()).await {
        Ok(response) => response,
        // a refusal is a few short lines
        Err(refusal) => whole(refused(refusal), usize::MAX).await.unwrap_or_default(),
    };
    reply.send(response).await;
}

async fn routed(router: Router, request: Request<Bytes>) -> Response<Body> {
    let answered = router.oneshot(request.map(Body::from)).await;
    answered.unwrap_or_else(|never| match never {})
}

fn refused(refusal: Refusal) -> Response<Body> {
    Reply::from(refusal).into_response()
}

/// A response with all of its body.
async fn whole(response: Response<Body>, max: usize) -> Result<Response<Bytes>, Refusal> {
    let kind = response.headers().get(header::CONTENT_TYPE);
    if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
        let detail = "events are told over HTTP alone; over NATS, wait with ?wait= or Prefer";
        return Err(Refusal::new(RefusalCode::NotAcceptable, detail).at("Path"));
    }
    let (head, body) = response.into_parts();
    let body = to_bytes(body, max).await.map_err(|error| {
        tracing::debug!(%error, "a reply is too large for a message");
        let detail = "the reply is larger than a message over NATS may be; ask over HTTP";
        Refusal::new(RefusalCode::NotAcceptable, detail).limit(format_args!("{max} bytes"))
    })?;
    Ok(Response::from_parts(head, body))
}
