//! The thread that starts every child process, so that the kernel ends them with us.
//!
//! On Linux a child asks for SIGKILL at the death of its parent, and the kernel's parent is the *thread* that forked it. A
//! thread of the runtime may end before the process does; this one does not.

use std::io;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::mpsc;

use tokio::process::Child;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

type Start = Box<dyn FnOnce() + Send>;

/// Starts a child which dies when this process does (on Linux; elsewhere only a dropped handle ends it).
pub(crate) async fn spawn(mut command: Command) -> io::Result<Child> {
    #[cfg(target_os = "linux")]
    die_with_parent(&mut command);
    let runtime = Handle::current();
    let (reply, answer) = oneshot::channel();
    let start = Box::new(move || {
        let _context = runtime.enter();
        let child = tokio::process::Command::from(command).kill_on_drop(true).spawn();
        // Nobody waits any more: the child comes back in the error and is killed by its drop.
        let _ = reply.send(child);
    });
    let ended = || io::Error::other("the spawner thread has ended");
    thread()?.send(start).map_err(|_| ended())?;
    answer.await.map_err(|_| ended())?
}

fn thread() -> io::Result<&'static mpsc::Sender<Start>> {
    static THREAD: OnceLock<mpsc::Sender<Start>> = OnceLock::new();
    if let Some(sender) = THREAD.get() {
        return Ok(sender);
    }
    let (sender, starts) = mpsc::channel::<Start>();
    std::thread::Builder::new()
        .name("spawner".to_owned())
        .spawn(move || starts.into_iter().for_each(|start| start()))?;
    // Of two first callers one loses; its thread ends with its sender, before it has started anything.
    Ok(THREAD.get_or_init(|| sender))
}

/// Makes the kernel kill the child when the spawner thread, that is this process, has died.
#[cfg(target_os = "linux")]
#[allow(
    unsafe_code,
    reason = "only between fork and exec can a child ask for its parent's death signal"
)]
fn die_with_parent(command: &mut Command) {
    use std::os::unix::process::CommandExt;

    use nix::errno::Errno;
    use nix::sys::prctl::set_pdeathsig;
    use nix::sys::signal::Signal;
    use nix::unistd::{getpid, getppid};

    let parent = getpid();
    let ask = move || {
        set_pdeathsig(Signal::SIGKILL)?;
        // The parent may have died before it was asked for.
        if getppid() == parent {
            Ok(())
        } else {
            Err(Errno::ESRCH.into())
        }
    };
    // SAFETY: the closure runs between fork and exec, where only async-signal-safe calls are allowed: it makes two system
    // calls, allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(ask);
    }
}
