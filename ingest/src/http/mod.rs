//! The HTTP door: routes, and what surrounds every request. Handlers decode, call and encode; what a submission or a job
//! means is decided in [`crate::submit`] and [`crate::jobs`].

mod body;
mod bulk;
mod dead_letters;
mod deliveries;
mod docs;
mod follow;
mod host;
mod jobs;
mod list;
mod models;
mod negotiate;
mod openapi;
mod page;
mod prefer;
pub mod problem;
mod query;
mod queues;
mod result;
mod selection;
mod submit;
mod subscribe;
mod view;

use std::{ops::Deref, sync::Arc};

use axum::{
    Extension, Router,
    body::{Body, Bytes},
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, Response, header},
    middleware::{Next, from_fn_with_state},
    response::{Html, IntoResponse},
    routing::get,
};
use gristmill_models::Catalog;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    admission::Admission,
    config::{HttpArgs, LimitArgs},
    dead_letters::DeadLetters,
    deliveries::Deliveries,
    feed::Feeds,
    jobs::Jobs,
    keys::KeyRing,
    metrics,
    queues::Queues,
    submit::Submitter,
    trace,
};

/// What every handler may use. Clones share it: there are several in each request.
#[derive(Debug, Clone)]
pub struct App(Arc<Services>);

impl App {
    /// Of these.
    #[must_use]
    pub fn new(services: Services) -> Self {
        Self(Arc::new(services))
    }
}

impl Deref for App {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.0
    }
}

/// What there is behind the door.
#[derive(Debug)]
pub struct Services {
    /// The way in.
    pub submitter: Submitter,
    /// Jobs after that.
    pub jobs: Jobs,
    /// Their ends as they come, and the list of them.
    pub feeds: Feeds,
    /// What waits.
    pub queues: Queues,
    /// Those that failed.
    pub dead_letters: DeadLetters,
    /// Webhooks that were sent or are to be.
    pub deliveries: Deliveries,
    /// Who may call.
    pub ring: KeyRing,
    /// The models.
    pub catalog: Arc<Catalog>,
    /// How much at once.
    pub admission: Admission,
    /// What one request may bring.
    pub limits: LimitArgs,
    /// How long it may take.
    pub http: HttpArgs,
}

/// The whole door as a service, with the document of itself.
pub fn router(app: App) -> Router {
    let (routes, document) = documented().split_for_parts();
    let document = openapi::finished(document);
    let page: Arc<str> = docs::page(&document).into();
    let page = async move |headers: HeaderMap| Html(page.replace(host::USUAL, host::named(&headers)));
    let document = Bytes::from(serde_json::to_vec(&document).expect("a JSON value"));
    let document = ([(header::CONTENT_TYPE, "application/json")], document);
    routes
        .route("/openapi.json", get(async move || document.clone()))
        .route("/docs", get(page))
        .fallback(problem::route_not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(CatchPanicLayer::custom(problem::panicked))
        .layer(from_fn_with_state(app.clone(), around))
        .with_state(app)
}

/// The routes that the document describes.
fn documented() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::head())
        .routes(routes!(submit::submit, list::list))
        .routes(routes!(bulk::submit))
        .routes(routes!(jobs::read))
        .routes(routes!(result::read))
        .routes(routes!(jobs::lineage))
        .routes(routes!(follow::open))
        .routes(routes!(subscribe::open))
        .routes(routes!(queues::count))
        .routes(routes!(jobs::cancel))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::read, dead_letters::discard))
        .routes(routes!(dead_letters::redrive))
        .routes(routes!(dead_letters::many::redrive))
        .routes(routes!(dead_letters::many::discard))
        .routes(routes!(deliveries::list))
        .routes(routes!(deliveries::read))
        .routes(routes!(deliveries::redeliver))
        .routes(routes!(models::list))
        .routes(routes!(models::read))
}

/// Around every request: a permit, a trace, a span, one count, and problems in one form.
async fn around(
    State(app): State<App>,
    route: Option<Extension<MatchedPath>>,
    mut request: Request,
    next: Next,
) -> Response<Body> {
    let route = route.map_or_else(|| "none".to_owned(), |route| route.as_str().to_owned());
    let trace = trace::of(request.headers());
    request.extensions_mut().insert(trace);
    let span = tracing::info_span!(
        "request",
        trace_id = trace.trace_id(),
        http.method = %request.method(),
        http.route = route,
    );
    let response = match app.admission.request() {
        Ok(_permit) => next.run(request).instrument(span).await,
        Err(refusal) => problem::Reply::from(refusal).into_response(),
    };
    let response = problem::normalised(response);
    metrics::requests(route, class(response.status().as_u16())).increment(1);
    response
}

/// The class of a status: closed, so that it can be a label.
const fn class(status: u16) -> &'static str {
    match status {
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}
