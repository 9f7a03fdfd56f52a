//! `GET /v1/events`: the ends of all of a tenant's jobs as they come, as server-sent events.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, Response, Uri},
    response::{
        IntoResponse,
        sse::{Event, Sse},
    },
};
use futures_util::{Stream, stream};
use gristmill_schemas::{
    Cursor, JobResult, Refusal, RefusalCode,
    api::{JobSummary, Output, Problem},
};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    auth::{May, Read},
    feed::{Begin, Feed, Told},
    http::{App, page, problem::Reply, selection::Selection, view},
    keys::Caller,
    metrics,
};

/// How soon a client whose stream broke off should come back.
const RETRY: Duration = Duration::from_secs(1);
const LAST_EVENT_ID: &str = "last-event-id";

/// Subscribe to ends of jobs
///
/// Server-sent events: `outcome` for each job of the tenant that ends, whose data is the job in short. The id of an event is a
/// cursor: a client that comes back with it (`Last-Event-ID`, or `cursor`) is told everything behind it, and nothing twice, as
/// long as outcomes are kept. `reset` says that the cursor is older than that: some may be missing, and what follows is all
/// that is kept. An id without an event, at the beginning and at least every 15 seconds, brings the cursor up to date.
///
/// Without a cursor it begins with what ends from now on, or with `since`. A job that was ended by its id alone (cancelled, or
/// found expired by a reader) tells no model and no labels: it passes the filters by these.
#[utoipa::path(
    get,
    path = "/v1/events",
    operation_id = "subscribe",
    tag = "jobs",
    params(
        ("Last-Event-ID" = Option<String>, Header, description = "The last id that the client has had."),
        ("cursor" = Option<String>, Query, description = "The same, for clients that cannot send the header."),
        ("since" = Option<String>, Query, description = "Without a cursor: begin at this time (RFC 3339), or so long ago (`15min`)."),
        ("model" = Option<String>, Query, description = "Of these models alone, with commas between."),
        ("status" = Option<String>, Query, description = "Of these ends alone, with commas between: `succeeded`, `failed`, `expired`, `cancelled`."),
        ("metadata.<key>" = Option<String>, Query, description = "With this label alone."),
        ("include" = Option<String>, Query, description = "`outputs`: show the outputs of a success as well."),
    ),
    responses(
        (status = 200, description = "Events whose data is a job in short.", content((JobSummary = "text/event-stream"))),
        (status = 429, description = "Too many streams are open.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn open(
    State(app): State<App>,
    May { caller, .. }: May<Read>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response<Body>, Reply> {
    let selection = Selection::of(&uri, &["cursor", "include"], (&app, &caller))?;
    if selection.names_running {
        let detail = "a stream tells of ends alone; the list tells what runs";
        return Err(Refusal::new(RefusalCode::InvalidValue, detail).at("status").into());
    }
    let begin = begin(&headers, &selection)?;
    let permit = app.admission.event_stream()?;
    let feed = app
        .feeds
        .open(&caller.tenant, begin, selection.filter, selection.outputs);
    let subscription = Subscription {
        feed: feed.await?,
        app,
        caller,
        _permit: permit,
        _counted: metrics::InGauge::new(metrics::event_streams()),
    };
    Ok(Sse::new(subscription.events()).into_response())
}

/// The header stands before the parameter: a browser that comes back sends it with the URL it began with.
fn begin(headers: &HeaderMap, selection: &Selection) -> Result<Begin, Refusal> {
    let after = |text: &str, field| match text.parse::<Cursor>() {
        Ok(cursor) => Ok(Begin::After(Box::new(cursor))),
        Err(_) => Err(page::foreign_cursor(field)),
    };
    if let Some(last) = headers.get(LAST_EVENT_ID).filter(|last| !last.is_empty()) {
        let text = last.to_str().map_err(|_| page::foreign_cursor("Last-Event-ID"))?;
        return after(text, "Last-Event-ID");
    }
    match (&selection.cursor, selection.since) {
        (Some(text), None) => after(text, "cursor"),
        (None, Some(moment)) => Ok(Begin::Since(moment)),
        (None, None) => Ok(Begin::Now),
        (Some(_), Some(_)) => {
            let detail = "a stream begins at a cursor or at a time, not at both";
            Err(Refusal::new(RefusalCode::InvalidValue, detail).at("since"))
        }
    }
}

/// One open stream.
struct Subscription {
    feed: Feed,
    app: App,
    caller: Caller,
    _permit: OwnedSemaphorePermit,
    _counted: metrics::InGauge,
}

impl Subscription {
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold((self, Some(RETRY)), |(mut subscription, retry)| async move {
            let event = subscription.next().await?;
            let event = retry.map_or(event.clone(), |retry| event.retry(retry));
            Some((Ok(event), (subscription, None)))
        })
    }

    /// The next event; `None` ends the stream, and the client comes back.
    async fn next(&mut self) -> Option<Event> {
        let (told, cursor) = self.feed.next().await?;
        // a key that was revoked meanwhile, or may see less, is told when it comes back
        if !self.app.ring.still_knows(&self.caller) {
            return None;
        }
        let event = Event::default().id(cursor.to_string());
        Some(match told {
            Told::Nothing => event,
            Told::Reset => {
                let detail = "the cursor is older than what is kept: ends of jobs may be missing before this";
                event.event("reset").data(json!({ "detail": detail }).to_string())
            }
            Told::Ended {
                event: ended,
                at,
                outcome,
            } => {
                let mut summary = JobSummary::of(&ended, at);
                let outcome = outcome.and_then(|outcome| view::outcome(&outcome).ok());
                if let Some(JobResult::Succeeded(tensors)) = outcome.map(|outcome| outcome.result) {
                    summary.outputs = Some(tensors.into_iter().map(Output).collect());
                }
                let data = serde_json::to_string(&summary).expect("a summary holds maps with text keys alone");
                event.event("outcome").data(data)
            }
        })
    }
}
