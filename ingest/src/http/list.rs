//! `GET /v1/jobs`: a tenant's jobs that have ended, page by page.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, Response, StatusCode, Uri},
};
use gristmill_broker::events::Place;
use gristmill_schemas::api::{JobPage, JobSummary};

use crate::{
    auth::{May, Read},
    feed::PageWish,
    http::{
        App,
        negotiate::{Media, encoded},
        page,
        problem::Reply,
        selection::Selection,
    },
};

/// List jobs that have ended
///
/// The newest first, as long as their outcomes are kept. A job that has not ended is in no list: its id is what tells of it.
#[utoipa::path(
    get,
    path = "/v1/jobs",
    operation_id = "list_jobs",
    tag = "jobs",
    params(
        ("model" = Option<String>, Query, description = "Of these models alone, with commas between."),
        ("status" = Option<String>, Query, description = "Of these ends alone, with commas between: `succeeded`, `failed`, `expired`, `cancelled`."),
        ("metadata.<key>" = Option<String>, Query, description = "With this label alone. A job that was ended by its id alone has none, and is listed."),
        ("since" = Option<String>, Query, description = "Not before this time (RFC 3339), or for so long back (`15min`)."),
        ("limit" = Option<u32>, Query, description = "The most of one page: 1 to 200, 50 if absent."),
        ("cursor" = Option<String>, Query, description = "Where the page begins: `next` of the page before."),
    ),
    responses((status = 200, description = "Some of the tenant's jobs.", body = JobPage)),
)]
pub(crate) async fn list(
    State(app): State<App>,
    May { caller, .. }: May<Read>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response<Body>, Reply> {
    let media = Media::accepted(&headers, &[Media::Json])?;
    let selection = Selection::of(&uri, &["limit", "cursor"], (&app, &caller))?;
    let before = selection
        .cursor
        .as_deref()
        .map(|cursor| place(cursor).ok_or_else(|| page::foreign_cursor("cursor")));
    let wish = PageWish {
        filter: selection.filter,
        before: before.transpose()?,
        since: selection.since,
        limit: selection.limit,
    };
    let (listed, next) = app.feeds.page(&caller.tenant, &wish).await?;
    let jobs = listed
        .iter()
        .map(|listed| JobSummary::of(&listed.event, listed.place.position.at()));
    let page = JobPage {
        jobs: jobs.collect(),
        next: next.map(cursor),
    };
    Ok(encoded(StatusCode::OK, media, &page))
}

/// Opaque to clients.
fn cursor(place: Place) -> String {
    format!("{}-{}", place.position, place.bucket)
}

fn place(cursor: &str) -> Option<Place> {
    let (position, bucket) = cursor.rsplit_once('-')?;
    Some(Place {
        position: position.parse().ok()?,
        bucket: bucket.parse().ok()?,
    })
}
