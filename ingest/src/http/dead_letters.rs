//! Dead letters: listing, reading, redriving and dropping the jobs that failed.

pub(crate) mod many;

use axum::{
    Extension,
    body::Body,
    extract::{FromRequest, Request, State},
    http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, header},
    response::IntoResponse,
};
use gristmill_broker::{DeadLetterRecord, dead_letters::Place};
use gristmill_schemas::{
    JobId, Lineage, Refusal, RefusalCode, TraceParent,
    api::{JobView, Links, Output, Problem},
    dead_letter::{DeadLetter, DeadLetterDetail, DeadLetterPage, Redrive},
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    auth::{May, Operate, Read},
    dead_letters::{Listed, RedriveOrder},
    http::{
        App, body,
        negotiate::{Media, encoded},
        page,
        problem::Reply,
        query,
        view::{self, JobPath},
    },
    jobs::{SoFar, Standing},
};

#[derive(Debug, Default, Deserialize)]
struct Parameters {
    limit: Option<String>,
    cursor: Option<String>,
    include: Option<String>,
}

/// List dead letters
///
/// Every job that ended as `failed` leaves one, the newest first, until it is redriven, dropped or past its retention.
#[utoipa::path(
    get,
    path = "/v1/dead-letters",
    operation_id = "list_dead_letters",
    tag = "dead letters",
    params(
        ("limit" = Option<u32>, Query, description = "The most of one page: 1 to 200, 50 if absent."),
        ("cursor" = Option<String>, Query, description = "Where the page begins: `next` of the page before."),
    ),
    responses((status = 200, description = "Some of the tenant's dead letters.", body = DeadLetterPage)),
)]
pub(crate) async fn list(
    State(app): State<App>,
    May { caller, .. }: May<Read>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response<Body>, Reply> {
    let media = Media::accepted(&headers, &[Media::Json])?;
    let parameters: Parameters = query::read(&uri)?;
    let limit = parameters.limit.as_deref().map_or(Ok(page::USUAL), page::size)?;
    let after = parameters.cursor.as_deref().map(place).transpose()?;
    let (listed, next) = app.dead_letters.page(&caller.tenant, after, limit).await?;
    let dead_letters: Result<Vec<DeadLetter>, Refusal> = listed
        .iter()
        .map(|Listed { place, record }| Ok(in_short(&place.id, record, &lineage(record)?)))
        .collect();
    let page = DeadLetterPage {
        dead_letters: dead_letters?,
        next: next.map(cursor),
    };
    Ok(encoded(StatusCode::OK, media, &page))
}

/// Read a dead letter
///
/// Why the job failed, with its whole lineage; with `include=inputs` also what went in.
#[utoipa::path(
    get,
    path = "/v1/dead-letters/{id}",
    operation_id = "read_dead_letter",
    tag = "dead letters",
    params(
        ("id" = String, Path, description = "The id of the job that failed."),
        ("include" = Option<String>, Query, description = "`inputs`: show what went in as well."),
    ),
    responses(
        (status = 200, description = "The dead letter.", body = DeadLetterDetail),
        (status = 404, description = "The tenant has no such dead letter.", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "The inputs that were asked for are not kept any more.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn read(
    State(app): State<App>,
    May { caller, .. }: May<Read>,
    JobPath(id): JobPath,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response<Body>, Reply> {
    let media = Media::accepted(&headers, &[Media::Json])?;
    let wanted = match query::read::<Parameters>(&uri)?.include.as_deref() {
        None => false,
        Some("inputs") => true,
        Some(_) => {
            let refusal = Refusal::new(RefusalCode::InvalidValue, "include may be \"inputs\"");
            return Err(refusal.at("include").into());
        }
    };
    let record = app.dead_letters.read(&caller.tenant, &id).await?;
    let inputs = if wanted {
        let job = app.dead_letters.input(&caller.tenant, &record).await?;
        Some(job.inputs.into_iter().map(Output).collect())
    } else {
        None
    };
    let lineage = lineage(&record)?;
    let detail = DeadLetterDetail {
        dead_letter: in_short(&id, &record, &lineage),
        lineage,
        inputs,
    };
    Ok(encoded(StatusCode::OK, media, &detail))
}

/// Redrive a dead letter
///
/// Submits the same inputs once more, as a new job that names the failed one as its parent. Asked for twice, it is the
/// same new job.
#[utoipa::path(
    post,
    path = "/v1/dead-letters/{id}/redrive",
    operation_id = "redrive_dead_letter",
    tag = "dead letters",
    params(("id" = String, Path, description = "The id of the job that failed.")),
    request_body(content = Option<Redrive>, description = "Nothing, or another version."),
    responses(
        (status = 202, description = "The new job.", body = JobView, headers(("Location" = String, description = "The new job."))),
        (status = 404, description = "The tenant has no such dead letter.", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "The inputs are not kept any more.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "It is being redriven with another version.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn redrive(
    State(app): State<App>,
    May { caller, .. }: May<Operate>,
    JobPath(id): JobPath,
    Extension(trace): Extension<TraceParent>,
    Words(redrive): Words<Redrive>,
) -> Result<Response<Body>, Reply> {
    let order = RedriveOrder {
        caller,
        version: redrive.unwrap_or_default().version,
        trace,
    };
    let accepted = app.dead_letters.redrive(&id, order).await?;
    let view = view::of(&accepted.id, &Standing::Queued(SoFar::default()), false)?;
    let mut response = encoded(StatusCode::ACCEPTED, Media::Json, &view);
    if let Ok(location) = HeaderValue::from_str(&view.links.this) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Drop a dead letter
///
/// It leaves the list and its inputs are forgotten. The job stays failed, with its lineage.
#[utoipa::path(
    delete,
    path = "/v1/dead-letters/{id}",
    operation_id = "drop_dead_letter",
    tag = "dead letters",
    params(("id" = String, Path, description = "The id of the job that failed.")),
    responses(
        (status = 204, description = "It is dropped."),
        (status = 404, description = "The tenant has no such dead letter.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn discard(
    State(app): State<App>,
    May { caller, .. }: May<Operate>,
    JobPath(id): JobPath,
) -> Result<Response<Body>, Reply> {
    app.dead_letters.discard(&caller.tenant, &id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A request's JSON; `None` for an empty body.
pub(crate) struct Words<T>(pub(crate) Option<T>);

impl<T: DeserializeOwned> FromRequest<App> for Words<T> {
    type Rejection = Reply;

    async fn from_request(request: Request, app: &App) -> Result<Self, Reply> {
        let (parts, body) = request.into_parts();
        let room = app.admission.body();
        let received = body::read(&parts.headers, body, room, (&app.limits, &app.http)).await?;
        if received.bytes.is_empty() {
            return Ok(Self(None));
        }
        if Media::of_body(&parts.headers)? != Media::Json {
            let refusal = Refusal::new(RefusalCode::UnsupportedMediaType, "send the body as application/json");
            return Err(refusal.at("Content-Type").into());
        }
        serde_json::from_slice(&received.bytes)
            .map(|words| Self(Some(words)))
            .map_err(|error| Refusal::new(RefusalCode::MalformedBody, error.to_string()).into())
    }
}

/// Opaque to clients.
fn cursor(place: Place) -> String {
    format!("{}-{}", place.failed_at, place.id)
}

fn place(cursor: &str) -> Result<Place, Refusal> {
    let parts = cursor.split_once('-');
    let place = parts.and_then(|(failed_at, id)| {
        Some(Place {
            failed_at: failed_at.parse().ok()?,
            id: id.parse().ok()?,
        })
    });
    place.ok_or_else(|| page::foreign_cursor("cursor"))
}

fn lineage(record: &DeadLetterRecord) -> Result<Lineage, Refusal> {
    record.record.lineage().map_err(|error| view::unreadable(&error))
}

fn in_short(id: &JobId, record: &DeadLetterRecord, lineage: &Lineage) -> DeadLetter {
    DeadLetter {
        id: *id,
        failed_at: record.record.ended.committed_at,
        failure: lineage.failure.clone(),
        attempts: lineage.attempt,
        model: lineage.model.as_ref().map(|model| model.name.clone()),
        version: lineage.model.as_ref().map(|model| model.version.clone()),
        input_digest: lineage.input_digest,
        input_kept: record.input.is_some(),
        redriven_as: record.redriven_as,
        links: Links::of(id),
    }
}
