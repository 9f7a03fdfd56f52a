//! A disk for one server's data folder, whose power can be cut and which can be full: a FUSE file system in memory.
//!
//! What it keeps over a cut, on purpose no more than a journalling file system promises:
//! - a file's bytes and length as they were at its last fsync, fdatasync or write by `O_SYNC`; everything since is dropped,
//!   truncations too, also when the file was renamed meanwhile (a file system that flushes what replaces another is kinder);
//! - names: create, mkdir, rename and unlink are durable at once and in order, as if a journal committed each.
//!
//! So it finds every acknowledgement that went ahead of its fsync, and no missing fsync of a folder. It tears no write: what
//! was not synced is gone as a whole.

mod image;
mod serve;
mod state;
mod tree;

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use anyhow::Context;
use fuser::{BackgroundSession, Errno, MountOption};

use self::{
    serve::Served,
    state::{Power, State, Waiting, locked},
};

/// What it has done to its server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Harm {
    /// Bytes that were written and not synced when the power was cut.
    pub bytes_dropped: u64,
    /// Syncs that were under way when the power was cut.
    pub syncs_cut: u64,
    /// Writes that found no room.
    pub writes_refused: u64,
}

/// The disk. Dropping it unmounts it.
#[derive(Debug)]
pub struct Disk {
    state: Arc<Mutex<State>>,
    _session: BackgroundSession,
}

impl Disk {
    /// An empty one at a folder, which is made.
    ///
    /// # Errors
    /// The machine lets us mount no FUSE file system.
    pub fn mount(at: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(at)?;
        let state = Arc::<Mutex<State>>::default();
        let mut config = fuser::Config::default();
        config.mount_options = vec![MountOption::FSName("gristmill-chaos".to_owned()), MountOption::NoAtime];
        let session = fuser::spawn_mount(Served(Arc::clone(&state)), at, &config);
        Ok(Self {
            state,
            _session: session
                .context("no FUSE file system can be mounted here (it takes /dev/fuse, and root or fusermount3)")?,
        })
    }

    /// From now on no sync that has something to do comes back, until the power is cut.
    pub fn hold_syncs(&self) {
        locked(&self.state).power = Power::Fading;
    }

    /// Syncs that do not come back.
    #[must_use]
    pub fn held(&self) -> usize {
        locked(&self.state).waiting.len()
    }

    /// Cuts the power: nothing is written from now on, and what was not synced is gone. The server has had its SIGKILL before,
    /// and can die only now if it waited for a sync.
    pub fn cut(&self) {
        let mut state = locked(&self.state);
        state.power = Power::Off;
        state.harm.bytes_dropped += state.tree.forget_unsynced();
        let waiting = std::mem::take(&mut state.waiting);
        state.harm.syncs_cut += waiting.len() as u64;
        drop(state);
        for reply in waiting {
            match reply {
                Waiting::Sync(reply) => reply.error(Errno::EIO),
                Waiting::Write(reply) => reply.error(Errno::EIO),
            }
        }
    }

    /// Gives the power back.
    pub fn power_on(&self) {
        locked(&self.state).power = Power::On;
    }

    /// Leaves room for so many more bytes than there are.
    pub fn fill_up_to(&self, spare: u64) {
        let mut state = locked(&self.state);
        state.room = Some(state.tree.bytes() + spare);
    }

    /// Takes the limit away.
    pub fn give_room(&self) {
        locked(&self.state).room = None;
    }

    /// What it has done so far.
    #[must_use]
    pub fn harm(&self) -> Harm {
        locked(&self.state).harm
    }
}

/// A server that waits for a sync could not be ended, and the folder not be unmounted.
impl Drop for Disk {
    fn drop(&mut self) {
        self.cut();
    }
}
