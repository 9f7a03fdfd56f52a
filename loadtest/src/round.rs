//! The closed loop: so many jobs in flight, each end makes room for the next, until all are done or time is up.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, bail};
use gristmill_schemas::{InferRequest, Tensor};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::{
    client::{Client, Submission, WAIT},
    config::{LoadtestArgs, PaceArgs, Wait},
    generator::{self, Generator},
    ledger::Ending,
    report::{Findings, Report, Setting},
    tally::Tally,
    trial::{Answer, Trial},
};

/// How long jobs in flight may take to end after an interrupt.
const DRAIN: Duration = Duration::from_secs(5);

/// Runs a load test to its end or to the interrupt.
///
/// # Errors
/// The references could not be run.
pub(crate) async fn run(args: LoadtestArgs, interrupt: impl Future<Output = ()>) -> anyhow::Result<Report> {
    let mut tag = [0; 4];
    getrandom::fill(&mut tag).map_err(|error| anyhow::anyhow!("random bytes: {error}"))?;
    let tag = u32::from_le_bytes(tag);
    let mut interrupt = pin!(interrupt);
    let mut round = Round {
        client: Client::new(&args.target, args.pace.in_flight.into())?,
        generator: generator::of(&args.work, tag),
        tally: Tally::new(),
        tag: format!("{tag:08x}"),
        args,
    };
    let references = tokio::select! {
        learnt = round.learn() => learnt?,
        () = &mut interrupt => bail!("ended before the references were there"),
    };
    let (round, started) = (Arc::new(round), Instant::now());
    let supply = Arc::new(Supply::new(&round.args.pace, started));
    let interrupted = fly(&round, &supply, interrupt).await;
    let (counts, latency, troubles) = round.tally.read();
    Ok(Report::new(Findings {
        run: round.tag.clone(),
        setting: Setting::of(&round.args),
        references,
        elapsed: started.elapsed(),
        interrupted,
        latency,
        counts,
        troubles,
    }))
}

/// Keeps jobs in flight until the supply is used up; tells whether it was interrupted.
async fn fly(round: &Arc<Round>, supply: &Arc<Supply>, interrupt: impl Future<Output = ()>) -> bool {
    let mut lines = JoinSet::new();
    for _ in 0..round.args.pace.in_flight {
        let (round, supply) = (Arc::clone(round), Arc::clone(supply));
        lines.spawn(async move {
            while let Some(nonce) = supply.next() {
                if !round.job(nonce).await {
                    supply.close();
                }
            }
        });
    }
    let all = async { while lines.join_next().await.is_some() {} };
    let mut all = pin!(all);
    tokio::select! {
        () = &mut all => false,
        () = interrupt => {
            supply.close();
            // what has not ended by then is unfinished: its task ends with the set
            let _ = timeout(DRAIN, all).await;
            true
        }
    }
}

/// Which jobs there still are to be submitted.
#[derive(Debug)]
struct Supply {
    next: AtomicU64,
    closed: AtomicBool,
    jobs: u64,
    until: Option<Instant>,
}

impl Supply {
    fn new(pace: &PaceArgs, now: Instant) -> Self {
        let until = pace.duration.map(|duration| now + duration.as_duration());
        Self {
            next: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            jobs: if until.is_some() { u64::MAX } else { pace.jobs },
            until,
        }
    }

    /// The next job's nonce.
    fn next(&self) -> Option<u64> {
        let over = self.closed.load(Ordering::Relaxed) || self.until.is_some_and(|until| Instant::now() >= until);
        if over {
            return None;
        }
        let nonce = self.next.fetch_add(1, Ordering::Relaxed);
        (nonce < self.jobs).then_some(nonce)
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

/// One load test.
#[derive(Debug)]
struct Round {
    args: LoadtestArgs,
    client: Client,
    generator: Box<dyn Generator>,
    tally: Tally,
    tag: String,
}

impl Round {
    /// Runs the references one by one; tells how many there were.
    async fn learn(&mut self) -> anyhow::Result<u64> {
        let mut answers = Vec::new();
        let references = self.generator.references();
        let count = references.len() as u64;
        for (index, inputs) in (0..).zip(references) {
            let answer = self.reference(index, inputs).await;
            answers.push(answer.with_context(|| format!("reference {} of {count}", index + 1))?);
        }
        self.generator.learn(&answers)?;
        Ok(count)
    }

    /// Runs one reference, counted apart from the test.
    async fn reference(&self, index: u64, inputs: Vec<Tensor>) -> anyhow::Result<Vec<Tensor>> {
        let tally = Tally::new();
        tally.with(|ledger| ledger.submitted(index));
        let submission = self.submission(format!("{}-reference-{index}", self.tag), inputs)?;
        match self.trial(&tally, index).run(&submission).await {
            Some(Answer::Succeeded(outputs)) => Ok(outputs),
            Some(other) => bail!("the job ended otherwise: {other:?}"),
            None => bail!("{}", tally.read().2.join("; ")),
        }
    }

    /// Runs one job of the test. False if the server does not take jobs like it: the next ones would fare no better.
    async fn job(&self, nonce: u64) -> bool {
        self.tally.with(|ledger| ledger.submitted(nonce));
        let submission = match self.submission(format!("{}-{nonce}", self.tag), self.generator.inputs(nonce)) {
            Ok(submission) => submission,
            Err(error) => {
                self.tally.trouble(format_args!("{error:#}"));
                return false;
            }
        };
        let sent = Instant::now();
        let answer = self.trial(&self.tally, nonce).run(&submission).await;
        match answer {
            Some(answer) => {
                self.tally.took(sent.elapsed());
                let ending = self.judge(nonce, answer);
                self.tally.with(|ledger| ledger.ended(nonce, &ending));
                true
            }
            None => !self.tally.with(|ledger| ledger.has_refusals()),
        }
    }

    fn judge(&self, nonce: u64, answer: Answer) -> Ending {
        let wrong = match answer {
            Answer::Failed(code) => return Ending::Failed(code),
            Answer::Expired => return Ending::Expired,
            Answer::Cancelled => return Ending::Cancelled,
            Answer::SomebodyElses(id) => format!("the reply is about {id}"),
            Answer::Succeeded(outputs) => match self.generator.check(nonce, &outputs) {
                Ok(()) => return Ending::Right,
                Err(wrong) => wrong.to_string(),
            },
        };
        self.tally
            .trouble(format_args!("{}-{nonce} has a wrong answer: {wrong}", self.tag));
        Ending::Wrong
    }

    fn submission(&self, idempotency_key: String, inputs: Vec<Tensor>) -> anyhow::Result<Submission> {
        let work = &self.args.work;
        let model = work.model.as_str().parse().context("the model's name")?;
        let mut request = InferRequest::new(model, inputs);
        (request.lane, request.deadline) = (work.lane, work.deadline);
        Ok(Submission {
            body: self.client.encode(&request),
            idempotency_key,
            prefer_wait: (self.args.target.wait == Wait::Prefer).then_some(WAIT.as_secs()),
        })
    }

    fn trial<'a>(&'a self, tally: &'a Tally, nonce: u64) -> Trial<'a> {
        Trial {
            client: &self.client,
            tally,
            nonce,
            patience: self.args.pace.timeout.into(),
        }
    }
}
