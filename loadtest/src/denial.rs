//! Why a request did not get what it asked for, and what that means for its job.

use std::time::Duration;

use bytes::Bytes;
use gristmill_schemas::{JobId, api::Problem};
use http::{Response, header};

/// A reply that is not what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Denial {
    /// No reply, or none that can be read: nobody knows what the server did.
    NoReply(String),
    /// The server says why.
    Problem {
        /// HTTP status.
        status: u16,
        /// The stable code, or `http_<status>` from somebody in between.
        code: String,
        /// One sentence.
        detail: String,
        /// When to come back.
        retry_after: Option<Duration>,
        /// The job it may have become.
        id: Option<JobId>,
    },
}

impl Denial {
    /// What a reply says that is no success.
    pub(crate) fn of(reply: &Response<Bytes>) -> Self {
        let status = reply.status().as_u16();
        let seconds = reply
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let problem: Option<Problem> = serde_json::from_slice(reply.body()).ok();
        let (code, detail, id) = match problem {
            Some(problem) => (problem.code, problem.detail, problem.id),
            None => (
                format!("http_{status}"),
                "no problem document came with it".to_owned(),
                None,
            ),
        };
        Self::Problem {
            status,
            code,
            detail,
            retry_after: seconds.map(Duration::from_secs),
            id,
        }
    }

    /// What it is counted as.
    pub(crate) fn code(&self) -> &str {
        match self {
            Self::NoReply(_) => "no_reply",
            Self::Problem { code, .. } => code,
        }
    }

    /// One line for people.
    pub(crate) fn detail(&self) -> String {
        match self {
            Self::NoReply(why) => format!("no reply: {why}"),
            Self::Problem {
                status, code, detail, ..
            } => format!("{status} {code}: {detail}"),
        }
    }

    /// Whether the same request may be answered otherwise in a while.
    pub(crate) const fn is_passing(&self) -> bool {
        match self {
            Self::NoReply(_) => true,
            Self::Problem { status, .. } => matches!(status, 408 | 429 | 500..),
        }
    }

    /// Whether a submission that was answered so may have been accepted nevertheless.
    pub(crate) fn is_unknown(&self) -> bool {
        match self {
            Self::NoReply(_) => true,
            Self::Problem { status, code, .. } => {
                code == "publish_unknown" || code.starts_with("http_5") || *status == 500
            }
        }
    }

    /// The job that the submission may have become.
    pub(crate) const fn id(&self) -> Option<JobId> {
        match self {
            Self::NoReply(_) => None,
            Self::Problem { id, .. } => *id,
        }
    }

    /// When the server wants to be asked again.
    pub(crate) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::NoReply(_) => None,
            Self::Problem { retry_after, .. } => *retry_after,
        }
    }

    /// Whether the server has no such job.
    pub(crate) const fn is_absence(&self) -> bool {
        matches!(self, Self::Problem { status: 404 | 410, .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(status: u16, code: &str) -> Denial {
        Denial::Problem {
            status,
            code: code.to_owned(),
            detail: String::new(),
            retry_after: None,
            id: None,
        }
    }

    #[test]
    fn what_may_pass_is_repeated_and_what_may_have_been_accepted_is_unknown() {
        let cases = [
            (Denial::NoReply(String::new()), (true, true)),
            (problem(503, "publish_unknown"), (true, true)),
            (problem(502, "http_502"), (true, true)),
            (problem(500, "internal"), (true, true)),
            (problem(503, "broker_unavailable"), (true, false)),
            (problem(429, "overloaded"), (true, false)),
            (problem(408, "body_timeout"), (true, false)),
            (problem(400, "shape_mismatch"), (false, false)),
            (problem(401, "unauthenticated"), (false, false)),
            (problem(422, "idempotency_mismatch"), (false, false)),
        ];
        for (denial, expected) in cases {
            assert_eq!((denial.is_passing(), denial.is_unknown()), expected, "{denial:?}");
        }
        assert!(problem(404, "job_not_found").is_absence() && problem(410, "job_gone").is_absence());
        assert!(!problem(503, "store_unavailable").is_absence());
    }
}
