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

use crate::{ledger::Counts, tally::Tally, timeline::Step};

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
            let mut ticks = tokio::time::interval(EVERY);
            loop {
                ticks.tick().await;
                let lines: Vec<String> = loads.iter().filter_map(|(name, tally)| read(name, tally)).collect();
                if !lines.is_empty() {
                    shown.store(true, Ordering::Relaxed);
                    show(&lines);
                }
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

fn read(name: &str, tally: &Tally) -> Option<String> {
    tally.read(|pages| Some(line(name, pages.timeline.last()?, &pages.ledger.counts())))
}

fn line(name: &str, step: &Step, counts: &Counts) -> String {
    let millis = |time: Option<f64>| time.map_or_else(|| "–".to_owned(), |time| format!("{time:.1} ms"));
    format!(
        "{name}  {}/s  {} errors/s  p50 {}  p99 {}  {} in flight  {} ended  {} lost  {} wrong",
        step.ended,
        step.errors,
        millis(step.p50_ms),
        millis(step.p99_ms),
        step.in_flight,
        counts.terminal,
        counts.lost_in_all(),
        counts.wrong,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_tells_the_second_and_the_sum() {
        let step = Step {
            at_s: 3.0,
            ended: 120,
            errors: 2,
            in_flight: 16,
            p50_ms: Some(12.34),
            p99_ms: None,
        };
        let counts = Counts {
            terminal: 400,
            wrong: 1,
            ..Counts::default()
        };
        let told = line("steady", &step, &counts);
        let wanted = "steady  120/s  2 errors/s  p50 12.3 ms  p99 –  16 in flight  400 ended  0 lost  1 wrong";
        assert_eq!(told, wanted);
    }
}
