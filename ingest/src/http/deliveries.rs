//! Deliveries of webhooks: listing, reading and sending them again.

use axum::{
    body::Body,
    extract::{FromRequestParts, Path, State},
    http::{HeaderMap, Response, StatusCode, Uri, request::Parts},
};
use gristmill_broker::deliveries::Place;
use gristmill_schemas::{
    Refusal, RefusalCode,
    api::Problem,
    webhook::{Delivery, DeliveryId, DeliveryPage, DeliveryState},
};
use serde::Deserialize;

use crate::{
    auth::{May, Operate, Read},
    deliveries::not_found,
    http::{
        App,
        negotiate::{Media, encoded},
        page,
        problem::Reply,
        query,
    },
};

#[derive(Debug, Default, Deserialize)]
struct Parameters {
    limit: Option<String>,
    cursor: Option<String>,
    state: Option<String>,
}

/// List deliveries
///
/// What webhooks of the tenant were sent or are to be, the newest first; one that is over is kept for 3 days.
#[utoipa::path(
    get,
    path = "/v1/webhooks/deliveries",
    operation_id = "list_deliveries",
    tag = "webhooks",
    params(
        ("state" = Option<String>, Query, description = "In these states alone, with commas between: `pending`, `delivered`, `failed`."),
        ("limit" = Option<u32>, Query, description = "The most of one page: 1 to 200, 50 if absent."),
        ("cursor" = Option<String>, Query, description = "Where the page begins: `next` of the page before."),
    ),
    responses((status = 200, description = "Some of the tenant's deliveries.", body = DeliveryPage)),
)]
pub(crate) async fn list(
    State(app): State<App>,
    May { caller, .. }: May<Read>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response<Body>, Reply> {
    let media = Media::accepted(&headers, &[Media::Json])?;
    let parameters = query::read::<Parameters>(&uri)?;
    let limit = parameters.limit.as_deref().map_or(Ok(page::USUAL), page::size)?;
    let after = parameters.cursor.as_deref().map(place).transpose()?;
    let states = parameters.state.as_deref().map(states).transpose()?;
    let states = states.as_deref().unwrap_or(DeliveryState::ALL);
    let (deliveries, next) = app.deliveries.page(&caller.tenant, states, (after, limit)).await?;
    let page = DeliveryPage {
        deliveries,
        next: next.map(cursor),
    };
    Ok(encoded(StatusCode::OK, media, &page))
}

/// Read a delivery
///
/// Where it stands, and what the last attempt came to.
#[utoipa::path(
    get,
    path = "/v1/webhooks/deliveries/{id}",
    operation_id = "read_delivery",
    tag = "webhooks",
    params(("id" = String, Path, description = "The delivery: `webhook-id` of its message, which is the job's id with `-job` or `-tenant` behind.")),
    responses(
        (status = 200, description = "The delivery.", body = Delivery),
        (status = 404, description = "The tenant has no such delivery.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn read(
    State(app): State<App>,
    May { caller, .. }: May<Read>,
    DeliveryPath(id): DeliveryPath,
    headers: HeaderMap,
) -> Result<Response<Body>, Reply> {
    let media = Media::accepted(&headers, &[Media::Json])?;
    let delivery = app.deliveries.read(&caller.tenant, &id).await?;
    Ok(encoded(StatusCode::OK, media, &delivery))
}

/// Send a delivery again
///
/// At once, whatever became of it, and with all further attempts if that one fails. The receiver gets the same message under
/// the same `webhook-id`.
#[utoipa::path(
    post,
    path = "/v1/webhooks/deliveries/{id}/redeliver",
    operation_id = "redeliver",
    tag = "webhooks",
    params(("id" = String, Path, description = "The delivery.")),
    responses(
        (status = 202, description = "The delivery, which is pending.", body = Delivery),
        (status = 404, description = "The tenant has no such delivery.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn redeliver(
    State(app): State<App>,
    May { caller, .. }: May<Operate>,
    DeliveryPath(id): DeliveryPath,
    headers: HeaderMap,
) -> Result<Response<Body>, Reply> {
    let media = Media::accepted(&headers, &[Media::Json])?;
    let delivery = app.deliveries.redeliver(&caller.tenant, &id).await?;
    Ok(encoded(StatusCode::ACCEPTED, media, &delivery))
}

/// A delivery's id in a path; what is none is not found.
pub(crate) struct DeliveryPath(DeliveryId);

impl FromRequestParts<App> for DeliveryPath {
    type Rejection = Reply;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Reply> {
        let path = Path::<String>::from_request_parts(parts, app).await;
        let id = path.ok().and_then(|Path(text)| text.parse().ok());
        id.map(Self).ok_or_else(|| not_found().into())
    }
}

fn states(text: &str) -> Result<Vec<DeliveryState>, Refusal> {
    let states: Result<Vec<DeliveryState>, _> = text.split(',').map(str::parse).collect();
    states.map_err(|_| {
        let refusal = Refusal::new(RefusalCode::InvalidValue, "there is no such state of a delivery").at("state");
        refusal.limit("pending, delivered, failed")
    })
}

/// Opaque to clients.
fn cursor(place: Place) -> String {
    format!("{}-{}", place.created_at, place.id)
}

fn place(cursor: &str) -> Result<Place, Refusal> {
    let parts = cursor.split_once('-');
    let place = parts.and_then(|(created_at, id)| {
        Some(Place {
            created_at: created_at.parse().ok()?,
            id: id.parse().ok()?,
        })
    });
    place.ok_or_else(|| page::foreign_cursor("cursor"))
}
