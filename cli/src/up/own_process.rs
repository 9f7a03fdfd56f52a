//! An ingest or a worker as a child: this very executable with another command.

use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::Duration,
};

use anyhow::{Context, bail};
use gristmill_servers::{Child, Output};

use super::member::{Instance, Member};
use crate::announcement::Announcement;

/// A worker reads its models and warms them; a slow disk may take a while.
const START_LIMIT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(20);

/// How to run one.
#[derive(Debug, Clone)]
pub(super) struct Recipe {
    /// Its name in reports.
    pub(super) name: String,
    /// The executable.
    pub(super) executable: PathBuf,
    /// The command and its flags.
    pub(super) args: Vec<String>,
    /// Variables besides our own.
    pub(super) environment: Vec<(&'static str, String)>,
    /// Where it announces itself.
    pub(super) announcement: PathBuf,
    /// How long it may take to end.
    pub(super) grace: Duration,
}

/// A running one.
#[derive(Debug)]
pub(super) struct OwnProcess {
    recipe: Recipe,
    child: Child,
    announced: Announcement,
}

impl OwnProcess {
    /// Starts one and waits until it is ready.
    ///
    /// # Errors
    /// It ends instead, or takes too long.
    pub(super) async fn start(recipe: Recipe) -> anyhow::Result<Self> {
        let (child, announced) = launch(&recipe).await?;
        Ok(Self {
            recipe,
            child,
            announced,
        })
    }

    /// What it said of itself.
    pub(super) fn announced(&self) -> &Announcement {
        &self.announced
    }
}

impl Member for OwnProcess {
    fn name(&self) -> &str {
        &self.recipe.name
    }

    fn instance(&self) -> Instance {
        Instance {
            pid: self.child.pid(),
            admin_url: Some(self.announced.admin_url.clone()),
        }
    }

    async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    async fn restart(&mut self) -> anyhow::Result<()> {
        (self.child, self.announced) = launch(&self.recipe).await?;
        Ok(())
    }

    async fn stop(&mut self) -> io::Result<ExitStatus> {
        self.child.terminate(self.recipe.grace).await
    }
}

async fn launch(recipe: &Recipe) -> anyhow::Result<(Child, Announcement)> {
    let Recipe { name, announcement, .. } = recipe;
    forget(announcement)?;
    let mut command = Command::new(&recipe.executable);
    command
        .args(&recipe.args)
        .arg("--announce")
        .arg(announcement)
        .envs(recipe.environment.iter().map(|(name, value)| (name, value)));
    let mut child = Child::spawn(command, name.clone(), Output::Inherit).await?;
    let pid = child.pid();
    let announced = tokio::select! {
        announced = announced(announcement, pid) => announced?,
        status = child.wait() => bail!("{name} ended before it was ready: {}", status?),
        () = tokio::time::sleep(START_LIMIT) => bail!("{name} was not ready after {START_LIMIT:?}"),
    };
    tracing::info!(child.name = name, child.pid = pid, "child is ready");
    Ok((child, announced))
}

/// What an earlier one has said is of no use.
fn forget(announcement: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(announcement) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", announcement.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

async fn announced(path: &Path, pid: u32) -> anyhow::Result<Announcement> {
    loop {
        if path.exists() {
            let announcement = Announcement::read(path)?;
            if announcement.pid == pid {
                return Ok(announcement);
            }
        }
        tokio::time::sleep(POLL).await;
    }
}
