//! Who calls: an API key in the request's headers, held against the ring.

use std::marker::PhantomData;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use gristmill_broker::api_keys::Scope;
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

/// A caller whose key has a scope: what a handler asks for, so that none forgets.
#[derive(Debug)]
pub(crate) struct May<S> {
    pub(crate) caller: Caller,
    scope: PhantomData<S>,
}

/// A scope as a type.
pub(crate) trait Asked {
    /// The scope; `None` where any valid key will do.
    const SCOPE: Option<Scope>;
}

macro_rules! scopes {
    ($($(#[$doc:meta])* $name:ident = $scope:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $name;

        impl Asked for $name {
            const SCOPE: Option<Scope> = $scope;
        }
    )*};
}

scopes! {
    /// Any valid key.
    Call = None;
    /// Submitting and cancelling.
    Submit = Some(Scope::Submit);
    /// Reading.
    Read = Some(Scope::Read);
    /// Dead letters.
    Operate = Some(Scope::Operate);
}

impl<S: Asked> FromRequestParts<App> for May<S> {
    type Rejection = Reply;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Reply> {
        let caller = authenticate(&parts.headers, &app.ring)?;
        S::SCOPE.map_or(Ok(()), |scope| caller.check(scope))?;
        let scope = PhantomData;
        Ok(Self { caller, scope })
    }
}
