//! Holds a session's runs to `max_runtime`: one thread a session, which terminates a run that lasts longer and gives the
//! whole engine up when a terminated run does not end.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use ort::session::RunOptions;

use super::stop::{EngineStopped, Stop};

/// How long a terminated run may take to end: ONNX Runtime looks at the flag between two nodes of the graph, and one
/// node of a large model can take seconds.
const GRACE: Duration = Duration::from_secs(10);

/// One run of a session.
struct Watched {
    options: RunOptions,
    exceeded: AtomicBool,
}

/// A session's watchdog; its thread ends when this is dropped.
pub(super) struct Watchdog {
    /// A run begins, or has ended. The thread takes each at once, except while it waits out a run that it terminated.
    runs: mpsc::Sender<Option<Arc<Watched>>>,
}

impl Watchdog {
    pub(super) fn spawn(name: String, max_runtime: Duration, stop: Stop) -> io::Result<Self> {
        let (runs, receiver) = mpsc::channel();
        thread::Builder::new()
            .name(name)
            .spawn(move || watch(&receiver, max_runtime, &stop))?;
        Ok(Self { runs })
    }

    /// Runs something under watch: its result, and whether it was terminated.
    pub(super) fn watch<R>(&self, run: impl FnOnce(&RunOptions) -> R) -> ort::Result<(R, bool)> {
        let watched = Arc::new(Watched {
            options: RunOptions::new()?,
            exceeded: AtomicBool::new(false),
        });
        // the thread outlives this sender, unless it has given the engine up
        self.runs.send(Some(Arc::clone(&watched))).ok();
        let result = run(&watched.options);
        self.runs.send(None).ok();
        Ok((result, watched.exceeded.load(Ordering::SeqCst)))
    }
}

fn watch(runs: &mpsc::Receiver<Option<Arc<Watched>>>, max_runtime: Duration, stop: &Stop) {
    while let Ok(run) = runs.recv() {
        let Some(run) = run else { continue };
        if !lasts(runs, max_runtime) {
            continue;
        }
        run.exceeded.store(true, Ordering::SeqCst);
        if let Err(error) = run.options.terminate() {
            tracing::error!(error.message = %error, "a run past its time could not be terminated");
        }
        if lasts(runs, GRACE) {
            stop.stop(EngineStopped::Stuck);
            return;
        }
    }
}

/// Whether the run goes on for longer than this.
fn lasts(runs: &mpsc::Receiver<Option<Arc<Watched>>>, time: Duration) -> bool {
    matches!(runs.recv_timeout(time), Err(RecvTimeoutError::Timeout))
}
