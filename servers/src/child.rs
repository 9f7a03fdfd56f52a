//! A child process with a name: ours (an ingest, a worker) or a server. What is ready and what is restarted is for others.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// A killed process is gone within milliseconds; one in an uninterruptible write may take longer than a drop may block.
const DROP_LIMIT: Duration = Duration::from_secs(1);
const DROP_POLL: Duration = Duration::from_millis(1);

/// Where the output of a child goes, stdout and stderr alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// To where ours goes.
    Inherit,
    /// Appended to a file.
    File(PathBuf),
}

/// A running child process. It is the leader of its own process group, so that a terminal's Ctrl-C does not reach it and
/// its owner decides when it ends. Dropping it kills it; if this process is killed, Linux kills it as well.
#[derive(Debug)]
pub struct Child {
    name: String,
    pid: Pid,
    process: tokio::process::Child,
}

impl Child {
    /// Starts a process, with nothing to read on its stdin.
    ///
    /// # Errors
    ///
    /// The command cannot be started, or its log file not be opened.
    pub async fn spawn(command: Command, name: impl Into<String>, output: Output) -> anyhow::Result<Self> {
        Self::spawn_with_stdin(command, name.into(), output, Stdio::null()).await
    }

    /// The same, with a file held open as its stdin.
    pub(crate) async fn spawn_holding(
        command: Command,
        name: impl Into<String>,
        output: Output,
        held: File,
    ) -> anyhow::Result<Self> {
        Self::spawn_with_stdin(command, name.into(), output, Stdio::from(held)).await
    }

    async fn spawn_with_stdin(
        mut command: Command,
        name: String,
        output: Output,
        stdin: Stdio,
    ) -> anyhow::Result<Self> {
        command.stdin(stdin).process_group(0);
        if let Output::File(path) = output {
            let log = OpenOptions::new().create(true).append(true).open(&path);
            let log = log.with_context(|| format!("open the log of {name}, {}", path.display()))?;
            command.stdout(log.try_clone()?).stderr(log);
        }
        let program = command.get_program().to_owned();
        let process = crate::spawner::spawn(command).await;
        let process = process.with_context(|| format!("start {name} ({})", program.display()))?;
        let pid = process
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .context("a new child has a pid")?;
        tracing::debug!(child.name = name, child.pid = pid, "child started");
        Ok(Self {
            name,
            pid: Pid::from_raw(pid),
            process,
        })
    }

    /// The name it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id, also after it has ended.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// Waits until it has ended. May be cancelled and called again.
    ///
    /// # Errors
    ///
    /// The operating system refuses to tell.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.process.wait().await
    }

    /// Whether it still runs, as far as was noticed.
    ///
    /// # Errors
    ///
    /// The operating system refuses to tell.
    pub fn is_running(&mut self) -> io::Result<bool> {
        Ok(self.process.try_wait()?.is_none())
    }

    /// Sends it a signal; SIGSTOP and SIGCONT pause and resume it.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        // Once it is reaped its pid may be somebody else's; until then it cannot be.
        if self.process.id().is_none() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("{} has ended", self.name),
            ));
        }
        Ok(kill(self.pid, signal)?)
    }

    /// Ends it and its children at once (SIGKILL) and waits until it is gone. One that has ended already is no error.
    ///
    /// # Errors
    ///
    /// The operating system refuses.
    pub async fn kill(&mut self) -> io::Result<ExitStatus> {
        self.kill_group();
        self.wait().await
    }

    /// Asks it to end (SIGTERM), waits at most for `grace`, then kills it.
    ///
    /// # Errors
    ///
    /// The operating system refuses.
    pub async fn terminate(&mut self, grace: Duration) -> io::Result<ExitStatus> {
        if self.signal(Signal::SIGTERM).is_ok()
            && let Ok(status) = tokio::time::timeout(grace, self.wait()).await
        {
            return status;
        }
        if self.is_running()? {
            tracing::warn!(child.name = self.name, grace = ?grace, "child did not end in time and is killed");
        }
        self.kill().await
    }

    fn kill_group(&self) {
        if self.process.id().is_some() {
            // It can fail only for a group that is gone.
            let _ = killpg(self.pid, Signal::SIGKILL);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill_group();
        let limit = Instant::now() + DROP_LIMIT;
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < limit {
            std::thread::sleep(DROP_POLL);
        }
    }
}
