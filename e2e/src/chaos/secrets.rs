//! Secrets that a row's processes are given, and where they stand afterwards: nowhere, if all is well.

use std::path::Path;

/// Where passwords are kept on purpose: files that only their owner may read.
const KEEPERS: [&str; 2] = ["/access", "/nats-server.conf"];

/// The password in a server's URL.
#[must_use]
pub fn password(url: &str) -> &str {
    let user = url.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@'));
    user.and_then(|(user, _)| user.split_once(':'))
        .map_or("", |(_, password)| password)
}

/// The places with one of these secrets in them, besides those that keep them.
#[must_use]
pub fn places(texts: &[(String, Vec<u8>)], secrets: &[&str]) -> Vec<String> {
    let leaks = |text: &[u8]| {
        let text = String::from_utf8_lossy(text);
        secrets.iter().any(|secret| text.contains(secret))
    };
    let keeps = |place: &str| KEEPERS.iter().any(|keeper| place.ends_with(keeper));
    let leaking = texts.iter().filter(|(place, text)| !keeps(place) && leaks(text));
    leaking.map(|(place, _)| place.clone()).collect()
}

/// Every file in a folder and the folders in it. What is deleted meanwhile is passed over: the servers tidy up.
///
/// # Errors
/// One cannot be read.
pub fn files_below(folder: &Path) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let found = if path.is_dir() {
            files_below(&path)
        } else if path.is_file() {
            std::fs::read(&path).map(|bytes| vec![(path.display().to_string(), bytes)])
        } else {
            continue;
        };
        match found {
            Ok(found) => files.extend(found),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_and_password_are_found_in_text_and_bytes_and_nothing_else_is() {
        let url = "redis://ingest:passw0rd@127.0.0.1:6379";
        assert_eq!((password(url), password("redis://127.0.0.1:6379")), ("passw0rd", ""));
        let texts = [
            ("log", format!("cannot reach {url}").into_bytes()),
            ("stream", b"\xff\x00key s3cret\xfe".to_vec()),
            ("metrics", b"gristmill_jobs_total 1".to_vec()),
            ("data/access", b"ingest passw0rd".to_vec()),
        ];
        let texts = texts.map(|(place, text)| (place.to_owned(), text));
        assert_eq!(places(&texts, &["s3cret", password(url)]), ["log", "stream"]);
    }
}
