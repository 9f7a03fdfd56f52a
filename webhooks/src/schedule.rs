//! What follows from an attempt: whether it is over, and when to try again. Pure.

use std::time::Duration;

use gristmill_schemas::{Span, webhook::DeliveryState};

use crate::sender::Answer;

/// How much longer than its length a pause may get, so that what failed together does not come back together.
const JITTER: f64 = 0.2;

/// What an attempt leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The receiver has it.
    Delivered,
    /// Again after this long.
    Again(Duration),
    /// It is not tried again.
    Failed,
}

impl Verdict {
    pub(crate) const fn state(self) -> DeliveryState {
        match self {
            Self::Delivered => DeliveryState::Delivered,
            Self::Again(_) => DeliveryState::Pending,
            Self::Failed => DeliveryState::Failed,
        }
    }
}

/// Decides after an attempt, before which there were `earlier` ones; `chance` is from 0 to 1.
pub(crate) fn after(answer: &Answer, earlier: u32, retries: &[Span], chance: f64) -> Verdict {
    match answer {
        Answer::Status(200..=299) => return Verdict::Delivered,
        // the receiver is gone and says so
        Answer::Status(410) => return Verdict::Failed,
        Answer::Status(_) | Answer::TimedOut | Answer::Forbidden(_) | Answer::Broken(_) => {}
    }
    match retries.get(earlier as usize) {
        Some(&pause) => Verdict::Again(Duration::from(pause).mul_f64(1.0 + JITTER * chance)),
        None => Verdict::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_but_a_success_and_gone_is_tried_again_until_the_schedule_ends() {
        let retries = [Span::from_secs(5), Span::from_secs(30)];
        assert_eq!(after(&Answer::Status(204), 7, &retries, 0.5), Verdict::Delivered);
        assert_eq!(after(&Answer::Status(410), 0, &retries, 0.5), Verdict::Failed);
        for answer in [
            Answer::Status(302),
            Answer::Status(400),
            Answer::Status(500),
            Answer::TimedOut,
            Answer::Broken("refused"),
        ] {
            let pauses = |earlier| after(&answer, earlier, &retries, 1.0);
            assert_eq!(pauses(0), Verdict::Again(Duration::from_secs(6)));
            assert_eq!(pauses(1), Verdict::Again(Duration::from_secs(36)));
            assert_eq!(pauses(2), Verdict::Failed);
        }
    }
}
