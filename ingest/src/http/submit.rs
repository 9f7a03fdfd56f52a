//! `POST /v1/jobs`: from the body to a 202, or to a 200 if the outcome is there while the client waits.

use std::time::Duration;

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
};
use gristmill_schemas::{InferRequest, JobState, Refusal, RefusalCode, TraceParent, api::JobView, api::Problem};
use tokio::time::Instant;

use crate::{
    auth::{May, Submit},
    http::{
        App, body,
        negotiate::{Media, encoded},
        prefer,
        problem::Reply,
        view,
    },
    idempotency_key::IdempotencyKey,
    jobs::{SoFar, Standing},
    keys::Caller,
    metrics,
    submit::{Accepted, Submission},
};

/// Larger bodies are decoded on a thread for it, so that they do not hold up everybody else's requests.
const DECODE_APART_FROM: usize = 128 << 10;

/// Submit a job
///
/// The job is kept once the answer says 202: it ends as `succeeded`, `failed`, `expired` or `cancelled`, whatever breaks
/// in between. With `Prefer: wait=N` the answer is 200 with the outcome if it is there within N seconds (at most 30).
/// Bodies may be gzipped (`Content-Encoding: gzip`).
#[utoipa::path(
    post,
    path = "/v1/jobs",
    operation_id = "submit_job",
    tag = "jobs",
    params(
        ("Prefer" = Option<String>, Header, description = "`wait=5`: wait up to so many seconds for the outcome, at most 30."),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible characters. The same key and body mean the same job, as long as outcomes are kept; another body is refused."),
        ("traceparent" = Option<String>, Header, description = "The W3C trace the job belongs to."),
    ),
    request_body(
        content((InferRequest = "application/json"), (InferRequest = "application/msgpack")),
        description = "The request, as JSON or as MessagePack with raw tensor bytes.",
    ),
    responses(
        (status = 200, description = "The job has ended: the client waited for it, or the idempotency key stands for a job that has.", content((JobView = "application/json"), (JobView = "application/msgpack"))),
        (status = 202, description = "The job is kept and has not ended yet.", content((JobView = "application/json"), (JobView = "application/msgpack")), headers(
            ("Location" = String, description = "The job."),
            ("Preference-Applied" = String, description = "The wait that was granted."),
            ("Idempotency-Replayed" = String, description = "`true` where an earlier request with this key had made the job."),
        )),
        (status = 400, description = "The request is not one the model can run; `field` says where, `limit` which limit.", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body or the inputs are too large.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The idempotency key was used with another body.", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too much waits already; come back after `Retry-After`.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The job could not be kept (or, with `publish_unknown`, nobody knows: `id` says under which id it may be).", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn submit(
    State(app): State<App>,
    May { caller, .. }: May<Submit>,
    Extension(trace): Extension<TraceParent>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response<Body>, Reply> {
    let started = Instant::now();
    let reply = Media::accepted(&headers, &[Media::Json, Media::MsgPack])?;
    let media = Media::of_body(&headers)?;
    let idempotency_key = idempotency_key(&headers)?;
    let wait = prefer::of_headers(&headers);
    let received = body::read(&headers, body, app.admission.body(), (&app.limits, &app.http)).await?;
    let request = decode(media, received.bytes.clone(), app.limits.max_input_bytes).await?;
    let submission = Submission {
        request,
        caller: caller.clone(),
        idempotency_key,
        trace,
        is_awaited: wait.is_some(),
    };
    let mut accepted = app.submitter.submit(submission).await?;
    drop(received);
    metrics::accept_seconds().record(started.elapsed());
    tracing::debug!(job.id = %accepted.id, replayed = accepted.replayed, "accepted");
    let standing = standing(&app, &caller, &mut accepted, wait).await;
    answer(&accepted, &standing, (wait, reply))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Refusal> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    // what is not text is not visible ASCII either
    value.to_str().unwrap_or_default().parse().map(Some)
}

async fn decode(media: Media, bytes: Bytes, max_input_bytes: usize) -> Result<InferRequest, Refusal> {
    let small = bytes.len() < DECODE_APART_FROM;
    let decode = move || match media {
        Media::MsgPack => InferRequest::from_msgpack(&bytes, max_input_bytes),
        Media::Json | Media::Octets => InferRequest::from_json(&bytes, max_input_bytes),
    };
    if small {
        return decode();
    }
    tokio::task::spawn_blocking(decode).await.unwrap_or_else(|error| {
        tracing::error!(%error, "decoding a body failed");
        Err(Refusal::new(RefusalCode::Internal, "the body could not be decoded"))
    })
}

/// Where the job stands, after the wait that was asked for. The job is accepted: a store that cannot tell now changes
/// nothing about that.
async fn standing(app: &App, caller: &Caller, accepted: &mut Accepted, wait: Option<Duration>) -> Standing {
    let (tenant, expected) = (&caller.tenant, accepted.expected.take());
    let id = &accepted.id;
    let standing = match wait {
        Some(wait) => match expected {
            Some(expected) => app.jobs.wait_until(tenant, expected, Instant::now() + wait).await,
            None => app.jobs.wait(tenant, id, wait).await,
        },
        None if accepted.replayed => app.jobs.standing(tenant, id).await,
        None => Ok(Standing::Queued(SoFar {
            position: app.jobs.positions.of(tenant, id),
            ..SoFar::default()
        })),
    };
    standing.unwrap_or_else(|refusal| {
        tracing::debug!(%refusal, "accepted, and nobody can say more now");
        Standing::Queued(SoFar::default())
    })
}

fn answer(
    accepted: &Accepted,
    standing: &Standing,
    (wait, media): (Option<Duration>, Media),
) -> Result<Response<Body>, Reply> {
    let view = view::of(&accepted.id, standing, true)?;
    let status = if view.status == JobState::Queued {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    let mut response = encoded(status, media, &view);
    let headers = response.headers_mut();
    let mut set = |name: header::HeaderName, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    };
    set(header::LOCATION, view.links.this);
    if let Some(wait) = wait {
        set(
            header::HeaderName::from_static("preference-applied"),
            format!("wait={}", wait.as_secs()),
        );
    }
    if accepted.replayed {
        set(
            header::HeaderName::from_static("idempotency-replayed"),
            "true".to_owned(),
        );
    }
    Ok(response)
}
