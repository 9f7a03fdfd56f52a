//! What a disk holds and in which state it is, and what writes and syncs then do. It answers nobody.

use std::sync::{Mutex, MutexGuard, PoisonError};

use fuser::{Errno, OpenFlags, ReplyEmpty, ReplyWrite};
use nix::libc;

use super::{Harm, tree::Tree};

/// Who is kept waiting until the power is cut.
#[derive(Debug)]
pub(super) enum Waiting {
    Sync(ReplyEmpty),
    Write(ReplyWrite),
}

/// Whether there is power, and whether it is about to go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Power {
    #[default]
    On,
    /// No sync comes back any more.
    Fading,
    /// Nothing is written any more.
    Off,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) tree: Tree,
    pub(super) power: Power,
    pub(super) waiting: Vec<Waiting>,
    /// Bytes that all files together may have.
    pub(super) room: Option<u64>,
    pub(super) harm: Harm,
}

impl State {
    pub(super) fn powered(&self) -> Result<(), Errno> {
        if self.power == Power::Off {
            Err(Errno::EIO)
        } else {
            Ok(())
        }
    }

    /// Room for a file of a new length.
    pub(super) fn room_for(&mut self, number: u64, len: u64) -> Result<(), Errno> {
        let growth = len.saturating_sub(self.tree.file(number)?.len());
        if growth > 0 && self.room.is_some_and(|room| self.tree.bytes() + growth > room) {
            self.harm.writes_refused += 1;
            return Err(Errno::ENOSPC);
        }
        Ok(())
    }

    pub(super) fn write(&mut self, number: u64, (offset, data): (u64, &[u8]), flags: OpenFlags) -> Result<(), Errno> {
        self.powered()?;
        let appends = flags.0 & libc::O_APPEND != 0;
        // the kernel's idea of a file's end may be from before a cut
        let offset = if appends { self.tree.file(number)?.len() } else { offset };
        self.room_for(number, offset + data.len() as u64)?;
        self.tree.file_mut(number)?.write(offset, data);
        Ok(())
    }

    /// Syncs a file, or says that its server is to wait for the end.
    pub(super) fn sync(&mut self, number: u64) -> Result<bool, Errno> {
        self.powered()?;
        let image = self.tree.file_mut(number)?;
        if self.power == Power::Fading && !image.is_synced() {
            return Ok(false);
        }
        image.sync();
        Ok(true)
    }

    pub(super) fn resize(&mut self, number: u64, len: u64) -> Result<(), Errno> {
        self.powered()?;
        self.room_for(number, len)?;
        self.tree.file_mut(number)?.resize(len);
        Ok(())
    }
}

/// Nobody panics with the lock in his hands and half a change made.
pub(super) fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
