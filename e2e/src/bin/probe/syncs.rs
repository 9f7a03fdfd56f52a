//! Counts what a server forces to disk, by strace attached to it. Without strace there are no counts, only rates.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::NamedTempFile;

/// strace at work. It slows the server several times over, so rates are never taken meanwhile.
pub(crate) struct Syncs {
    strace: Child,
    log: NamedTempFile,
}

impl Syncs {
    /// Attaches to a process; `None` where strace is missing or may not attach.
    pub(crate) fn attach(pid: u32) -> anyhow::Result<Option<Self>> {
        let log = NamedTempFile::new()?;
        let spawned = Command::new("strace")
            .args(["-f", "-e", "trace=fsync,fdatasync,openat", "-o"])
            .arg(log.path())
            .args(["-p", &pid.to_string()])
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut strace) = spawned else { return Ok(None) };
        let mut errors = BufReader::new(strace.stderr.take().context("stderr is piped")?);
        let mut greeting = String::new();
        errors.read_line(&mut greeting)?;
        if !greeting.contains("attached") {
            strace.wait()?;
            return Ok(None);
        }
        // It goes on to name new threads there: somebody has to read that.
        std::thread::spawn(move || errors.read_to_end(&mut Vec::new()));
        Ok(Some(Self { strace, log }))
    }

    /// Detaches and counts: fsync, fdatasync, and files opened to be written through.
    pub(crate) fn count(mut self) -> anyhow::Result<usize> {
        kill(Pid::from_raw(self.strace.id().try_into()?), Signal::SIGINT)?;
        self.strace.wait()?;
        let log = std::fs::read_to_string(self.log.path())?;
        Ok(log.lines().filter(|line| forces_to_disk(line)).count())
    }
}

fn forces_to_disk(line: &str) -> bool {
    // A call cut in two by another thread's is logged twice, the second time as "<... fsync resumed>".
    let syncs = line.contains(" fsync(") || line.contains(" fdatasync(");
    let writes_through = line.contains(" openat(") && (line.contains("O_SYNC") || line.contains("O_DSYNC"));
    syncs || writes_through
}
