//! The life of a server process: start until ready, stop, kill, restart on the same port and data. What differs between
//! the servers is their [`Recipe`].

use std::fs::File;
use std::future::Future;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, anyhow};
use nix::sys::signal::Signal;

use crate::access::Role;
use crate::child::{Child, Output};
use crate::lock::DataDirLock;

/// A free port can be taken by somebody else before the server listens on it.
const PORT_ATTEMPTS: u32 = 5;
const PORT_PAUSE: Duration = Duration::from_millis(200);

/// Both servers answer on the loopback in under a millisecond once they listen.
const PROBE_LIMIT: Duration = Duration::from_secs(1);
const PROBE_PAUSE: Duration = Duration::from_millis(10);

/// How long a server may take to end: both write out what they hold, which is little.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// How much of a failed server's log its error quotes.
const LOG_TAIL: u64 = 2048;

/// How to run one kind of server.
pub trait Recipe: Clone + Send + Sync {
    /// Its name in logs, errors and file names.
    const NAME: &'static str;

    /// The folder of all its files; created if missing.
    fn data_dir(&self) -> &Path;

    /// How long it may take until it is ready; it reads its data first.
    fn startup_limit(&self) -> Duration;

    /// Replaces each port that is 0 by a free one, and reads or makes its users' passwords.
    ///
    /// # Errors
    ///
    /// No port is free, or the passwords cannot be read or written.
    fn prepare(&mut self) -> io::Result<()>;

    /// The command that runs it in the foreground, logging to stdout or stderr. May write a configuration file.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    fn command(&self) -> anyhow::Result<Command>;

    /// Where clients connect, on 127.0.0.1.
    fn port(&self) -> u16;

    /// Its URL, with the user and the password of a role.
    fn url(&self, role: Role) -> String;

    /// Whether the server with this pid, and no other on its port, is ready for clients.
    fn is_ready(&self, pid: u32) -> impl Future<Output = io::Result<bool>> + Send;
}

/// A running server, or a killed one that can be restarted. Dropping it kills it.
#[derive(Debug)]
pub struct Server<R: Recipe> {
    recipe: R,
    child: Child,
}

impl<R: Recipe> Server<R> {
    /// Starts a server and waits until it is ready.
    ///
    /// # Errors
    ///
    /// Another one runs on the same data, its port is taken, it ends, or is not ready in time; the error quotes its log.
    pub async fn start(recipe: R) -> anyhow::Result<Self> {
        let data_dir = recipe.data_dir();
        std::fs::create_dir_all(data_dir).with_context(|| format!("create {}", data_dir.display()))?;
        let (recipe, child) = launch_on_a_port(recipe).await?;
        tracing::info!(
            server.name = R::NAME,
            server.port = recipe.port(),
            server.pid = child.pid(),
            "server is ready"
        );
        Ok(Self { recipe, child })
    }

    /// The URL for an operator; the same after a restart.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of(Role::Operator)
    }

    /// The URL for whoever has this role.
    #[must_use]
    pub fn url_of(&self, role: Role) -> String {
        self.recipe.url(role)
    }

    /// The options it runs with, the chosen ports among them.
    #[must_use]
    pub fn options(&self) -> &R {
        &self.recipe
    }

    /// Its process id; another one after a restart.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Waits until it has ended. May be cancelled and called again.
    ///
    /// # Errors
    ///
    /// The operating system refuses to tell.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Sends it a signal; SIGSTOP and SIGCONT pause and resume it.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        self.child.signal(signal)
    }

    /// Ends it as a crash would (SIGKILL).
    ///
    /// # Errors
    ///
    /// The operating system refuses.
    pub async fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill().await
    }

    /// Ends it in order (SIGTERM), by force after 10 s.
    ///
    /// # Errors
    ///
    /// The operating system refuses.
    pub async fn stop(&mut self) -> io::Result<ExitStatus> {
        self.child.terminate(STOP_GRACE).await
    }

    /// Starts it again on the same port and data, after ending it in order if it still runs.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.stop().await?;
        let (_, child) = launch_on_a_port(self.recipe.clone()).await?;
        self.child = child;
        tracing::info!(
            server.name = R::NAME,
            server.port = self.recipe.port(),
            server.pid = self.pid(),
            "server is ready again"
        );
        Ok(())
    }
}

enum LaunchError {
    PortTaken(anyhow::Error),
    Other(anyhow::Error),
}

/// Launches with ports chosen anew each time; fixed ones are tried again after a pause.
async fn launch_on_a_port<R: Recipe>(recipe: R) -> anyhow::Result<(R, Child)> {
    let mut attempt = 1;
    loop {
        let mut chosen = recipe.clone();
        chosen.prepare()?;
        match launch(&chosen).await {
            Ok(child) => return Ok((chosen, child)),
            Err(LaunchError::PortTaken(_)) if attempt < PORT_ATTEMPTS => {
                attempt += 1;
                tokio::time::sleep(PORT_PAUSE).await;
            }
            Err(LaunchError::PortTaken(error) | LaunchError::Other(error)) => return Err(error),
        }
    }
}

async fn launch<R: Recipe>(recipe: &R) -> Result<Child, LaunchError> {
    let log = Log::of(recipe);
    let mut child = spawn(recipe, &log).await.map_err(LaunchError::Other)?;
    let pid = child.pid();
    let failure = tokio::select! {
        () = ready(recipe, pid) => return Ok(child),
        status = child.wait() => match status {
            Ok(status) => format!("{} ended at once with {status}", R::NAME),
            Err(error) => format!("{} cannot be waited for: {error}", R::NAME),
        },
        () = tokio::time::sleep(recipe.startup_limit()) =>
            format!("{} was not ready after {:?}", R::NAME, recipe.startup_limit()),
    };
    let tail = log.tail();
    let error = anyhow!("{failure}; its log ({}) ends with:\n{tail}", log.path.display());
    let port_taken = tail.to_ascii_lowercase().contains("address already in use");
    Err(if port_taken {
        LaunchError::PortTaken(error)
    } else {
        LaunchError::Other(error)
    })
}

async fn spawn<R: Recipe>(recipe: &R, log: &Log) -> anyhow::Result<Child> {
    let lock = DataDirLock::take(recipe.data_dir(), R::NAME).await?;
    let command = recipe.command()?;
    let output = Output::File(log.path.clone());
    let child = Child::spawn_holding(command, R::NAME, output, lock.file()?).await?;
    lock.leave_to(child.pid())?;
    Ok(child)
}

async fn ready<R: Recipe>(recipe: &R, pid: u32) {
    while !matches!(
        tokio::time::timeout(PROBE_LIMIT, recipe.is_ready(pid)).await,
        Ok(Ok(true))
    ) {
        tokio::time::sleep(PROBE_PAUSE).await;
    }
}

/// The log of a server from a launch on.
struct Log {
    path: PathBuf,
    start: u64,
}

impl Log {
    fn of<R: Recipe>(recipe: &R) -> Self {
        let path = recipe.data_dir().join(format!("{}.log", R::NAME));
        let start = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        Self { path, start }
    }

    fn tail(&self) -> String {
        let read = || -> io::Result<String> {
            let mut file = File::open(&self.path)?;
            let from = self.start.max(file.metadata()?.len().saturating_sub(LOG_TAIL));
            file.seek(SeekFrom::Start(from))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
        };
        read().unwrap_or_else(|error| format!("(not readable: {error})"))
    }
}
