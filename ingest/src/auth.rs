//! Who calls: an API key in the request's headers, held against the ring.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use gristmill_schemas::{Refusal, RefusalCode};

use crate::{
    http::{App, problem::Reply},
    keys::{ApiKey, Caller, KeyRing, Verdict},
};

/// The other header that may carry the key.
const API_KEY_HEADER: &str = "x-api-key";

/// Finds out who calls.
///
/// # Errors
/// `unauthenticated`, without saying what was wrong with the key; `store_unavailable` while no keys are known.
pub fn authenticate(headers: &HeaderMap, ring: &KeyRing) -> Result<Caller, Refusal> {
    let refused = |detail: &str| Err(Refusal::new(RefusalCode::Unauthenticated, detail));
    let Some(text) = presented(headers) else {
        return refused("send an API key as Authorization: Bearer gm_…");
    };
    let Ok(key) = text.parse::<ApiKey>() else {
        return refused("the API key is not valid");
    };
    match ring.verify(&key) {
        Verdict::Known(caller) => Ok(caller),
        Verdict::Unknown => refused("the API key is not valid"),
        Verdict::NotLoaded => {
            let detail = "API keys are not known yet: the store has not been reached";
            Err(Refusal::new(RefusalCode::StoreUnavailable, detail))
        }
    }
}

fn presented(headers: &HeaderMap) -> Option<&str> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then(|| key.trim());
    }
    headers.get(API_KEY_HEADER)?.to_str().ok()
}

impl FromRequestParts<App> for Caller {
    type Rejection = Reply;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Reply> {
        authenticate(&parts.headers, &app.ring).map_err(Reply::from)
    }
}
