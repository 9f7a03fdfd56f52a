//! `GET /v1/queues`: what of the tenant's waits.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, Response, StatusCode},
};
use gristmill_schemas::api::Queues;

use crate::{
    auth::{May, Read},
    http::{
        App,
        negotiate::{Media, encoded},
        problem::Reply,
    },
};

/// Count what waits
///
/// The tenant's jobs that have not ended, and how deep the queues are that they wait in: one for each version of a model and
/// lane. A queue is counted in envelopes, which hold jobs that were accepted together, and is shared with the tenants of the
/// same group. Of an API key for some models, the queues of these alone.
#[utoipa::path(
    get,
    path = "/v1/queues",
    operation_id = "count_queues",
    tag = "jobs",
    responses((status = 200, description = "The counts.", body = Queues)),
)]
pub(crate) async fn count(
    State(app): State<App>,
    May { caller, .. }: May<Read>,
    headers: HeaderMap,
) -> Result<Response<Body>, Reply> {
    let media = Media::accepted(&headers, &[Media::Json])?;
    let view = app.queues.view(&caller.tenant, &caller.grant).await?;
    Ok(encoded(StatusCode::OK, media, &view))
}
