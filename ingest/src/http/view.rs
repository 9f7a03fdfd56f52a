//! A job's standing in its client's words.

use axum::{
    extract::{FromRequestParts, Path},
    http::{Uri, request::Parts},
};
use gristmill_broker::Ended;
use gristmill_schemas::{
    JobId, JobResult, JobState, Outcome, Refusal, RefusalCode,
    api::{JobView, Links, Output},
    codec::DecodeError,
};
use serde::Deserialize;
use std::time::Duration;

use crate::{
    http::{App, prefer, problem::Reply, query},
    jobs::{Standing, not_found},
};

/// The view of a job; `outputs` says whether a success shows them.
///
/// # Errors
/// `internal`, for an outcome that this build cannot read.
pub(crate) fn of(id: &JobId, standing: &Standing, outputs: bool) -> Result<JobView, Refusal> {
    let mut view = JobView {
        id: *id,
        status: JobState::Queued,
        created_at: id.accepted_at(),
        deadline: id.deadline(),
        position: None,
        estimated_start: None,
        progress: None,
        completed_at: None,
        failure: None,
        outputs: None,
        links: Links::of(id),
    };
    let ended = match standing {
        Standing::Ended(ended) => ended,
        Standing::Queued(so_far) => {
            view.progress = so_far.rows_done;
            // one that has told of its rows waits no more
            let position = so_far.position.filter(|_| so_far.rows_done.is_none());
            view.position = position.map(|position| position.envelopes_before);
            view.estimated_start = position.and_then(|position| position.estimated_start);
            return Ok(view);
        }
    };
    view.status = ended.state;
    view.completed_at = Some(ended.committed_at);
    match ended.state {
        JobState::Succeeded if !outputs => {}
        JobState::Succeeded | JobState::Failed => match outcome(ended)?.result {
            JobResult::Succeeded(tensors) => view.outputs = Some(tensors.into_iter().map(Output).collect()),
            JobResult::Failed(failure) => view.failure = Some(failure),
            JobResult::Expired | JobResult::Cancelled => {}
        },
        JobState::Queued | JobState::Expired | JobState::Cancelled => {}
    }
    Ok(view)
}

/// The outcome of a job that has ended.
///
/// # Errors
/// `internal`, for one that this build cannot read.
pub(crate) fn outcome(ended: &Ended) -> Result<Outcome, Refusal> {
    ended.outcome().map_err(|error| unreadable(&error))
}

/// What a record that cannot be read means to a client.
pub(crate) fn unreadable(error: &DecodeError) -> Refusal {
    tracing::error!(%error, "a stored record cannot be read");
    Refusal::new(
        RefusalCode::Internal,
        "the job's record was written by a version that this server cannot read",
    )
}

/// The id in the path. What has not the form of an id gets the answer of an id that does not exist.
pub(crate) struct JobPath(pub(crate) JobId);

impl FromRequestParts<App> for JobPath {
    type Rejection = Reply;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Reply> {
        let path = Path::<String>::from_request_parts(parts, app).await;
        let id = path.ok().and_then(|Path(text)| text.parse().ok());
        id.map(Self).ok_or_else(|| not_found().into())
    }
}

/// Query parameters of reads.
#[derive(Debug, Default, Deserialize)]
struct Parameters {
    wait: Option<String>,
    include: Option<String>,
}

/// What a read asks for besides the job.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wish {
    /// How long to wait for the job's end.
    pub(crate) wait: Duration,
    /// Whether outputs are to be shown.
    pub(crate) outputs: bool,
}

impl Wish {
    /// Reads the query.
    ///
    /// # Errors
    /// `invalid_value`.
    pub(crate) fn of(uri: &Uri) -> Result<Self, Refusal> {
        let parameters = query::read::<Parameters>(uri)?;
        let outputs = match parameters.include.as_deref() {
            None => false,
            Some("outputs") => true,
            Some(_) => {
                let refusal = Refusal::new(RefusalCode::InvalidValue, "include may be \"outputs\"");
                return Err(refusal.at("include"));
            }
        };
        let wait = parameters
            .wait
            .as_deref()
            .map(prefer::of_query)
            .transpose()?
            .unwrap_or_default();
        Ok(Self { wait, outputs })
    }
}
