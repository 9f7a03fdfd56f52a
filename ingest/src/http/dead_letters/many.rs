//! Redriving and dropping many dead letters with one call.

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{Response, StatusCode},
};
use futures_util::{StreamExt, stream};
use gristmill_schemas::{
    JobId, Refusal, RefusalCode, TraceParent,
    dead_letter::{DeadLetterResult, DeadLetterResults, DropMany, MAX_IDS, RedriveMany},
};

use super::Words;
use crate::{
    auth::{May, Operate},
    dead_letters::RedriveOrder,
    http::{
        App,
        negotiate::{Media, encoded},
        problem::Reply,
    },
};

/// Of one call's dead letters, how many are in hand at once.
const AT_ONCE: usize = 16;

/// Redrive many dead letters
///
/// One does not spoil the others: each has its own result, in the order of the request.
#[utoipa::path(
    post,
    path = "/v1/dead-letters/redrive",
    operation_id = "redrive_dead_letters",
    tag = "dead letters",
    request_body(content = RedriveMany, description = "At most 1000 ids."),
    responses((status = 200, description = "What became of each.", body = DeadLetterResults)),
)]
pub(crate) async fn redrive(
    State(app): State<App>,
    May { caller, .. }: May<Operate>,
    Extension(trace): Extension<TraceParent>,
    Words(many): Words<RedriveMany>,
) -> Result<Response<Body>, Reply> {
    let many = many.ok_or_else(no_ids)?;
    bounded(&many.ids)?;
    let (letters, version) = (&app.dead_letters, &many.version);
    let results = stream::iter(many.ids).map(|id| {
        let (caller, version) = (caller.clone(), version.clone());
        async move {
            let redriven = letters.redrive(&id, RedriveOrder { caller, version, trace }).await;
            match redriven {
                Ok(accepted) => DeadLetterResult {
                    redriven_as: Some(accepted.id),
                    ..undone(id)
                },
                Err(refused) => DeadLetterResult {
                    problem: Some(Reply::from(refused).problem()),
                    ..undone(id)
                },
            }
        }
    });
    Ok(answer(results.buffered(AT_ONCE).collect().await))
}

/// Drop many dead letters
///
/// One does not spoil the others: each has its own result, in the order of the request.
#[utoipa::path(
    post,
    path = "/v1/dead-letters/drop",
    operation_id = "drop_dead_letters",
    tag = "dead letters",
    request_body(content = DropMany, description = "At most 1000 ids."),
    responses((status = 200, description = "What became of each.", body = DeadLetterResults)),
)]
pub(crate) async fn discard(
    State(app): State<App>,
    May { caller, .. }: May<Operate>,
    Words(many): Words<DropMany>,
) -> Result<Response<Body>, Reply> {
    let many = many.ok_or_else(no_ids)?;
    bounded(&many.ids)?;
    let (letters, tenant) = (&app.dead_letters, &caller.tenant);
    let results = stream::iter(many.ids).map(|id| async move {
        let dropped = letters.discard(tenant, &id).await;
        DeadLetterResult {
            dropped: dropped.is_ok(),
            problem: dropped.err().map(|refusal| Reply::from(refusal).problem()),
            ..undone(id)
        }
    });
    Ok(answer(results.buffered(AT_ONCE).collect().await))
}

fn answer(results: Vec<DeadLetterResult>) -> Response<Body> {
    encoded(StatusCode::OK, Media::Json, &DeadLetterResults { results })
}

fn no_ids() -> Refusal {
    Refusal::new(RefusalCode::MissingField, "ids are missing").at("ids")
}

fn bounded(ids: &[JobId]) -> Result<(), Refusal> {
    if ids.len() <= MAX_IDS {
        return Ok(());
    }
    let refusal = Refusal::new(RefusalCode::TooManyValues, "there are too many ids").at("ids");
    Err(refusal.limit(format_args!("{MAX_IDS} ids")))
}

const fn undone(id: JobId) -> DeadLetterResult {
    DeadLetterResult {
        id,
        redriven_as: None,
        dropped: false,
        problem: None,
    }
}
