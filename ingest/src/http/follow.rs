//! `GET /v1/jobs/{id}/events`: a job's standing now, its progress and its end as they come, as server-sent events.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, Response, StatusCode, Uri},
    response::{
        IntoResponse,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{FutureExt, Stream, future::BoxFuture, stream};
use gristmill_schemas::{
    JobId, Position, Progress, Refusal, TenantId,
    api::{JobView, Problem},
    progress::ProgressView,
};
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    auth::{May, Read},
    http::{
        App,
        prefer::MAX_WAIT,
        problem::Reply,
        view::{self, JobPath, Wish},
    },
    jobs::{Jobs, Standing},
    keys::Caller,
    metrics,
    progress::ProgressFeed,
};

/// A comment is sent this often while nothing happens, so that nobody in between thinks the connection dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How soon a client whose stream broke off should come back.
const RETRY: Duration = Duration::from_secs(1);
/// The id of the first event, while the client has had no progress.
const STATUS: &str = "status";
/// The id of the last event.
const OUTCOME: &str = "outcome";

/// Follow a job
///
/// Server-sent events: `status` at once, `progress` whenever some rows of a job of many rows have run, `outcome` when the job
/// has ended; then the stream ends. The data of the first and the last is the job, that of `progress` a `ProgressView`: which
/// rows, and with `include=outputs` what they gave. It begins with what the job has told before; a client that comes back with
/// the id of the last event it had (`Last-Event-ID`) is told what is behind that, and one that has had the outcome
/// (`Last-Event-ID: outcome`) gets 204 and need not come again. The last rows are told by the outcome, which has all of them.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}/events",
    operation_id = "follow_job",
    tag = "jobs",
    params(
        ("id" = String, Path, description = "The job's id."),
        ("include" = Option<String>, Query, description = "`outputs`: progress shows the outputs of its rows, the outcome those of a success."),
        ("Last-Event-ID" = Option<String>, Header, description = "The last event the client has had."),
    ),
    responses(
        (status = 200, description = "Events whose data is the job, or a part of it.", content((JobView = "text/event-stream"))),
        (status = 204, description = "The client has had the outcome."),
        (status = 429, description = "Too many streams are open.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn open(
    State(app): State<App>,
    May { caller, .. }: May<Read>,
    JobPath(id): JobPath,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response<Body>, Reply> {
    let wish = Wish::of(&uri)?;
    let standing = app.jobs.standing(&caller.tenant, &id).await?;
    let last = headers.get("last-event-id").and_then(|last| last.to_str().ok());
    if last == Some(OUTCOME) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let permit = app.admission.event_stream()?;
    let follow = Follow {
        app,
        caller,
        id,
        outputs: wish.outputs,
        after: last.and_then(place),
        _permit: permit,
        _counted: metrics::InGauge::new(metrics::event_streams()),
    };
    let events = Sse::new(follow.events(standing)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    Ok(events.into_response())
}

/// One open stream.
struct Follow {
    app: App,
    caller: Caller,
    id: JobId,
    outputs: bool,
    /// The last progress that the client has had.
    after: Option<Position>,
    _permit: OwnedSemaphorePermit,
    _counted: metrics::InGauge,
}

/// What a stream sends next.
enum Next {
    /// Where the job stood when the stream was opened.
    Status(Standing),
    /// Whatever there is to tell of a job that has not ended.
    Queued,
    /// What the job tells, until it has ended.
    Running(Box<Running>),
    /// What it had told before its end, and then that.
    Ended(Box<Running>, Standing),
    /// Its end.
    Outcome(Standing),
    /// Nothing.
    End,
}

/// A job that has not ended.
struct Running {
    progress: ProgressFeed,
    /// The job's end; `None` if the server ends first or the store is away.
    end: BoxFuture<'static, Option<Standing>>,
}

impl Follow {
    fn events(self, standing: Standing) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold((self, Next::Status(standing)), |(follow, next)| async move {
            let (event, next) = follow.step(next).await?;
            // a key that was revoked meanwhile, or may see less, is told when it comes back
            let is_known = follow.app.ring.still_knows(&follow.caller);
            is_known.then_some((Ok(event), (follow, next)))
        })
    }

    /// The next event; `None` ends the stream, whether or not there was an outcome: a client without one comes back.
    async fn step(&self, mut next: Next) -> Option<(Event, Next)> {
        loop {
            next = match next {
                Next::Status(standing) => {
                    let id = self.after.map_or_else(|| STATUS.to_owned(), |after| after.to_string());
                    let event = self.event(STATUS, &standing, false).ok()?.id(id);
                    let next = match standing {
                        Standing::Queued(_) => Next::Queued,
                        // who was told some of it is told the rest
                        Standing::Ended(_) if self.after.is_some() => Next::Ended(Box::new(self.run().await), standing),
                        Standing::Ended(_) => Next::Outcome(standing),
                    };
                    return Some((event.retry(RETRY), next));
                }
                Next::Queued => Next::Running(Box::new(self.run().await)),
                Next::Running(mut running) => tokio::select! {
                    told = running.progress.next() => return Some((self.progress(told), Next::Running(running))),
                    end = &mut running.end => Next::Ended(running, end?),
                },
                Next::Ended(mut running, standing) => match running.progress.next_at_once().await {
                    Some(told) => return Some((self.progress(told), Next::Ended(running, standing))),
                    None => Next::Outcome(standing),
                },
                Next::Outcome(standing) => {
                    let event = self.event(OUTCOME, &standing, self.outputs).ok()?;
                    return Some((event.id(OUTCOME), Next::End));
                }
                Next::End => return None,
            };
        }
    }

    async fn run(&self) -> Running {
        let (jobs, tenant) = (&self.app.jobs, &self.caller.tenant);
        let hints = jobs.watch.progress(tenant, &self.id);
        let job = (tenant.clone(), self.id);
        let after = self.after.unwrap_or_default();
        Running {
            progress: ProgressFeed::open(jobs.store.clone(), hints, job, after).await,
            end: ended(jobs.clone(), tenant.clone(), self.id).boxed(),
        }
    }

    fn event(&self, name: &'static str, standing: &Standing, outputs: bool) -> Result<Event, Refusal> {
        let view = view::of(&self.id, standing, outputs)?;
        let data = serde_json::to_string(&view).expect("a view holds maps with text keys alone");
        Ok(Event::default().event(name).data(data))
    }

    fn progress(&self, (position, progress): (Position, Progress)) -> Event {
        let view = ProgressView::of(&self.id, progress, self.outputs);
        let data = serde_json::to_string(&view).expect("a view holds maps with text keys alone");
        Event::default().event("progress").id(position.to_string()).data(data)
    }
}

/// The place of an event `progress`, by its id. Any other id is that of the first event, or none of ours: then all is told that
/// was told before.
fn place(id: &str) -> Option<Position> {
    // behind the last of all places nothing can be asked for
    id.parse().ok().filter(|place: &Position| place.millis < u64::MAX)
}

async fn ended(jobs: Jobs, tenant: TenantId, id: JobId) -> Option<Standing> {
    loop {
        match jobs.wait(&tenant, &id, MAX_WAIT).await {
            Ok(standing @ Standing::Ended(_)) => return Some(standing),
            Ok(Standing::Queued(_)) if jobs.shutdown.is_requested() => return None,
            Ok(Standing::Queued(_)) => {}
            Err(refusal) => {
                tracing::debug!(%refusal, "an event stream breaks off");
                return None;
            }
        }
    }
}
