//! How long a client wants to wait: `Prefer: wait=5` of a submission (RFC 7240), `?wait=10s` of a read.

use std::time::Duration;

use axum::http::HeaderMap;
use gristmill_schemas::{Refusal, RefusalCode, Span};

/// Nobody waits longer in one request: proxies in between give up soon after.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(30);

/// The seconds of a `Prefer: wait`, shortened to what is granted. A preference that cannot be read is none.
pub(crate) fn of_headers(headers: &HeaderMap) -> Option<Duration> {
    let lines = headers.get_all("prefer").iter().filter_map(|line| line.to_str().ok());
    let seconds = lines.flat_map(|line| line.split(',')).find_map(|preference| {
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        let value = value.trim().trim_matches('"');
        name.trim()
            .eq_ignore_ascii_case("wait")
            .then(|| value.parse::<u32>().ok())?
    })?;
    Some(MAX_WAIT.min(Duration::from_secs(seconds.into())))
}

/// Reads a `wait` parameter: `10s`, `250ms`, or whole seconds as `10`.
///
/// # Errors
/// `invalid_value`.
pub(crate) fn of_query(text: &str) -> Result<Duration, Refusal> {
    let refused = |detail: String| {
        let refusal = Refusal::new(RefusalCode::InvalidValue, detail).at("wait");
        refusal.limit(humantime::format_duration(MAX_WAIT))
    };
    let wait = match text.parse::<u32>() {
        Ok(seconds) => Duration::from_secs(seconds.into()),
        Err(_) => text
            .parse::<Span>()
            .map(Duration::from)
            .map_err(|error| refused(error.to_string()))?,
    };
    if wait > MAX_WAIT {
        return Err(refused("the wait is too long".to_owned()));
    }
    Ok(wait)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn preferred(line: &str) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert("prefer", HeaderValue::from_str(line).unwrap());
        of_headers(&headers).map(|wait| wait.as_secs())
    }

    #[test]
    fn preference_is_found_among_others_and_shortened() {
        assert_eq!(preferred("wait=5"), Some(5));
        assert_eq!(preferred("respond-async, Wait = \"7\"; x=y"), Some(7));
        assert_eq!(preferred("wait=3600"), Some(30));
        assert_eq!(preferred("wait=soon"), None);
        assert_eq!(preferred("respond-async"), None);
    }

    #[test]
    fn parameter_is_a_time_or_seconds_within_the_limit() {
        assert_eq!(of_query("10"), Ok(Duration::from_secs(10)));
        assert_eq!(of_query("0"), Ok(Duration::ZERO));
        assert_eq!(of_query("250ms"), Ok(Duration::from_millis(250)));
        for text in ["", "31", "1h", "-1", "soon", "99999999999"] {
            assert_eq!(of_query(text).unwrap_err().code, RefusalCode::InvalidValue, "{text}");
        }
    }
}
