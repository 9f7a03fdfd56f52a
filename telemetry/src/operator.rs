//! What an operator may change in a running process, on the admin listener below `/operator`: what is logged, and its end. Whoever
//! asks shows the operator's token, which is no tenant's API key and opens nothing on the doors for clients.

use std::{fmt, io, str::FromStr};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use subtle::ConstantTimeEq;

use crate::logs;
use crate::shutdown::Shutdown;

/// The shortest token, in characters: one that is guessed is no credential.
const MIN_TOKEN: usize = 32;
/// The longest filter, in bytes.
const MAX_FILTER: usize = 4096;

/// What an operator shows. Its `Debug` shows nothing.
#[derive(Clone)]
pub struct OperatorToken(String);

impl fmt::Debug for OperatorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorToken(…)")
    }
}

/// Why something is no token.
#[derive(Debug, thiserror::Error)]
pub enum NotAToken {
    /// The file cannot be read.
    #[error("the operator's token cannot be read from {path}: {error}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// It is too short, or cannot stand in a header.
    #[error("an operator's token has at least {MIN_TOKEN} printable ASCII characters and no space")]
    Form,
}

impl FromStr for OperatorToken {
    type Err = NotAToken;

    /// The token itself, or `@` and a file that holds it.
    fn from_str(text: &str) -> Result<Self, NotAToken> {
        let token = match text.strip_prefix('@') {
            None => text.to_owned(),
            Some(path) => {
                let read = std::fs::read_to_string(path).map_err(|error| NotAToken::Unreadable {
                    path: path.to_owned(),
                    error,
                })?;
                read.trim().to_owned()
            }
        };
        let sound = token.len() >= MIN_TOKEN && token.bytes().all(|byte| byte.is_ascii_graphic());
        sound.then_some(Self(token)).ok_or(NotAToken::Form)
    }
}

/// A process that an operator may change.
#[derive(Debug, Clone)]
pub struct Operator {
    /// What he shows.
    pub token: OperatorToken,
    /// How the process is told to end.
    pub shutdown: Shutdown,
}

impl Operator {
    /// The routes, all of them behind the token.
    pub(crate) fn routes(self) -> Router {
        Router::new()
            .route("/operator/log", get(filter).put(set_filter))
            .route("/operator/drain", post(drain))
            .layer(DefaultBodyLimit::max(MAX_FILTER))
            .layer(from_fn_with_state(self.clone(), authorized))
            .with_state(self)
    }

    fn knows(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = shown.and_then(|shown| shown.split_once(' '));
        token.is_some_and(|(scheme, token)| {
            scheme.eq_ignore_ascii_case("bearer") && bool::from(token.trim().as_bytes().ct_eq(self.token.0.as_bytes()))
        })
    }
}

async fn authorized(State(operator): State<Operator>, request: Request, next: Next) -> Response {
    if operator.knows(request.headers()) {
        return next.run(request).await;
    }
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
    let detail = "send the operator's token as Authorization: Bearer …\n";
    (StatusCode::UNAUTHORIZED, challenge, detail).into_response()
}

async fn filter() -> Response {
    match logs::filter() {
        Some(filter) => format!("{filter}\n").into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn set_filter(filter: String) -> Response {
    let filter = filter.trim();
    match logs::set_filter(filter) {
        Ok(()) => {
            // whatever the new filter lets pass, this has been said
            tracing::warn!(log.filter = filter, "an operator has changed what is logged");
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

async fn drain(State(operator): State<Operator>) -> (StatusCode, &'static str) {
    tracing::warn!("an operator has asked this process to end");
    operator.shutdown.request();
    (StatusCode::ACCEPTED, "draining; the process ends when it is done\n")
}
