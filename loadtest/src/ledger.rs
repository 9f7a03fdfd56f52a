//! Conservation: what became of every submission, counted. Pure: it is told, and tells.
//!
//! Everything that is submitted ends in one of these ways, once:
//!
//! | way | meaning |
//! |---|---|
//! | terminal | accepted (an id came with a 200 or 202), and read back as ended |
//! | lost | accepted, but not terminal in time, or the server has no such job |
//! | duplicated | accepted under an id that another submission has already |
//! | refused | the server's last word is that it does not take it |
//! | given up | it could not be brought to an answer in time |
//! | unfinished | the test was ended first |
//!
//! A terminal job may be *wrong* as well: its answer is not the one its nonce must get. And a submission for which the
//! server named two different ids is *duplicated* too, whatever became of it.

use std::collections::{BTreeMap, HashMap, HashSet};

use gristmill_schemas::{FailureCode, JobId};
use serde::{Deserialize, Serialize};

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Submissions begun.
    pub submitted: u64,
    /// Distinct ids that came with a 200 or 202.
    pub accepted: u64,
    /// Accepted jobs that were read back as ended.
    pub terminal: u64,
    /// Terminal: with outputs.
    pub succeeded: u64,
    /// Terminal: failed, by code.
    pub failed: BTreeMap<String, u64>,
    /// Terminal: their deadline had passed.
    pub expired: u64,
    /// Terminal: somebody had cancelled them.
    pub cancelled: u64,
    /// Accepted, but `timeout`: not ended in time; otherwise the code with which the server denied having the job.
    pub lost: BTreeMap<String, u64>,
    /// Two submissions with one id, or one submission with two.
    pub duplicated: u64,
    /// Answers that are not the ones their jobs must get.
    pub wrong: u64,
    /// Submissions that the server does not take, by code.
    pub refused: BTreeMap<String, u64>,
    /// Submissions that could not be brought to an answer in time.
    pub given_up: u64,
    /// Submissions and jobs that were on their way when the test was ended.
    pub unfinished: u64,
    /// Requests that were repeated, by the reason.
    pub retries: BTreeMap<String, u64>,
    /// Sends of a submission after which nobody knew whether it was accepted; each was repeated under the same key, or given
    /// up where there are no keys.
    pub unknown: u64,
}

impl Counts {
    /// Accepted jobs that were lost.
    #[must_use]
    pub fn lost_in_all(&self) -> u64 {
        self.lost.values().sum()
    }

    /// Submissions that were refused.
    #[must_use]
    pub fn refused_in_all(&self) -> u64 {
        self.refused.values().sum()
    }

    /// Terminal jobs without outputs.
    #[must_use]
    pub fn unsuccessful(&self) -> u64 {
        self.failed.values().sum::<u64>() + self.expired + self.cancelled
    }

    /// The share of submissions that did not come to the right end, of those that came to any.
    #[must_use]
    pub fn error_share(&self) -> f64 {
        let over = self.submitted - self.unfinished;
        let right = self.succeeded - self.wrong;
        if over == 0 {
            0.0
        } else {
            (over - right.min(over)) as f64 / over as f64
        }
    }

    /// Whether every accepted job has ended once, and right.
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        self.accepted == self.terminal && self.lost_in_all() == 0 && self.duplicated == 0 && self.wrong == 0
    }
}

/// How an accepted job ended, and what its answer was worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With the outputs it must have.
    Right,
    /// With other outputs, or with somebody else's reply.
    Wrong,
    /// Failed.
    Failed(Option<FailureCode>),
    /// Expired.
    Expired,
    /// Cancelled.
    Cancelled,
}

/// Why an accepted job counts as lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It did not end in time.
    Timeout,
    /// The server says it has no such job, in this code.
    Absent(String),
}

/// Whether to go on with a job after its acceptance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is this submission's own.
    Own,
    /// Another submission has it; this one is counted and closed.
    SomebodyElses,
}

/// A submission on its way.
#[derive(Debug, Default)]
struct Open {
    /// The id that the server named for it first.
    named: Option<JobId>,
    /// Whether a second one was counted.
    contradicted: bool,
}

/// The count in progress. It keeps 35 bytes for every accepted job, and more only for those on their way.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    counts: Counts,
    accepted: HashSet<JobId>,
    open: HashMap<u64, Open>,
}

impl Ledger {
    /// A submission begins.
    pub(crate) fn submitted(&mut self, nonce: u64) {
        self.counts.submitted += 1;
        self.open.insert(nonce, Open::default());
    }

    /// A request was repeated for this reason.
    pub(crate) fn retried(&mut self, reason: &str) {
        count(&mut self.counts.retries, reason);
    }

    /// A submission's send ended without anybody knowing whether it was accepted, perhaps under this id.
    pub(crate) fn unknown(&mut self, nonce: u64, id: Option<JobId>) {
        self.counts.unknown += 1;
        if let Some(id) = id {
            self.name(nonce, id);
        }
    }

    /// A submission was accepted.
    pub(crate) fn accepted(&mut self, nonce: u64, id: JobId) -> Standing {
        self.name(nonce, id);
        if self.accepted.insert(id) {
            self.counts.accepted += 1;
            return Standing::Own;
        }
        self.counts.duplicated += 1;
        self.open.remove(&nonce);
        Standing::SomebodyElses
    }

    /// An accepted job was read back as ended.
    pub(crate) fn ended(&mut self, nonce: u64, ending: &Ending) {
        self.open.remove(&nonce);
        self.counts.terminal += 1;
        match ending {
            Ending::Right => self.counts.succeeded += 1,
            Ending::Wrong => {
                self.counts.succeeded += 1;
                self.counts.wrong += 1;
            }
            Ending::Failed(code) => count(&mut self.counts.failed, code.map_or("unnamed", |code| code.as_str())),
            Ending::Expired => self.counts.expired += 1,
            Ending::Cancelled => self.counts.cancelled += 1,
        }
    }

    /// An accepted job is lost.
    pub(crate) fn lost(&mut self, nonce: u64, loss: &Loss) {
        self.open.remove(&nonce);
        let reason = match loss {
            Loss::Timeout => "timeout",
            Loss::Absent(code) => code,
        };
        count(&mut self.counts.lost, reason);
    }

    /// The server does not take a submission.
    pub(crate) fn refused(&mut self, nonce: u64, code: &str) {
        self.open.remove(&nonce);
        count(&mut self.counts.refused, code);
    }

    /// A submission got no answer in time.
    pub(crate) fn given_up(&mut self, nonce: u64) {
        self.open.remove(&nonce);
        self.counts.given_up += 1;
    }

    /// Whether the server has refused any submission.
    pub(crate) fn has_refusals(&self) -> bool {
        !self.counts.refused.is_empty()
    }

    /// Submissions and jobs on their way.
    pub(crate) fn in_flight(&self) -> u64 {
        self.open.len() as u64
    }

    /// Some of the accepted jobs, whichever.
    pub(crate) fn sample(&self, most: usize) -> Vec<JobId> {
        self.accepted.iter().take(most).copied().collect()
    }

    /// The count; what is on its way is unfinished.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            unfinished: self.open.len() as u64,
            ..self.counts.clone()
        }
    }

    /// Notes the id that the server names for a submission, and counts the first other one.
    fn name(&mut self, nonce: u64, id: JobId) {
        let open = self.open.entry(nonce).or_default();
        let first = *open.named.get_or_insert(id);
        if first != id && !open.contradicted {
            open.contradicted = true;
            self.counts.duplicated += 1;
        }
    }
}

fn count(counts: &mut BTreeMap<String, u64>, reason: &str) {
    match counts.get_mut(reason) {
        Some(count) => *count += 1,
        None => drop(counts.insert(reason.to_owned(), 1)),
    }
}

#[cfg(test)]
mod tests {
    use gristmill_schemas::job_id::TEXT_LENGTH;

    use super::*;

    fn id(letter: char) -> JobId {
        String::from(letter).repeat(TEXT_LENGTH).parse().unwrap()
    }

    /// Submits, accepts and ends one job for each letter.
    fn sound(letters: &str) -> Ledger {
        let mut ledger = Ledger::default();
        for (nonce, letter) in (0..).zip(letters.chars()) {
            ledger.submitted(nonce);
            assert_eq!(ledger.accepted(nonce, id(letter)), Standing::Own);
            ledger.ended(nonce, &Ending::Right);
        }
        ledger
    }

    #[test]
    fn sound_run_is_conserved() {
        let counts = sound("abcd").counts();
        assert!(counts.is_conserved());
        assert_eq!(
            (counts.submitted, counts.accepted, counts.terminal, counts.succeeded),
            (4, 4, 4, 4)
        );
        assert_eq!((counts.unfinished, counts.unsuccessful()), (0, 0));
    }

    #[test]
    fn planted_loss_is_found_with_its_reason() {
        for (loss, reason) in [
            (Loss::Timeout, "timeout"),
            (Loss::Absent("job_gone".to_owned()), "job_gone"),
        ] {
            let mut ledger = sound("ab");
            ledger.submitted(9);
            ledger.accepted(9, id('c'));
            ledger.lost(9, &loss);
            let counts = ledger.counts();
            assert!(!counts.is_conserved());
            assert_eq!((counts.accepted, counts.terminal, counts.lost[reason]), (3, 2, 1));
        }
    }

    #[test]
    fn two_submissions_with_one_id_are_found_also_after_the_first_has_ended() {
        let mut ledger = sound("ab");
        ledger.submitted(9);
        assert_eq!(ledger.accepted(9, id('a')), Standing::SomebodyElses);
        let counts = ledger.counts();
        assert!(!counts.is_conserved());
        assert_eq!(
            (counts.accepted, counts.terminal, counts.duplicated, counts.unfinished),
            (2, 2, 1, 0)
        );
    }

    #[test]
    fn one_submission_with_two_ids_is_found_once() {
        let mut ledger = Ledger::default();
        ledger.submitted(0);
        ledger.unknown(0, Some(id('a')));
        ledger.unknown(0, Some(id('b')));
        assert_eq!(ledger.accepted(0, id('b')), Standing::Own);
        ledger.ended(0, &Ending::Right);
        let counts = ledger.counts();
        assert!(!counts.is_conserved());
        assert_eq!(
            (counts.accepted, counts.terminal, counts.duplicated, counts.unknown),
            (1, 1, 1, 2)
        );
    }

    #[test]
    fn unknown_that_converges_is_no_duplicate() {
        let mut ledger = Ledger::default();
        ledger.submitted(0);
        ledger.unknown(0, None);
        ledger.unknown(0, Some(id('a')));
        ledger.retried("publish_unknown");
        assert_eq!(ledger.accepted(0, id('a')), Standing::Own);
        ledger.ended(0, &Ending::Right);
        assert!(ledger.counts().is_conserved());
    }

    #[test]
    fn planted_wrong_answer_is_found() {
        let mut ledger = sound("a");
        ledger.submitted(9);
        ledger.accepted(9, id('b'));
        ledger.ended(9, &Ending::Wrong);
        let counts = ledger.counts();
        assert!(!counts.is_conserved());
        assert_eq!((counts.terminal, counts.wrong), (2, 1));
    }

    #[test]
    fn accepted_job_on_its_way_is_not_conserved_yet() {
        let mut ledger = sound("a");
        ledger.submitted(9);
        ledger.accepted(9, id('b'));
        let counts = ledger.counts();
        assert!(!counts.is_conserved());
        assert_eq!(counts.unfinished, 1);
    }

    #[test]
    fn what_was_never_accepted_cannot_be_lost() {
        let mut ledger = sound("a");
        ledger.submitted(8);
        ledger.refused(8, "too_many_rows");
        ledger.submitted(9);
        ledger.given_up(9);
        let counts = ledger.counts();
        assert!(counts.is_conserved());
        assert_eq!(
            (
                counts.refused_in_all(),
                counts.given_up,
                counts.lost_in_all(),
                counts.unfinished
            ),
            (1, 1, 0, 0)
        );
    }

    #[test]
    fn unsuccessful_ends_are_conserved_and_counted_apart() {
        let mut ledger = Ledger::default();
        let endings = [
            Ending::Failed(Some(FailureCode::InferenceFailed)),
            Ending::Expired,
            Ending::Cancelled,
        ];
        for ((nonce, letter), ending) in (0..).zip("abc".chars()).zip(endings) {
            ledger.submitted(nonce);
            ledger.accepted(nonce, id(letter));
            ledger.ended(nonce, &ending);
        }
        let counts = ledger.counts();
        assert!(counts.is_conserved());
        assert_eq!((counts.unsuccessful(), counts.failed["inference_failed"]), (3, 1));
    }

    #[test]
    fn every_submission_ends_in_one_way() {
        let mut ledger = sound("ab");
        for nonce in 10..16 {
            ledger.submitted(nonce);
        }
        ledger.refused(10, "invalid_value");
        ledger.given_up(11);
        ledger.accepted(12, id('a'));
        ledger.accepted(13, id('m'));
        ledger.lost(13, &Loss::Timeout);
        ledger.accepted(14, id('n'));
        ledger.ended(14, &Ending::Expired);
        let counts = ledger.counts();
        let ways = counts.terminal + counts.lost_in_all() + counts.duplicated + counts.refused_in_all();
        assert_eq!(ways + counts.given_up + counts.unfinished, counts.submitted);
    }
}
