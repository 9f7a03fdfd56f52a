//! The trace a request belongs to: its caller's, or a new one.

use axum::http::HeaderMap;
use gristmill_schemas::TraceParent;

/// The request's trace with a span of our own. A malformed `traceparent` counts as none, as the W3C has it.
pub(crate) fn of(headers: &HeaderMap) -> TraceParent {
    let given = headers.get("traceparent").and_then(|value| value.to_str().ok());
    match given.and_then(|text| text.parse::<TraceParent>().ok()) {
        Some(parent) => parent.child(random()),
        None => TraceParent::new(random(), random()),
    }
}

/// Random bytes that are not all zeros. Without an entropy source a trace is still a trace, only not a unique one.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if getrandom::fill(&mut bytes).is_err() || bytes == [0; N] {
        bytes = [1; N];
    }
    bytes
}
