//! What a process costs, read from /proc.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// Linux counts CPU time for user space in hundredths of a second on every architecture we run on.
const TICK: Duration = Duration::from_millis(10);

/// CPU time of a process over a span.
pub(crate) struct Meter {
    pid: u32,
    since: Instant,
    cpu: Duration,
}

impl Meter {
    /// Begins to count.
    pub(crate) fn start(pid: u32) -> anyhow::Result<Self> {
        Ok(Self {
            pid,
            since: Instant::now(),
            cpu: cpu_time(pid)?,
        })
    }

    /// Percent of one core since the start.
    pub(crate) fn percent(&self) -> anyhow::Result<f64> {
        let used = cpu_time(self.pid)?.saturating_sub(self.cpu);
        Ok(100.0 * used.as_secs_f64() / self.since.elapsed().as_secs_f64())
    }
}

/// Bytes resident in memory.
pub(crate) fn resident(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line
        .and_then(|rest| rest.trim().split(' ').next())
        .context("no VmRSS")?
        .parse()?;
    Ok(kib * 1024)
}

/// Bytes that the files below a folder take on the disk.
pub(crate) fn on_disk(folder: &Path) -> anyhow::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        // A file may go between the listing and the look.
        let Ok(metadata) = entry.metadata() else { continue };
        bytes += if metadata.is_dir() {
            on_disk(&entry.path()).unwrap_or(0)
        } else {
            metadata.blocks() * 512
        };
    }
    Ok(bytes)
}

fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold blanks; user and system time are the 14th and 15th field, proc(5).
    let (_, rest) = stat.rsplit_once(')').context("no name in stat")?;
    let mut ticks = 0;
    for field in rest.split_whitespace().skip(11).take(2) {
        ticks += field.parse::<u32>()?;
    }
    Ok(TICK * ticks)
}
