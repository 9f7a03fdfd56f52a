//! The host that a client found us at, for command lines that work as they are printed.

use axum::http::{HeaderMap, header};

/// Where a client that names no host is assumed to have found us.
pub(crate) const USUAL: &str = "127.0.0.1:8080";

/// The host that the client has named, if it can stand in a command line and in HTML without quotes.
pub(crate) fn named(headers: &HeaderMap) -> &str {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".:-[]".contains(&byte);
    let named = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    named
        .filter(|host| !host.is_empty() && host.bytes().all(plain))
        .unwrap_or(USUAL)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn host_that_a_shell_would_read_is_not_repeated() {
        let mut headers = HeaderMap::new();
        assert_eq!(named(&headers), USUAL);
        for (host, wanted) in [
            ("[::1]:80", "[::1]:80"),
            ("mill.example", "mill.example"),
            ("a;b", USUAL),
            ("", USUAL),
        ] {
            headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
            assert_eq!(named(&headers), wanted);
        }
    }
}
