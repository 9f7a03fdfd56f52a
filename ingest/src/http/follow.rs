//! `GET /v1/jobs/{id}/events`: a job's standing now and its end when it comes, as server-sent events.

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
use futures_util::{Stream, stream};
use gristmill_schemas::{
    JobId, Refusal, TenantId,
    api::{JobView, Problem},
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
    metrics,
};

/// A comment is sent this often while nothing happens, so that nobody in between thinks the connection dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How soon a client whose stream broke off should come back.
const RETRY: Duration = Duration::from_secs(1);
/// The id of the last event.
const OUTCOME: &str = "outcome";

/// Follow a job
///
/// Server-sent events: `status` at once, `outcome` when the job has ended; then the stream ends. The data of both is the
/// job. A client that comes back after the outcome (`Last-Event-ID: outcome`) gets 204 and need not come again.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}/events",
    operation_id = "follow_job",
    tag = "jobs",
    params(
        ("id" = String, Path, description = "The job's id."),
        ("include" = Option<String>, Query, description = "`outputs`: the outcome shows the outputs of a success as well."),
        ("Last-Event-ID" = Option<String>, Header, description = "The last event the client has had."),
    ),
    responses(
        (status = 200, description = "Events whose data is the job.", content((JobView = "text/event-stream"))),
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
    if headers.get("last-event-id").is_some_and(|last| last == OUTCOME) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let follow = Follow {
        jobs: app.jobs.clone(),
        tenant: caller.tenant,
        id,
        outputs: wish.outputs,
        _permit: app.admission.event_stream()?,
        _counted: metrics::InGauge::new(metrics::event_streams()),
    };
    let events = Sse::new(follow.events(standing)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    Ok(events.into_response())
}

/// One open stream.
struct Follow {
    jobs: Jobs,
    tenant: TenantId,
    id: JobId,
    outputs: bool,
    _permit: OwnedSemaphorePermit,
    _counted: metrics::InGauge,
}

/// What a stream sends next.
enum Next {
    /// Where the job stood when the stream was opened.
    Status(Standing),
    /// The end, which is known.
    Outcome(Standing),
    /// The end, once it comes.
    Wait,
    /// Nothing.
    End,
}

impl Follow {
    fn events(self, standing: Standing) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold((self, Next::Status(standing)), |(follow, next)| async move {
            let (event, next) = follow.step(next).await?;
            Some((Ok(event), (follow, next)))
        })
    }

    /// The next event; `None` ends the stream, whether or not there was an outcome: a client without one comes back.
    async fn step(&self, next: Next) -> Option<(Event, Next)> {
        match next {
            Next::Status(standing) => {
                let event = self.event("status", &standing, false).ok()?;
                let next = match standing {
                    Standing::Queued(_) => Next::Wait,
                    Standing::Ended(_) => Next::Outcome(standing),
                };
                Some((event.retry(RETRY), next))
            }
            Next::Outcome(standing) => Some((self.event(OUTCOME, &standing, self.outputs).ok()?, Next::End)),
            Next::Wait => {
                let ended = self.ended().await?;
                Some((self.event(OUTCOME, &ended, self.outputs).ok()?, Next::End))
            }
            Next::End => None,
        }
    }

    /// The job's end; `None` if the server ends first or the store is away.
    async fn ended(&self) -> Option<Standing> {
        loop {
            match self.jobs.wait(&self.tenant, &self.id, MAX_WAIT).await {
                Ok(standing @ Standing::Ended(_)) => return Some(standing),
                Ok(Standing::Queued(_)) if self.jobs.shutdown.is_requested() => return None,
                Ok(Standing::Queued(_)) => {}
                Err(refusal) => {
                    tracing::debug!(%refusal, "an event stream breaks off");
                    return None;
                }
            }
        }
    }

    fn event(&self, name: &'static str, standing: &Standing, outputs: bool) -> Result<Event, Refusal> {
        let view = view::of(&self.id, standing, outputs)?;
        let data = serde_json::to_string(&view).expect("a view holds maps with text keys alone");
        Ok(Event::default().event(name).id(name).data(data))
    }
}
