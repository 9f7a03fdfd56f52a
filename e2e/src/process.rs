//! One `gristmill` process of a stack, started by its command line as an operator would.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Context;
use gristmill_servers::{Child, Output, Signal};
use serde::Deserialize;

use crate::{binary, inject::clock, scrape, wait};

/// How long a process may take to drain in a test.
const GRACE: Duration = Duration::from_secs(45);

/// What a process says of itself once it is ready.
#[derive(Debug, Clone, Deserialize)]
pub struct Announcement {
    /// Where clients connect, if any do.
    #[serde(default)]
    pub url: Option<String>,
    /// Where its metrics and its health are.
    pub admin_url: String,
}

/// A running ingest or worker.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Where it listens.
    pub at: Announcement,
    log: PathBuf,
}

impl Process {
    /// Starts one and waits until it is ready.
    ///
    /// # Errors
    /// It cannot be started, or ends instead of becoming ready; the error has the end of its log.
    pub async fn start(name: &str, args: &[String], dir: &Path) -> anyhow::Result<Self> {
        Self::launch(Command::new(binary::gristmill()?), name, args, dir).await
    }

    /// [`Self::start`] with these variables besides.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_with(
        name: &str,
        args: &[String],
        dir: &Path,
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(binary::gristmill()?);
        command.envs(variables.iter().copied());
        Self::launch(command, name, args, dir).await
    }

    /// [`Self::start`] with its clock off by so much and with some fail points switched on, where these are given; with
    /// fail points it is the build that has them.
    ///
    /// # Errors
    /// As [`Self::start`], or there is no such build, or nothing to shift a clock with.
    pub async fn start_tampered(
        name: &str,
        args: &[String],
        dir: &Path,
        (fail_points, clock_shift): (&str, Option<&str>),
    ) -> anyhow::Result<Self> {
        let mut command = if fail_points.is_empty() {
            Command::new(binary::gristmill()?)
        } else {
            Command::new(binary::gristmill_with_fail_points()?)
        };
        command.env("FAILPOINTS", fail_points);
        if let Some(shift) = clock_shift {
            command.envs(clock::shifted_by(shift)?);
        }
        Self::launch(command, name, args, dir).await
    }

    async fn launch(mut command: Command, name: &str, args: &[String], dir: &Path) -> anyhow::Result<Self> {
        let (announcement, log) = (dir.join(format!("{name}.json")), dir.join(format!("{name}.log")));
        if announcement.exists() {
            std::fs::remove_file(&announcement)?;
        }
        command
            .current_dir(binary::repository())
            .args(args)
            .args(["--admin-addr", "127.0.0.1:0"]);
        command.arg("--announce").arg(&announcement);
        let mut child = Child::spawn(command, name, Output::File(log.clone())).await?;
        let what = format!("{name} to be ready");
        let asked = wait::until(&what, || {
            let ended = !child.is_running().unwrap_or(false);
            let text = std::fs::read(&announcement).ok();
            async move {
                match text {
                    Some(text) => Ok(Some(Some(serde_json::from_slice(&text)?))),
                    None if ended => Ok(Some(None)),
                    None => Ok(None),
                }
            }
        });
        let at = asked
            .await?
            .with_context(|| format!("{name} ended at once:\n{}", tail(&log)))?;
        Ok(Self { child, at, log })
    }

    /// Kills it as a power switch would.
    ///
    /// # Errors
    /// The operating system refuses.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.map(drop).context("kill -9")
    }

    /// Asks it to end and says whether it drained and ended well.
    ///
    /// # Errors
    /// The operating system refuses.
    pub async fn terminate(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.terminate(GRACE).await?.success())
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        !self.child.is_running().unwrap_or(false)
    }

    /// Sends a signal, SIGSTOP say.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        self.child.signal(signal).context("signal")
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// The sum of a metric over all its labels that contain `with`.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn metric(&self, name: &str, with: &str) -> anyhow::Result<f64> {
        scrape::sum(&self.at.admin_url, name, with).await
    }

    /// Its memory that is resident now, in bytes (Linux).
    ///
    /// # Errors
    /// It has ended, or the system has no /proc.
    pub fn rss_bytes(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .context("VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }

    /// Everything it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
