//! The lock on a server's data folder: two servers on the same files would destroy them.
//!
//! The lock belongs to an open file, and the *server* holds that file open, as its stdin. So it lasts exactly as long as
//! the server lives, also when the process that started it was killed.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use tokio::time::Instant;

/// A server killed just now, or a child it forked to rewrite its log, may take a moment to be gone.
const WAIT: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(20);

/// The right to run a server on a folder.
#[derive(Debug)]
pub(crate) struct DataDirLock(File);

impl DataDirLock {
    /// Takes the lock of a folder.
    pub(crate) async fn take(data_dir: &Path, server: &str) -> anyhow::Result<Self> {
        let path = data_dir.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path);
        let mut file = file.with_context(|| format!("open the lock {}", path.display()))?;
        let limit = Instant::now() + WAIT;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) if Instant::now() < limit => tokio::time::sleep(POLL).await,
                Err(TryLockError::WouldBlock) => anyhow::bail!(
                    "another {server}{} runs on {}: end it first, or choose another data folder",
                    holder(&mut file),
                    data_dir.display(),
                ),
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("lock {}", path.display()));
                }
            }
        }
    }

    /// The file to hand to the server.
    pub(crate) fn file(&self) -> std::io::Result<File> {
        self.0.try_clone()
    }

    /// Leaves the lock to the server that holds its file, and notes its pid for whoever is refused.
    pub(crate) fn leave_to(mut self, pid: u32) -> std::io::Result<()> {
        self.0.set_len(0)?;
        self.0.rewind()?;
        writeln!(self.0, "{pid}")
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
    match read {
        Ok(_) if !text.trim().is_empty() => format!(" (pid {})", text.trim()),
        _ => String::new(),
    }
}
