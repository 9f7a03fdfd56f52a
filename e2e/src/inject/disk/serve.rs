//! What the kernel asks of a disk, and the answers. Nothing is cached in the kernel: after a cut it would remember what is
//! gone.

use std::{
    ffi::OsStr,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use nix::{
    libc,
    unistd::{getgid, getuid},
};

use super::{
    image::Image,
    state::{State, Waiting, locked},
    tree::{Kind, Tree},
};

/// How long the kernel may believe an answer.
const NEVER: Duration = Duration::ZERO;
const HANDLE: FileHandle = FileHandle(0);
const BLOCK: u32 = 4096;
/// The size it says it has where none is set: 64 GiB.
const LARGE: u64 = 64 << 30;

/// A disk as the kernel sees it.
pub(super) struct Served(pub(super) Arc<Mutex<State>>);

fn attr(tree: &Tree, number: u64) -> Result<FileAttr, Errno> {
    let node = tree.node(number)?;
    let (kind, size) = match &node.kind {
        Kind::File(image) => (FileType::RegularFile, image.len()),
        Kind::Folder(_) => (FileType::Directory, 0),
    };
    Ok(FileAttr {
        ino: INodeNo(number),
        size,
        blocks: size.div_ceil(512),
        atime: node.changed,
        mtime: node.changed,
        ctime: node.changed,
        crtime: UNIX_EPOCH,
        kind,
        perm: node.mode,
        nlink: 1,
        uid: getuid().as_raw(),
        gid: getgid().as_raw(),
        rdev: 0,
        blksize: BLOCK,
        flags: 0,
    })
}

fn empty(done: Result<(), Errno>, reply: ReplyEmpty) {
    match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

fn entry(found: Result<FileAttr, Errno>, reply: ReplyEntry) {
    match found {
        Ok(attr) => reply.entry(&NEVER, &attr, Generation(0)),
        Err(error) => reply.error(error),
    }
}

impl State {
    fn add(&mut self, parent: INodeNo, name: &OsStr, kind: Kind, mode: u32) -> Result<FileAttr, Errno> {
        self.powered()?;
        let number = self.tree.add(parent.0, name, kind, (mode & 0o7777) as u16)?;
        attr(&self.tree, number)
    }
}

impl Filesystem for Served {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let tree = &locked(&self.0).tree;
        let found = tree.lookup(parent.0, name);
        entry(found.and_then(|number| attr(tree, number)), reply);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match attr(&locked(&self.0).tree, ino.0) {
            Ok(attr) => reply.attr(&NEVER, &attr),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let state = &mut *locked(&self.0);
        let resized = size.map_or(Ok(()), |size| state.resize(ino.0, size));
        let changed = resized.and_then(|()| {
            if let Some(mode) = mode {
                state.tree.node_mut(ino.0)?.mode = (mode & 0o7777) as u16;
            }
            attr(&state.tree, ino.0)
        });
        match changed {
            Ok(attr) => reply.attr(&NEVER, &attr),
            Err(error) => reply.error(error),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, _umask: u32, reply: ReplyEntry) {
        entry(
            locked(&self.0).add(parent, name, Kind::Folder(Default::default()), mode),
            reply,
        );
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut state = locked(&self.0);
        let done = state.powered().and_then(|()| state.tree.unlink(parent.0, name));
        empty(done, reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut state = locked(&self.0);
        let done = state.powered().and_then(|()| state.tree.rmdir(parent.0, name));
        empty(done, reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !flags.is_empty() {
            return reply.error(Errno::EINVAL);
        }
        let mut state = locked(&self.0);
        let (from, to) = ((parent.0, name), (newparent.0, newname));
        let done = state.powered().and_then(|()| state.tree.rename(from, to));
        empty(done, reply);
    }

    fn open(&self, _: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        match locked(&self.0).tree.open(ino.0) {
            Ok(()) => reply.opened(HANDLE, FopenFlags::FOPEN_DIRECT_IO),
            Err(error) => reply.error(error),
        }
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let mut state = locked(&self.0);
        let made = state.add(parent, name, Kind::File(Image::default()), mode);
        match made.and_then(|attr| state.tree.open(attr.ino.0).map(|()| attr)) {
            Ok(attr) => reply.created(&NEVER, &attr, Generation(0), HANDLE, FopenFlags::FOPEN_DIRECT_IO),
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match locked(&self.0).tree.file(ino.0) {
            Ok(image) => reply.data(image.read(offset, size)),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        flags: OpenFlags,
        _lock: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let state = &mut *locked(&self.0);
        // O_SYNC contains it
        let syncs = flags.0 & libc::O_DSYNC != 0;
        let written = state.write(ino.0, (offset, data), flags);
        match written.and_then(|()| if syncs { state.sync(ino.0) } else { Ok(true) }) {
            Ok(true) => reply.written(data.len() as u32),
            Ok(false) => state.waiting.push(Waiting::Write(reply)),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _: &Request, _ino: INodeNo, _fh: FileHandle, _lock: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        _flags: OpenFlags,
        _lock: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        locked(&self.0).tree.close(ino.0);
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        let state = &mut *locked(&self.0);
        match state.sync(ino.0) {
            Ok(true) => reply.ok(),
            Ok(false) => state.waiting.push(Waiting::Sync(reply)),
            Err(error) => reply.error(error),
        }
    }

    fn fsyncdir(&self, _: &Request, _ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        empty(locked(&self.0).powered(), reply);
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let state = locked(&self.0);
        let names = match state.tree.folder(ino.0) {
            Ok(names) => names,
            Err(error) => return reply.error(error),
        };
        let dots = [".", ".."].map(|name| (ino.0, FileType::Directory, OsStr::new(name)));
        let named = names.iter().map(|(name, number)| {
            let kind = match state.tree.folder(*number) {
                Ok(_) => FileType::Directory,
                Err(_) => FileType::RegularFile,
            };
            (*number, kind, name.as_os_str())
        });
        for (place, (number, kind, name)) in dots.into_iter().chain(named).enumerate().skip(offset as usize) {
            if reply.add(INodeNo(number), place as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        let state = locked(&self.0);
        let (used, room) = (state.tree.bytes(), state.room.unwrap_or(LARGE));
        let blocks = |bytes: u64| bytes / u64::from(BLOCK);
        let free = blocks(room.saturating_sub(used));
        reply.statfs(blocks(room), free, free, 1 << 20, 1 << 20, BLOCK, 255, BLOCK);
    }
}
