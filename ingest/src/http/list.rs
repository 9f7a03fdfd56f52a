//! `GET /v1/jobs`: a tenant's jobs that run and that have ended, page by page.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, Response, StatusCode, Uri},
};
use gristmill_broker::events::Place;
use gristmill_schemas::{
    Timestamp,
    api::{JobPage, JobSummary},
};

use crate::{
    auth::{May, Read},
    http::{
        App,
        negotiate::{Media, encoded},
        page,
        problem::Reply,
        selection::Selection,
    },
    list::{ListPlace, PageWish},
};

/// List jobs
///
/// Jobs that run, as their workers report every second, the last claimed first; and behind them those that have ended, the newest
/// first, as long as their outcomes are kept. A job that waits is in no list: its id tells of it, and `/v1/queues` counts it.
#[utoipa::path(
    get,
    path = "/v1/jobs",
    operation_id = "list_jobs",
    tag = "jobs",
    params(
        ("model" = Option<String>, Query, description = "Of these models alone, with commas between."),
        ("status" = Option<String>, Query, description = "In these states alone, with commas between: `running`, `succeeded`, `failed`, `expired`, `cancelled`."),
        ("metadata.<key>" = Option<String>, Query, description = "With this label alone. A job that was ended by its id alone has none, and is listed."),
        ("since" = Option<String>, Query, description = "None that ended before this time (RFC 3339), or for so long back (`15min`)."),
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
    let behind = selection
        .cursor
        .as_deref()
        .map(|cursor| place(cursor).ok_or_else(|| page::foreign_cursor("cursor")));
    let wish = PageWish {
        parts: selection.parts(),
        filter: selection.filter,
        behind: behind.transpose()?,
        since: selection.since,
        limit: selection.limit,
    };
    let page = app.feeds.page(&caller.tenant, &wish).await?;
    let ended = page.ended.iter();
    let page = JobPage {
        running: page.running.into_iter().map(Into::into).collect(),
        jobs: ended
            .map(|(place, event)| JobSummary::of(event, place.position.at()))
            .collect(),
        next: page.next.map(cursor),
    };
    Ok(encoded(StatusCode::OK, media, &page))
}

/// What begins the cursor of a job that ran.
const RUNNING: char = 'r';

/// Opaque to clients.
fn cursor(place: ListPlace) -> String {
    match place {
        ListPlace::Running(claimed_at, id) => format!("{RUNNING}{}-{id}", claimed_at.as_micros()),
        ListPlace::Ended(place) => format!("{}-{}", place.position, place.bucket),
    }
}

fn place(cursor: &str) -> Option<ListPlace> {
    let (place, last) = cursor.rsplit_once('-')?;
    if let Some(micros) = place.strip_prefix(RUNNING) {
        let claimed_at = Timestamp::from_micros(micros.parse().ok()?);
        return Some(ListPlace::Running(claimed_at, last.parse().ok()?));
    }
    Some(ListPlace::Ended(Place {
        position: place.parse().ok()?,
        bucket: last.parse().ok()?,
    }))
}
