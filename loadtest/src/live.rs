//! What goes on, for whoever looks at a terminal: a line a load on standard error, written anew each second.

use std::{
    io::{IsTerminal, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinHandle;

use crate::{ledger::Counts, report::Latency, tally::Tally};

const EVERY: Duration = Duration::from_secs(1);
/// Erases what is below the cursor.
const ERASE: &str = "\x1b[J";

/// The view; it ends, and leaves nothing behind, when this is dropped.
#[derive(Debug)]
pub(crate) struct Live {
    task: JoinHandle<()>,
    has_shown: Arc<AtomicBool>,
}

impl Live {
    /// Shows these loads, if anybody looks.
    pub(crate) fn start(loads: Vec<(String, Arc<Tally>)>) -> Option<Self> {
        if !std::io::stderr().is_terminal() {
            return None;
        }
        let has_shown = Arc::new(AtomicBool::new(false));
        let shown = Arc::clone(&has_shown);
        let task = tokio::spawn(async move {
            let mut before = vec![0; loads.len()];
            let mut ticks = tokio::time::interval(EVERY);
            ticks.tick().await;
            loop {
                ticks.tick().await;
                let lines: Vec<String> = loads
                    .iter()
                    .zip(&mut before)
                    .map(|((name, tally), before)| {
                        let (counts, times) = tally.read(|pages| (pages.ledger.counts(), pages.latencies.summary()));
                        let ended = counts.terminal - std::mem::replace(before, counts.terminal);
                        line(name, ended, &counts, times)
                    })
                    .collect();
                shown.store(true, Ordering::Relaxed);
                show(&lines);
            }
        });
        Some(Self { task, has_shown })
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.task.abort();
        if self.has_shown.load(Ordering::Relaxed) {
            // nobody is told that a terminal has gone
            let _ = write!(std::io::stderr(), "{ERASE}");
        }
    }
}

/// Writes the lines and goes back to where they begin.
fn show(lines: &[String]) {
    let (text, height) = (lines.join("\n"), lines.len());
    let _ = write!(std::io::stderr(), "{ERASE}{text}\n\x1b[{height}A");
}

/// So many jobs ended in the last second; everything else is of the load so far.
fn line(name: &str, ended: u64, counts: &Counts, times: Option<Latency>) -> String {
    let millis = |time: Option<f64>| time.map_or_else(|| "–".to_owned(), |time| format!("{time:.1} ms"));
    let (p50, p99) = (times.map(|times| times.p50), times.map(|times| times.p99));
    format!(
        "{name}  {ended}/s  p50 {}  p99 {}  {} in flight  {} ended  {} not well  {} lost  {} wrong",
        millis(p50),
        millis(p99),
        counts.unfinished,
        counts.terminal,
        counts.terminal - counts.succeeded,
        counts.lost_in_all(),
        counts.wrong,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_tells_the_second_and_the_sum() {
        let counts = Counts {
            terminal: 400,
            succeeded: 397,
            unfinished: 16,
            wrong: 1,
            ..Counts::default()
        };
        let wanted = "steady  120/s  p50 –  p99 –  16 in flight  400 ended  3 not well  0 lost  1 wrong";
        assert_eq!(line("steady", 120, &counts, None), wanted);
    }
}
