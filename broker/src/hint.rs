//! What is said on the channel of a bucket when a job has ended (`lua/settle.lua`): its id, and of a short outcome all there is
//! to know, so that whoever waits need not ask for it. And when a job has told what some of its rows gave (`lua/progress.lua`).
//!
//! `<id>`, or `<id> <microseconds of the commit> <state> <outcome>`, or `<id> progress`.

use bytes::Bytes;
use gristmill_schemas::{JobId, Timestamp};

use crate::outcomes::{Ended, parse_state};

/// The longest outcome that a hint carries, in bytes. Every ingest that waits for any job of the bucket gets it.
pub(crate) const CARRIED: usize = 4096;

/// The second word of a hint at progress.
const PROGRESS: &str = "progress";

/// A job has ended or told more.
#[derive(Debug)]
pub(crate) struct Hint {
    pub(crate) id: JobId,
    pub(crate) news: News,
}

/// What there is to learn of it.
#[derive(Debug)]
pub(crate) enum News {
    /// Some of its rows have run.
    Progress,
    /// Its end; and how it ended, if the hint tells.
    Ended(Option<Ended>),
}

impl Hint {
    /// Reads one; `None` if it is none.
    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        let mut words = payload.splitn(4, |byte| *byte == b' ');
        let mut text = || std::str::from_utf8(words.next()?).ok();
        let id = text()?.parse().ok()?;
        let (at, state) = (text(), text());
        if at == Some(PROGRESS) {
            return Some(Self {
                id,
                news: News::Progress,
            });
        }
        let ended = at.zip(state).zip(words.next());
        let ended = ended.and_then(|((at, state), outcome)| {
            Some(Ended {
                state: parse_state(state).ok()?,
                outcome: Bytes::copy_from_slice(outcome),
                committed_at: Timestamp::from_micros(at.parse().ok()?),
            })
        });
        Some(Self {
            id,
            news: News::Ended(ended),
        })
    }
}

#[cfg(test)]
mod tests {
    use gristmill_schemas::JobState;

    use super::*;

    #[test]
    fn hint_tells_the_id_or_all_of_a_short_outcome_whatever_its_bytes() {
        let id = "0".repeat(gristmill_schemas::job_id::TEXT_LENGTH);
        let short = Hint::parse(id.as_bytes()).unwrap();
        assert!(short.id.to_string() == id && matches!(short.news, News::Ended(None)));
        let progress = Hint::parse(format!("{id} progress").as_bytes()).unwrap();
        assert!(progress.id.to_string() == id && matches!(progress.news, News::Progress));
        let mut whole = format!("{id} 1700000000000001 failed ").into_bytes();
        whole.extend(b"\xff \x00 x");
        let News::Ended(Some(ended)) = Hint::parse(&whole).unwrap().news else {
            panic!("all of a short outcome");
        };
        assert_eq!(
            (ended.state, &ended.outcome[..]),
            (JobState::Failed, &b"\xff \x00 x"[..])
        );
        assert_eq!(ended.committed_at.as_micros(), 1_700_000_000_000_001);
        assert!(Hint::parse(b"grain").is_none() && Hint::parse(b"\xff").is_none());
    }
}
