//! One job: reading it (and waiting), its lineage, cancelling it.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, Response, StatusCode, Uri},
};
use gristmill_schemas::{
    Lineage, Refusal, RefusalCode,
    api::{JobView, Problem},
};

use crate::{
    auth::{May, Read, Submit},
    http::{
        App,
        negotiate::{Media, encoded},
        problem::Reply,
        view::{self, JobPath, Wish},
    },
    jobs::Standing,
};

/// Read a job
///
/// With `?wait=10s` the answer comes as soon as the job has ended, or after that time.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}",
    operation_id = "read_job",
    tag = "jobs",
    params(
        ("id" = String, Path, description = "The job's id."),
        ("wait" = Option<String>, Query, description = "How long to wait for the job's end: `10s`, `250ms`, or whole seconds; at most 30s."),
        ("include" = Option<String>, Query, description = "`outputs`: show the outputs of a success as well."),
    ),
    responses(
        (status = 200, description = "Where the job stands.", content((JobView = "application/json"), (JobView = "application/msgpack"))),
        (status = 404, description = "There is no such job for this tenant.", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "The job's retention has passed.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn read(
    State(app): State<App>,
    May { caller, .. }: May<Read>,
    JobPath(id): JobPath,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response<Body>, Reply> {
    let media = Media::accepted(&headers, &[Media::Json, Media::MsgPack])?;
    let wish = Wish::of(&uri)?;
    let standing = app.jobs.wait(&caller.tenant, &id, wish.wait).await?;
    Ok(encoded(StatusCode::OK, media, &view::of(&id, &standing, wish.outputs)?))
}

/// Read a job's lineage
///
/// Who asked, what went in, which model ran it, in which batch, where, when, and what came out.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}/lineage",
    operation_id = "read_lineage",
    tag = "jobs",
    params(("id" = String, Path, description = "The job's id.")),
    responses(
        (status = 200, description = "The job's one lineage record.", body = Lineage),
        (status = 409, description = "The job has no outcome yet.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn lineage(
    State(app): State<App>,
    May { caller, .. }: May<Read>,
    JobPath(id): JobPath,
    headers: HeaderMap,
) -> Result<Response<Body>, Reply> {
    let media = Media::accepted(&headers, &[Media::Json])?;
    let record = app.jobs.record(&caller.tenant, &id).await?;
    let record = record.ok_or_else(no_outcome_yet)?;
    let lineage = record.lineage().map_err(|error| view::unreadable(&error))?;
    Ok(encoded(StatusCode::OK, media, &lineage))
}

/// Cancel a job
///
/// Ends the job as `cancelled` unless it has ended already. A run in progress is not stopped, but its outcome does not
/// count any more.
#[utoipa::path(
    post,
    path = "/v1/jobs/{id}/cancel",
    operation_id = "cancel_job",
    tag = "jobs",
    params(("id" = String, Path, description = "The job's id.")),
    responses(
        (status = 200, description = "The job is cancelled.", content((JobView = "application/json"), (JobView = "application/msgpack"))),
        (status = 409, description = "The job had ended already; `detail` names how.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn cancel(
    State(app): State<App>,
    May { caller, .. }: May<Submit>,
    JobPath(id): JobPath,
    headers: HeaderMap,
) -> Result<Response<Body>, Reply> {
    let media = Media::accepted(&headers, &[Media::Json, Media::MsgPack])?;
    let ended = app.jobs.cancel(&caller.tenant, &id).await?;
    let view = view::of(&id, &Standing::Ended(ended), false)?;
    Ok(encoded(StatusCode::OK, media, &view))
}

/// The answer to whoever wants what only an ended job has.
pub(crate) fn no_outcome_yet() -> Refusal {
    Refusal::new(
        RefusalCode::NoOutcomeYet,
        "the job is queued; wait for it with ?wait=10s on the job itself",
    )
}
