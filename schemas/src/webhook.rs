//! Webhooks as tenants see them: where the end of a job is told, what is told, and what became of it.
//!
//! Messages and signatures are those of Standard Webhooks 1.0 (standardwebhooks.com). Which addresses may be called is
//! decided where they are called; here a URL is only held against what no webhook needs.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use url::Url;

use crate::{api::JobSummary, job_id::JobId, time::Timestamp};

/// Where the end of a job is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookUrl(Url);

/// Why a text is no webhook's URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWebhookUrl {
    /// It is too long.
    #[error("a webhook's URL has at most {} characters", WebhookUrl::MAX)]
    Length,
    /// Blanks, line ends, backslashes or letters beyond ASCII: readers of URLs differ over what they mean.
    #[error("a webhook's URL has visible ASCII characters alone, and no backslash")]
    Characters,
    /// It cannot be read.
    #[error("this is no absolute URL")]
    Malformed,
    /// Another scheme.
    #[error("a webhook's URL begins with https://, or with http:// where the operator allows it")]
    Scheme,
    /// It has a user or a password.
    #[error("a webhook's URL has no user and no password: its signature tells who sends")]
    User,
    /// It has a fragment.
    #[error("a webhook's URL has no fragment: nobody would send it")]
    Fragment,
}

impl WebhookUrl {
    /// The longest, in characters.
    pub const MAX: usize = 2048;

    /// The URL, with its host in its usual form: an IPv4 address however it was written has its four numbers.
    #[must_use]
    pub const fn as_url(&self) -> &Url {
        &self.0
    }

    /// Scheme, host and port: whatever goes there shares its fate.
    #[must_use]
    pub fn destination(&self) -> String {
        self.0.origin().ascii_serialization()
    }
}

impl FromStr for WebhookUrl {
    type Err = InvalidWebhookUrl;

    fn from_str(text: &str) -> Result<Self, InvalidWebhookUrl> {
        if text.len() > Self::MAX {
            return Err(InvalidWebhookUrl::Length);
        }
        // a reader of URLs drops some of these and takes others for what they are not
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
            return Err(InvalidWebhookUrl::Characters);
        }
        let url = Url::parse(text).map_err(|_| InvalidWebhookUrl::Malformed)?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(InvalidWebhookUrl::Scheme);
        }
        if !url.username().is_empty()
            || url.password().is_some()
            || text.split(['/', '?']).nth(2).is_none_or(|host| host.contains('@'))
        {
            return Err(InvalidWebhookUrl::User);
        }
        if url.fragment().is_some() {
            return Err(InvalidWebhookUrl::Fragment);
        }
        Ok(Self(url))
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

/// Whose webhook it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WebhookSource {
    /// The job named it.
    Job,
    /// It is set for the tenant and is told of every job.
    Tenant,
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeliveryState {
    /// It will be tried, perhaps not for the first time.
    Pending,
    /// The receiver has answered 2xx.
    Delivered,
    /// It is not tried again unless it is asked for.
    Failed,
}

/// Text that names none of the words of a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such word")]
pub struct UnknownWord;

macro_rules! words {
    ($($type:ident { $($variant:ident $word:literal),* })*) => {$(
        impl $type {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word in keys and replies.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                Self::ALL.iter().copied().find(|one| one.as_str() == text).ok_or(UnknownWord)
            }
        }
    )*};
}

words! {
    WebhookSource { Job "job", Tenant "tenant" }
    DeliveryState { Pending "pending", Delivered "delivered", Failed "failed" }
}

/// One delivery: a job's end, and whose webhook is told. It is the message's `webhook-id`, the same at every attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId {
    /// The job.
    pub job: JobId,
    /// Whose webhook.
    pub source: WebhookSource,
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.job, self.source)
    }
}

impl FromStr for DeliveryId {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let (job, source) = text.split_once('-').ok_or(UnknownWord)?;
        Ok(Self {
            job: job.parse().map_err(|_| UnknownWord)?,
            source: source.parse()?,
        })
    }
}

/// These stand as text in every encoding.
macro_rules! as_text {
    ($($type:ident)*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    )*};
}

as_text! { WebhookUrl WebhookSource DeliveryState DeliveryId }

/// The body of a message: what a receiver is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WebhookMessage {
    /// `job.succeeded`, `job.failed`, `job.expired` or `job.cancelled`.
    #[serde(rename = "type")]
    pub kind: String,
    /// When the outcome was stored, to the millisecond.
    pub timestamp: Timestamp,
    /// The job, without its outputs: they are read by its id.
    pub data: JobSummary,
}

impl WebhookMessage {
    /// That this job has ended.
    #[must_use]
    pub fn of(job: JobSummary) -> Self {
        Self {
            kind: format!("job.{}", job.status),
            timestamp: job.completed_at,
            data: job,
        }
    }
}

/// What became of one delivery so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Delivery {
    /// Its id, which is the message's `webhook-id`.
    pub id: DeliveryId,
    /// The job.
    pub job_id: JobId,
    /// Whose webhook.
    pub source: WebhookSource,
    /// Where it goes.
    pub url: WebhookUrl,
    /// Where it stands.
    pub state: DeliveryState,
    /// When it was made.
    pub created_at: Timestamp,
    /// Attempts since then, or since it was last asked for again.
    pub attempts: u32,
    /// When the next one is due, while it is pending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Timestamp>,
    /// When the last one ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_attempt_at: Option<Timestamp>,
    /// What the last one came to, in a few words: `HTTP 200`, `no answer within 10s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_result: Option<String>,
}

/// Some of a tenant's deliveries, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeliveryPage {
    /// At most as many as were asked for.
    pub deliveries: Vec<Delivery>,
    /// Where the next page begins (`?cursor=`); absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_has_one_form_however_it_was_written() {
        for (written, host) in [
            ("https://127.1/", "127.0.0.1"),
            ("https://0x7f000001/", "127.0.0.1"),
            ("https://2130706433/", "127.0.0.1"),
            ("https://0177.0.0.1/", "127.0.0.1"),
            ("https://[::ffff:127.0.0.1]/", "[::ffff:7f00:1]"),
            ("https://EXAMPLE.com:443/", "example.com"),
        ] {
            let url: WebhookUrl = written.parse().unwrap();
            assert_eq!(url.as_url().host_str(), Some(host), "{written}");
        }
    }

    #[test]
    fn url_that_readers_could_take_for_different_ones_is_none() {
        use InvalidWebhookUrl::{Characters, Fragment, Length, Malformed, Scheme, User};
        let long = format!("https://example.com/{}", "a".repeat(WebhookUrl::MAX));
        for (text, error) in [
            ("https://example.com/\r\nHost: evil", Characters),
            ("https://example.com/a b", Characters),
            ("https://ex\u{e4}mple.com/", Characters),
            ("https:\\\\example.com\\", Characters),
            ("https://user@example.com/", User),
            ("https://user:word@example.com/", User),
            ("https://@example.com/", User),
            ("https://:@example.com/", User),
            ("https://example.com/#there", Fragment),
            ("ftp://example.com/", Scheme),
            ("file:///etc/passwd", Scheme),
            ("javascript:alert(1)", Scheme),
            ("/hooks", Malformed),
            ("https://", Malformed),
            ("https://256.256.256.256/", Malformed),
            (&long, Length),
        ] {
            assert_eq!(text.parse::<WebhookUrl>(), Err(error), "{text}");
        }
    }

    #[test]
    fn destination_is_scheme_host_and_port() {
        let of = |text: &str| text.parse::<WebhookUrl>().unwrap().destination();
        assert_eq!(of("https://example.com/a?b"), "https://example.com");
        assert_eq!(of("http://example.com:8080/a"), "http://example.com:8080");
    }

    #[test]
    fn id_of_a_delivery_is_read_back() {
        let job: JobId = "0".repeat(56).parse().unwrap();
        for &source in WebhookSource::ALL {
            let id = DeliveryId { job, source };
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        assert!("x-job".parse::<DeliveryId>().is_err());
    }
}
