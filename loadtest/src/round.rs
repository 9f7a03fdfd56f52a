//! One load from its references to its last end: jobs begin one after another's end, or by the clock.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, bail};
use gristmill_schemas::{InferRequest, Tensor};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    client::{Client, Submission, WAIT},
    config::Wait,
    generator::{self, Generator},
    ledger::Ending,
    pace::Pace,
    plan::Load,
    report::{self, Findings, Setting},
    stages,
    tally::Tally,
    trial::{Answer, Trial},
};

/// How long jobs in flight may take to end after an interrupt.
const DRAIN: Duration = Duration::from_secs(5);

/// One load of a test.
#[derive(Debug)]
pub(crate) struct Round {
    load: Load,
    client: Client,
    generator: Box<dyn Generator>,
    tally: Arc<Tally>,
    tag: String,
    /// What decides where something is left to chance.
    seed: u64,
    references: u64,
    patience: Duration,
}

impl Round {
    /// Prepares a load and runs its references, one by one.
    ///
    /// # Errors
    /// The references could not be run.
    pub(crate) async fn prepare(load: Load, patience: Duration, interrupt: &CancellationToken) -> anyhow::Result<Self> {
        let mut tag = [0; 4];
        getrandom::fill(&mut tag).map_err(|error| anyhow::anyhow!("random bytes: {error}"))?;
        let tag = u32::from_le_bytes(tag);
        let mut round = Self {
            client: Client::new(&load.target, load.pace.in_flight().into()).await?,
            generator: generator::of(&load.work, tag),
            tally: Arc::new(Tally::new()),
            tag: format!("{tag:08x}"),
            seed: tag.into(),
            references: 0,
            patience,
            load,
        };
        let learnt = interrupt.run_until_cancelled(round.learn()).await;
        round.references = learnt.context("ended before the references were there")??;
        Ok(round)
    }

    /// Every `Idempotency-Key` begins with it.
    pub(crate) fn tag(&self) -> &str {
        &self.tag
    }

    /// What it is called, and where its jobs are counted.
    pub(crate) fn watched(&self) -> (String, Arc<Tally>) {
        (self.load.name.clone(), Arc::clone(&self.tally))
    }

    /// Runs the load to its end or to the interrupt.
    pub(crate) async fn run(self, interrupt: CancellationToken) -> report::Load {
        let round = Arc::new(self);
        let supply = Arc::new(Supply::new(&round.load.pace, interrupt));
        match round.load.pace.beginnings(round.seed) {
            None => fly_by_ends(&round, &supply).await,
            Some(beginnings) => fly_by_the_clock(&round, &supply, beginnings).await,
        }
        let elapsed = supply.began.elapsed();
        let sample = round.tally.with(|ledger| ledger.sample(stages::SAMPLE));
        let stages = stages::of(&round.client, &sample).await;
        round.tally.read(|pages| {
            let (timeline, step_s) = pages.timeline.read();
            report::Load::new(Findings {
                name: round.load.name.clone(),
                setting: Setting::of(&round.load),
                references: round.references,
                elapsed,
                begun: supply.begun(),
                latency_ms: pages.latencies.summary(),
                curve: pages.latencies.curve(),
                timeline,
                step_s,
                stages,
                counts: pages.ledger.counts(),
                troubles: pages.troubles.clone(),
            })
        })
    }

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
            None => bail!("{}", tally.read(|pages| pages.troubles.join("; "))),
        }
    }

    /// Runs one job of the test, whose time has come at `due`. False if the server does not take jobs like it: the next ones
    /// would fare no better.
    async fn job(&self, nonce: u64, due: Instant, began: Instant) -> bool {
        self.tally.with(|ledger| ledger.submitted(nonce));
        let submission = match self.submission(format!("{}-{nonce}", self.tag), self.generator.inputs(nonce)) {
            Ok(submission) => submission,
            Err(error) => {
                self.tally.trouble(format_args!("{error:#}"));
                return false;
            }
        };
        let answer = self.trial(&self.tally, nonce).run(&submission).await;
        let took = due.elapsed();
        let Some(answer) = answer else {
            self.tally.over(began.elapsed(), None, true);
            return !self.tally.with(|ledger| ledger.has_refusals());
        };
        let ending = self.judge(nonce, answer);
        self.tally.with(|ledger| ledger.ended(nonce, &ending));
        self.tally.over(began.elapsed(), Some(took), ending != Ending::Right);
        true
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
        let work = &self.load.work;
        let model = work.model.as_str().parse().context("the model's name")?;
        let mut request = InferRequest::new(model, inputs);
        (request.lane, request.deadline) = (work.lane, work.deadline);
        Ok(Submission {
            body: self.client.encode(&request),
            idempotency_key,
            prefer_wait: (self.load.target.wait == Wait::Prefer).then_some(WAIT.as_secs()),
        })
    }

    fn trial<'a>(&'a self, tally: &'a Tally, nonce: u64) -> Trial<'a> {
        Trial {
            client: &self.client,
            tally,
            nonce,
            patience: self.patience,
        }
    }
}

/// Keeps jobs in flight until the supply is used up or there was an interrupt.
async fn fly_by_ends(round: &Arc<Round>, supply: &Arc<Supply>) {
    let mut lines = JoinSet::new();
    for _ in 0..round.load.pace.in_flight() {
        let (round, supply) = (Arc::clone(round), Arc::clone(supply));
        lines.spawn(async move {
            while let Some(nonce) = supply.next() {
                if !round.job(nonce, Instant::now(), supply.began).await {
                    supply.close();
                }
            }
        });
    }
    ended(lines, supply).await;
}

/// Begins jobs at their times. One whose time has come while there is no place for it begins late, and its latency shows it.
async fn fly_by_the_clock(
    round: &Arc<Round>,
    supply: &Arc<Supply>,
    beginnings: Box<dyn Iterator<Item = Duration> + Send>,
) {
    let places = Arc::new(Semaphore::new(round.load.pace.in_flight().into()));
    let mut lines = JoinSet::new();
    for at in beginnings {
        let due = supply.began + at;
        let place = async {
            sleep_until(due).await;
            Arc::clone(&places).acquire_owned().await
        };
        let Some(Ok(place)) = supply.closed.run_until_cancelled(place).await else {
            break;
        };
        let Some(nonce) = supply.next() else { break };
        let (round, supply) = (Arc::clone(round), Arc::clone(supply));
        lines.spawn(async move {
            if !round.job(nonce, due, supply.began).await {
                supply.close();
            }
            drop(place);
        });
        while lines.try_join_next().is_some() {}
    }
    ended(lines, supply).await;
}

/// Waits for what is in flight; after an interrupt only for a while: what has not ended then is unfinished.
async fn ended(mut lines: JoinSet<()>, supply: &Supply) {
    let all = async { while lines.join_next().await.is_some() {} };
    let mut all = pin!(all);
    tokio::select! {
        () = &mut all => {}
        () = supply.interrupt.cancelled() => {
            supply.close();
            let _ = timeout(DRAIN, all).await;
        }
    }
}

/// Which jobs there still are to be submitted.
#[derive(Debug)]
struct Supply {
    began: Instant,
    next: AtomicU64,
    jobs: u64,
    until: Option<Instant>,
    interrupt: CancellationToken,
    /// By the interrupt too.
    closed: CancellationToken,
}

impl Supply {
    fn new(pace: &Pace, interrupt: CancellationToken) -> Self {
        let began = Instant::now();
        let (jobs, duration) = match pace {
            Pace::Closed { jobs, duration, .. } => (*jobs, *duration),
            Pace::Open { .. } | Pace::Trace { .. } => (None, None),
        };
        Self {
            began,
            next: AtomicU64::new(0),
            jobs: jobs.unwrap_or(u64::MAX),
            until: duration.map(|duration| began + duration),
            closed: interrupt.child_token(),
            interrupt,
        }
    }

    /// The next job's nonce.
    fn next(&self) -> Option<u64> {
        if self.closed.is_cancelled() || self.until.is_some_and(|until| Instant::now() >= until) {
            return None;
        }
        let nonce = self.next.fetch_add(1, Ordering::Relaxed);
        (nonce < self.jobs).then_some(nonce)
    }

    /// How many jobs have begun.
    fn begun(&self) -> u64 {
        self.next.load(Ordering::Relaxed).min(self.jobs)
    }

    fn close(&self) {
        self.closed.cancel();
    }
}
