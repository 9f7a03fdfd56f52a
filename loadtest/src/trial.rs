//! One job from its first send to its result in hand: what is repeated, for how long, and what is counted.

use std::time::Duration;

use gristmill_schemas::{FailureCode, JobId, JobState, Tensor, api::JobView};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    client::{Client, Submission},
    denial::Denial,
    ledger::{Loss, Standing},
    tally::Tally,
};

/// The first pause before a repetition where the server names none; it doubles up to the longest one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A wait that comes back sooner than this without the job's end was not granted.
const UNGRANTED: Duration = Duration::from_millis(100);

/// How an accepted job ended.
#[derive(Debug)]
pub(crate) enum Answer {
    /// With outputs.
    Succeeded(Vec<Tensor>),
    /// Failed.
    Failed(Option<FailureCode>),
    /// Expired.
    Expired,
    /// Cancelled.
    Cancelled,
    /// A reply that is about another job than the one asked for.
    SomebodyElses(JobId),
}

/// One submission and what follows it. Everything but its end is counted here.
#[derive(Debug)]
pub(crate) struct Trial<'a> {
    /// Who asks.
    pub(crate) client: &'a Client,
    /// Where it is counted.
    pub(crate) tally: &'a Tally,
    /// Which submission it is.
    pub(crate) nonce: u64,
    /// How long it may take to be accepted, and then to end.
    pub(crate) patience: Duration,
}

impl Trial<'_> {
    /// Brings the job to its end. `None` if it never came there: lost, refused, given up, or somebody else's, and counted
    /// as such.
    pub(crate) async fn run(&self, submission: &Submission) -> Option<Answer> {
        let view = self.accept(submission).await?;
        let id = view.id;
        if self.tally.with(|ledger| ledger.accepted(self.nonce, id)) == Standing::SomebodyElses {
            self.tally.trouble(format_args!(
                "{}: {id} is another submission's job",
                submission.idempotency_key
            ));
            return None;
        }
        match timeout(self.patience, self.follow(view)).await {
            Ok(Ok(answer)) => Some(answer),
            Ok(Err(denial)) => self.lose(id, &Loss::Absent(denial.code().to_owned()), &denial.detail()),
            Err(_) => self.lose(id, &Loss::Timeout, "it has not ended in time"),
        }
    }

    fn lose(&self, id: JobId, loss: &Loss, why: &str) -> Option<Answer> {
        self.tally.with(|ledger| ledger.lost(self.nonce, loss));
        self.tally.trouble(format_args!("{id} is lost: {why}"));
        None
    }

    /// Sends the submission until the server takes it, or says that it never will.
    async fn accept(&self, submission: &Submission) -> Option<JobView> {
        // a server that was asked to wait for the outcome answers that much later
        let patience = self.patience + Duration::from_secs(submission.prefer_wait.unwrap_or_default());
        let (key, mut last) = (&submission.idempotency_key, None);
        let Ok(answered) = timeout(patience, self.submit(submission, &mut last)).await else {
            let last = last.unwrap_or_else(|| "no reply yet".to_owned());
            self.tally.with(|ledger| ledger.given_up(self.nonce));
            self.tally
                .trouble(format_args!("{key} got no answer in time; the last one: {last}"));
            return None;
        };
        match answered {
            Ok(view) => Some(view),
            Err(denial) if denial.is_unknown() => {
                self.tally.with(|ledger| ledger.given_up(self.nonce));
                let why = denial.detail();
                self.tally.trouble(format_args!(
                    "{key} may have been accepted, and has no key to ask by: {why}"
                ));
                None
            }
            Err(denial) => {
                self.tally.with(|ledger| ledger.refused(self.nonce, denial.code()));
                self.tally
                    .trouble(format_args!("{key} was refused: {}", denial.detail()));
                None
            }
        }
    }

    /// Leaves in `last` why it had to be sent again. An error that leaves the submission's fate unknown comes from a client
    /// without idempotency keys alone.
    async fn submit(&self, submission: &Submission, last: &mut Option<String>) -> Result<JobView, Denial> {
        let mut pauses = Pauses::default();
        loop {
            let denial = match self.client.submit(submission).await {
                Ok(view) => return Ok(view),
                Err(denial) if denial.is_passing() => denial,
                Err(denial) => return Err(denial),
            };
            *last = Some(denial.detail());
            if denial.is_unknown() {
                self.tally.with(|ledger| ledger.unknown(self.nonce, denial.id()));
                if !self.client.is_idempotent {
                    return Err(denial);
                }
            }
            self.pause(&mut pauses, &denial).await;
        }
    }

    /// Reads until the job has ended and its outputs are in hand; the denial says that there is no such job.
    async fn follow(&self, view: JobView) -> Result<Answer, Denial> {
        let id = view.id;
        let mut pauses = Pauses::default();
        let mut view = view;
        loop {
            if view.id != id {
                return Ok(Answer::SomebodyElses(view.id));
            }
            match view.status {
                JobState::Queued => {}
                JobState::Succeeded => return self.outputs(view).await,
                JobState::Failed => return Ok(Answer::Failed(view.failure.map(|failure| failure.code))),
                JobState::Expired => return Ok(Answer::Expired),
                JobState::Cancelled => return Ok(Answer::Cancelled),
            }
            let asked = Instant::now();
            match self.client.job(&id).await {
                Ok(next) => {
                    pauses = Pauses::default();
                    view = next;
                    if !view.status.is_terminal() && asked.elapsed() < UNGRANTED {
                        sleep(UNGRANTED).await;
                    }
                }
                Err(denial) if denial.is_absence() => return Err(denial),
                Err(denial) => self.pause(&mut pauses, &denial).await,
            }
        }
    }

    async fn outputs(&self, view: JobView) -> Result<Answer, Denial> {
        if let Some(outputs) = view.outputs {
            return Ok(Answer::Succeeded(outputs.into_iter().map(|output| output.0).collect()));
        }
        let mut pauses = Pauses::default();
        loop {
            match self.client.result(&view.id).await {
                Ok(outputs) => return Ok(Answer::Succeeded(outputs)),
                Err(denial) if denial.is_absence() => return Err(denial),
                Err(denial) => self.pause(&mut pauses, &denial).await,
            }
        }
    }

    async fn pause(&self, pauses: &mut Pauses, denial: &Denial) {
        self.tally.with(|ledger| ledger.retried(denial.code()));
        sleep(pauses.next(denial.retry_after())).await;
    }
}

/// How long to pause before each repetition of one request.
#[derive(Debug, Default)]
struct Pauses(u32);

impl Pauses {
    /// What the server asks for, or twice as long as the last time.
    fn next(&mut self, asked: Option<Duration>) -> Duration {
        let own = FIRST_PAUSE.saturating_mul(1 << self.0.min(16)).min(LONGEST_PAUSE);
        self.0 += 1;
        asked.unwrap_or(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_the_server_has_its_way() {
        let mut pauses = Pauses::default();
        let millis: Vec<_> = (0..8).map(|_| pauses.next(None).as_millis()).collect();
        assert_eq!(millis, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(pauses.next(Some(Duration::from_secs(7))), Duration::from_secs(7));
        let last = (0..100).map(|_| pauses.next(None)).last();
        assert_eq!(last, Some(LONGEST_PAUSE));
    }
}
