//! One process of a row over all its lives: killed, paused, started again where it was, and asked for its metrics.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use gristmill_servers::Signal;
use tokio::time::{sleep, timeout};

use crate::{Process, inject::Link, scrape};

/// Who does not answer for so long is not asked for his metrics.
const ANSWER_LIMIT: Duration = Duration::from_millis(500);

/// One ingest or worker over all its lives.
#[derive(Debug)]
pub struct Member {
    pub(super) name: String,
    pub(super) args: Vec<String>,
    dir: PathBuf,
    fail_points: String,
    clock_shift: Option<&'static str>,
    process: Option<Process>,
    /// What is between it and the servers, if anything is.
    pub link: Option<Link>,
    /// The metrics of its earlier lives, as they last were.
    bygone: Vec<String>,
}

impl Member {
    pub(super) async fn start(
        name: String,
        args: Vec<String>,
        dir: &Path,
        (fail_points, clock_shift): (&str, Option<&'static str>),
    ) -> anyhow::Result<Self> {
        let mut member = Self {
            name,
            args,
            dir: dir.to_owned(),
            fail_points: fail_points.to_owned(),
            clock_shift,
            process: None,
            link: None,
            bygone: Vec::new(),
        };
        member.revive().await?;
        Ok(member)
    }

    /// Starts it again, where it was before.
    ///
    /// # Errors
    /// It does not become ready.
    pub async fn revive(&mut self) -> anyhow::Result<()> {
        let (name, args, dir) = (&self.name, &self.args, &self.dir);
        let tampered = (self.fail_points.as_str(), self.clock_shift);
        self.process = Some(Process::start_tampered(name, args, dir, tampered).await?);
        Ok(())
    }

    /// Whether it has ended by itself, as it does at a fail point; one that was killed has not.
    pub fn has_died(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::has_ended)
    }

    /// Ends it if it lives, and starts it without any fail point.
    ///
    /// # Errors
    /// It does not become ready.
    pub async fn disarm(&mut self) -> anyhow::Result<()> {
        self.fail_points.clear();
        if !self.has_died() {
            self.note_metrics().await;
        }
        self.process = None;
        self.revive().await
    }

    /// The process, if it lives.
    ///
    /// # Errors
    /// It does not.
    pub fn process(&self) -> anyhow::Result<&Process> {
        self.process.as_ref().with_context(|| format!("{} is dead", self.name))
    }

    /// Kills it as a power switch would, after noting its metrics if it answers.
    ///
    /// # Errors
    /// The operating system refuses.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.note_metrics().await;
        match self.process.take() {
            Some(mut process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// Stops it, gives the servers time to send it what it will never take, and kills it.
    ///
    /// # Errors
    /// It is dead, or the operating system refuses.
    pub async fn kill_with_hands_full(&mut self, stopped_for: Duration) -> anyhow::Result<()> {
        self.note_metrics().await;
        let mut process = self.process.take().with_context(|| format!("{} is dead", self.name))?;
        process.signal(Signal::SIGSTOP)?;
        sleep(stopped_for).await;
        process.kill().await
    }

    async fn note_metrics(&mut self) {
        let Some(process) = &self.process else { return };
        let asked = timeout(ANSWER_LIMIT, scrape::text(&process.at.admin_url)).await;
        self.bygone.extend(asked.ok().and_then(Result::ok));
    }

    /// Its metrics, those of its earlier lives first.
    pub(super) async fn metrics(&self) -> anyhow::Result<Vec<String>> {
        let mut texts = self.bygone.clone();
        if let Some(process) = &self.process {
            texts.push(scrape::text(&process.at.admin_url).await?);
        }
        Ok(texts)
    }

    /// Asks it to end and says whether it drained and ended well.
    ///
    /// # Errors
    /// It is dead, or the operating system refuses.
    pub async fn terminate(&mut self) -> anyhow::Result<bool> {
        self.note_metrics().await;
        let mut process = self.process.take().with_context(|| format!("{} is dead", self.name))?;
        process.terminate().await
    }

    /// Stops or continues it.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        self.process()?.signal(signal)
    }

    /// The sum of one of its metrics over all its lives, as far as they could be asked.
    ///
    /// # Errors
    /// It lives and does not answer.
    pub async fn metric(&self, name: &str, with: &str) -> anyhow::Result<f64> {
        let texts = self.metrics().await?;
        texts.iter().map(|text| scrape::sum_in(text, name, with)).sum()
    }
}
