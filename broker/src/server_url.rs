//! The address of a server as an operator writes it. It may hold a password, so whatever is shown of it does not.

use std::{fmt, io, str::FromStr};

/// One URL, or several with commas between.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl(String);

impl ServerUrl {
    /// As it stands. It is no `From`, which would be taken for arguments too, where `@` has a meaning.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text with everything in it: for connecting, never for a log.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Each of the URLs.
    pub fn each(&self) -> impl Iterator<Item = Self> {
        self.0.split(',').map(|url| Self(url.trim().to_owned()))
    }
}

/// A file that should hold a URL and cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the URL cannot be read from {path}: {error}")]
pub struct UnreadableUrl {
    path: String,
    error: io::Error,
}

impl FromStr for ServerUrl {
    type Err = UnreadableUrl;

    /// The URL itself, or `@` and a file that holds it: so that a password need not stand in an environment.
    fn from_str(text: &str) -> Result<Self, UnreadableUrl> {
        let Some(path) = text.strip_prefix('@') else {
            return Ok(Self(text.to_owned()));
        };
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Self(text.trim().to_owned())),
            Err(error) => Err(UnreadableUrl {
                path: path.to_owned(),
                error,
            }),
        }
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, url) in self.0.split(',').enumerate() {
            let separator = if place > 0 { "," } else { "" };
            // whatever stands before the last @ may be a name, a password or a token; a path or a query may hold one too
            let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
            let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
            let host = host.split_once('?').map_or(host, |(host, _)| host);
            let scheme = if scheme.is_empty() {
                String::new()
            } else {
                format!("{scheme}://")
            };
            write!(f, "{separator}{scheme}{host}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_holds_no_secret_and_what_is_revealed_is_whole() {
        for (text, shown) in [
            ("redis://127.0.0.1:6379/1", "redis://127.0.0.1:6379/1"),
            ("rediss://user:s3cret@redis:6380", "rediss://redis:6380"),
            ("redis://:s3cret@a@redis", "redis://redis"),
            (
                "nats://s3cret@one:4222,nats://u:s3cret@two",
                "nats://one:4222,nats://two",
            ),
            ("redis://redis?password=s3cret", "redis://redis"),
            ("s3cret@one", "one"),
        ] {
            let url: ServerUrl = text.parse().unwrap();
            assert_eq!((url.to_string().as_str(), url.reveal()), (shown, text));
            assert!(!format!("{url:?}").contains("s3cret"));
        }
    }

    #[test]
    fn url_may_stand_in_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "redis://worker:s3cret@redis:6379\n").unwrap();
        let url: ServerUrl = format!("@{}", file.path().display()).parse().unwrap();
        assert_eq!(url.reveal(), "redis://worker:s3cret@redis:6379");
        assert!("@/nowhere/at/all".parse::<ServerUrl>().is_err());
    }
}
