//! Errors as RFC 9457 problem documents. Every error that leaves this door passes here, the framework's own too.

use axum::{
    body::Body,
    http::{HeaderValue, Method, Response, StatusCode, header},
    response::IntoResponse,
};
use gristmill_schemas::{JobId, Refusal, RefusalCode, api::Problem};
use std::time::Duration;

use crate::{metrics, submit::Refused};

/// The media type of RFC 9457.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";
/// What the `type` of every problem begins with.
const TYPE_PREFIX: &str = "urn:gristmill:problem:";

/// A refusal on its way out.
#[derive(Debug)]
pub struct Reply {
    refusal: Box<Refusal>,
    id: Option<JobId>,
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal: Box::new(refusal),
            id: None,
        }
    }
}

impl From<Refused> for Reply {
    fn from(Refused { refusal, id }: Refused) -> Self {
        Self { refusal, id }
    }
}

impl Reply {
    /// Why.
    #[must_use]
    pub const fn code(&self) -> RefusalCode {
        self.refusal.code
    }

    /// The document.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let (refusal, row) = (&self.refusal, self.refusal.code.row());
        Problem {
            kind: format!("{TYPE_PREFIX}{}", row.word),
            title: row.title.to_owned(),
            status: row.http,
            detail: refusal.detail.clone(),
            code: row.word.to_owned(),
            field: refusal.field.clone(),
            limit: refusal.limit.clone(),
            retry_after_s: retry_after(refusal),
            id: self.id,
        }
    }
}

/// Seconds after which to come back. Every 429 and 503 says some: how soon the cause can be expected to be over.
fn retry_after(refusal: &Refusal) -> Option<u64> {
    let whole = |after: Duration| after.as_secs() + u64::from(after.subsec_nanos() > 0);
    let usual = match refusal.code {
        RefusalCode::Overloaded | RefusalCode::PublishUnknown => Some(1),
        RefusalCode::BrokerUnavailable | RefusalCode::StoreUnavailable => Some(2),
        RefusalCode::StreamFull | RefusalCode::StoreFull | RefusalCode::Draining => Some(5),
        other => matches!(other.row().http, 429 | 503).then_some(1),
    };
    refusal.retry_after.map(whole).or(usual)
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response<Body> {
        let problem = self.problem();
        metrics::refused(self.refusal.code.row().word).increment(1);
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&problem).expect("a problem holds no maps");
        let mut response = (status, [(header::CONTENT_TYPE, PROBLEM_JSON)], body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = problem.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// The answer where no route is.
pub(crate) async fn route_not_found() -> Reply {
    Refusal::new(
        RefusalCode::RouteNotFound,
        "there is nothing at this path; /docs lists what there is",
    )
    .into()
}

/// The answer where a route is, but not for this method.
pub(crate) async fn method_not_allowed(method: Method) -> Reply {
    let known = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::PATCH,
        Method::HEAD,
        Method::OPTIONS,
    ];
    let detail = if known.contains(&method) {
        format!("this path does not take {method}")
    } else {
        "this path does not take this method".to_owned()
    };
    Refusal::new(RefusalCode::MethodNotAllowed, detail).into()
}

/// The answer to a panic: the panic's words stay in the log.
pub(crate) fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response<Body> {
    let words = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = words.unwrap_or("?"), "a handler panicked");
    let refusal = Refusal::new(RefusalCode::Internal, "something went wrong on our side");
    Reply::from(refusal).into_response()
}

/// Makes a problem of an error that the framework answered in its own words, keeping its headers.
pub(crate) fn normalised(response: Response<Body>) -> Response<Body> {
    let status = response.status();
    let ours = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind == PROBLEM_JSON);
    if ours || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let code = match status {
        StatusCode::NOT_FOUND => RefusalCode::RouteNotFound,
        StatusCode::METHOD_NOT_ALLOWED => RefusalCode::MethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => RefusalCode::BodyTooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => RefusalCode::UnsupportedMediaType,
        StatusCode::REQUEST_TIMEOUT => RefusalCode::BodyTimeout,
        status if status.is_client_error() => RefusalCode::MalformedBody,
        _ => RefusalCode::Internal,
    };
    let mut answer = Reply::from(Refusal::new(code, code.row().title)).into_response();
    if let Some(allow) = response.headers().get(header::ALLOW) {
        answer.headers_mut().insert(header::ALLOW, allow.clone());
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_becomes_a_problem_that_says_it() {
        for code in RefusalCode::ALL {
            let reply = Reply::from(Refusal::new(*code, "why"));
            let problem = reply.problem();
            assert_eq!(problem.known_code(), Some(*code));
            assert_eq!(problem.kind, format!("urn:gristmill:problem:{}", problem.code));
            let response = reply.into_response();
            assert_eq!(response.status().as_u16(), code.row().http);
            assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM_JSON);
            let says_when = response.headers().contains_key(header::RETRY_AFTER);
            assert_eq!(says_when, matches!(problem.status, 429 | 503), "{code}");
            assert_eq!(says_when, problem.retry_after_s.is_some(), "{code}");
        }
    }

    #[test]
    fn publish_of_unknown_fate_names_the_id() {
        let id: JobId = "0".repeat(gristmill_schemas::job_id::TEXT_LENGTH).parse().unwrap();
        let refused = Refused {
            refusal: Box::new(Refusal::new(RefusalCode::PublishUnknown, "")),
            id: Some(id),
        };
        let body = serde_json::to_value(Reply::from(refused).problem()).unwrap();
        assert_eq!(body["id"], id.to_string());
    }

    #[test]
    fn retry_after_is_rounded_up() {
        let refusal = Refusal::new(RefusalCode::Overloaded, "").retry_after(Duration::from_millis(2001));
        assert_eq!(Reply::from(refusal).problem().retry_after_s, Some(3));
    }

    #[test]
    fn words_of_the_framework_become_a_problem_too() {
        let words = (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET")], "no").into_response();
        let response = normalised(words);
        assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM_JSON);
        assert_eq!(response.headers()[header::ALLOW], "GET");
        assert_eq!(normalised("fine".into_response()).status(), StatusCode::OK);
    }
}
