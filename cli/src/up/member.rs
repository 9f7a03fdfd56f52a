//! What is supervised: a server, or a process of our own.

use std::{io, process::ExitStatus};

use gristmill_servers::{Recipe, Server};

/// Where a running child is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Instance {
    pub(super) pid: u32,
    pub(super) admin_url: Option<String>,
}

/// A child that was started, and can be started again.
pub(super) trait Member: Send + 'static {
    /// Its name in reports.
    fn name(&self) -> &str;

    /// Where it is since its last start.
    fn instance(&self) -> Instance;

    /// Waits until it has ended. May be cancelled and called again.
    fn wait(&mut self) -> impl Future<Output = io::Result<ExitStatus>> + Send;

    /// Starts it again, where it was, and waits until it is ready.
    fn restart(&mut self) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Ends it in order, by force if it takes too long.
    fn stop(&mut self) -> impl Future<Output = io::Result<ExitStatus>> + Send;
}

impl<R: Recipe + 'static> Member for Server<R> {
    fn name(&self) -> &str {
        R::NAME
    }

    fn instance(&self) -> Instance {
        Instance {
            pid: self.pid(),
            admin_url: None,
        }
    }

    async fn wait(&mut self) -> io::Result<ExitStatus> {
        Self::wait(self).await
    }

    async fn restart(&mut self) -> anyhow::Result<()> {
        Self::restart(self).await
    }

    async fn stop(&mut self) -> io::Result<ExitStatus> {
        Self::stop(self).await
    }
}
