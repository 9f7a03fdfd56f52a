//! The files and folders of a disk, by number and by name. It knows no FUSE but its error codes.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::{OsStr, OsString},
    time::SystemTime,
};

use fuser::Errno;

use super::image::Image;

/// The number of the folder that everything is in.
const ROOT: u64 = 1;

/// What a number stands for.
#[derive(Debug)]
pub(super) enum Kind {
    File(Image),
    Folder(BTreeMap<OsString, u64>),
}

/// A file or folder.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) mode: u16,
    pub(super) changed: SystemTime,
    /// Who has it open: it outlives its name by them.
    opened: u32,
    named: bool,
}

impl Node {
    fn new(kind: Kind, mode: u16) -> Self {
        Self {
            kind,
            mode,
            changed: SystemTime::now(),
            opened: 0,
            named: true,
        }
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: HashMap<u64, Node>,
    next: u64,
}

impl Default for Tree {
    fn default() -> Self {
        let root = Node::new(Kind::Folder(BTreeMap::new()), 0o755);
        Self {
            nodes: HashMap::from([(ROOT, root)]),
            next: ROOT + 1,
        }
    }
}

impl Tree {
    pub(super) fn node(&self, number: u64) -> Result<&Node, Errno> {
        self.nodes.get(&number).ok_or(Errno::ENOENT)
    }

    pub(super) fn node_mut(&mut self, number: u64) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(&number).ok_or(Errno::ENOENT)
    }

    pub(super) fn file(&self, number: u64) -> Result<&Image, Errno> {
        match &self.node(number)?.kind {
            Kind::File(image) => Ok(image),
            Kind::Folder(_) => Err(Errno::EISDIR),
        }
    }

    /// The file, which is about to change.
    pub(super) fn file_mut(&mut self, number: u64) -> Result<&mut Image, Errno> {
        let node = self.node_mut(number)?;
        node.changed = SystemTime::now();
        match &mut node.kind {
            Kind::File(image) => Ok(image),
            Kind::Folder(_) => Err(Errno::EISDIR),
        }
    }

    pub(super) fn folder(&self, number: u64) -> Result<&BTreeMap<OsString, u64>, Errno> {
        match &self.node(number)?.kind {
            Kind::Folder(names) => Ok(names),
            Kind::File(_) => Err(Errno::ENOTDIR),
        }
    }

    fn folder_mut(&mut self, number: u64) -> Result<&mut BTreeMap<OsString, u64>, Errno> {
        let node = self.node_mut(number)?;
        node.changed = SystemTime::now();
        match &mut node.kind {
            Kind::Folder(names) => Ok(names),
            Kind::File(_) => Err(Errno::ENOTDIR),
        }
    }

    pub(super) fn lookup(&self, parent: u64, name: &OsStr) -> Result<u64, Errno> {
        self.folder(parent)?.get(name).copied().ok_or(Errno::ENOENT)
    }

    pub(super) fn add(&mut self, parent: u64, name: &OsStr, kind: Kind, mode: u16) -> Result<u64, Errno> {
        let number = self.next;
        let names = self.folder_mut(parent)?;
        if names.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        names.insert(name.to_owned(), number);
        self.nodes.insert(number, Node::new(kind, mode));
        self.next += 1;
        Ok(number)
    }

    pub(super) fn open(&mut self, number: u64) -> Result<(), Errno> {
        self.node_mut(number)?.opened += 1;
        Ok(())
    }

    pub(super) fn close(&mut self, number: u64) {
        if let Some(node) = self.nodes.get_mut(&number) {
            node.opened = node.opened.saturating_sub(1);
            self.collect(number);
        }
    }

    pub(super) fn unlink(&mut self, parent: u64, name: &OsStr) -> Result<(), Errno> {
        let number = self.lookup(parent, name)?;
        self.file(number)?;
        self.take_name(parent, name)
    }

    pub(super) fn rmdir(&mut self, parent: u64, name: &OsStr) -> Result<(), Errno> {
        let number = self.lookup(parent, name)?;
        if !self.folder(number)?.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        self.take_name(parent, name)
    }

    pub(super) fn rename(&mut self, from: (u64, &OsStr), to: (u64, &OsStr)) -> Result<(), Errno> {
        let number = self.lookup(from.0, from.1)?;
        match self.lookup(to.0, to.1) {
            Ok(same) if same == number => return Ok(()),
            Ok(other) if self.folder(other).is_ok() => self.rmdir(to.0, to.1)?,
            Ok(_) => self.unlink(to.0, to.1)?,
            Err(_) => {}
        }
        self.folder_mut(to.0)?.insert(to.1.to_owned(), number);
        self.folder_mut(from.0)?.remove(from.1);
        Ok(())
    }

    fn take_name(&mut self, parent: u64, name: &OsStr) -> Result<(), Errno> {
        let number = self.folder_mut(parent)?.remove(name).ok_or(Errno::ENOENT)?;
        self.node_mut(number)?.named = false;
        self.collect(number);
        Ok(())
    }

    /// What has neither a name nor anybody who has it open is gone.
    fn collect(&mut self, number: u64) {
        let gone = |node: &Node| !node.named && node.opened == 0;
        if self.nodes.get(&number).is_some_and(gone) {
            self.nodes.remove(&number);
        }
    }

    /// What all files take.
    pub(super) fn bytes(&self) -> u64 {
        let len = |node: &Node| match &node.kind {
            Kind::File(image) => image.len(),
            Kind::Folder(_) => 0,
        };
        self.nodes.values().map(len).sum()
    }

    /// Takes every file back to what was synced.
    pub(super) fn forget_unsynced(&mut self) -> u64 {
        let forget = |node: &mut Node| match &mut node.kind {
            Kind::File(image) => image.forget_unsynced(),
            Kind::Folder(_) => 0,
        };
        self.nodes.values_mut().map(forget).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Kind {
        Kind::File(Image::default())
    }

    #[test]
    fn renamed_file_replaces_another_and_open_ones_outlive_their_names() {
        let mut tree = Tree::default();
        let (old, new) = (OsStr::new("old"), OsStr::new("new"));
        let replaced = tree.add(ROOT, old, file(), 0o644).unwrap();
        let number = tree.add(ROOT, new, file(), 0o644).unwrap();
        tree.open(replaced).unwrap();
        tree.rename((ROOT, new), (ROOT, old)).unwrap();
        assert_eq!(tree.lookup(ROOT, old).unwrap(), number);
        assert!(tree.lookup(ROOT, new).is_err());
        assert!(tree.file(replaced).is_ok());
        tree.close(replaced);
        assert!(tree.file(replaced).is_err());
    }

    #[test]
    fn only_what_was_synced_is_left_of_every_file() {
        let mut tree = Tree::default();
        let folder = tree
            .add(ROOT, OsStr::new("folder"), Kind::Folder(BTreeMap::new()), 0o755)
            .unwrap();
        let number = tree.add(folder, OsStr::new("file"), file(), 0o644).unwrap();
        tree.file_mut(number).unwrap().write(0, b"kept");
        tree.file_mut(number).unwrap().sync();
        tree.file_mut(number).unwrap().write(4, b" lost");
        assert_eq!((tree.bytes(), tree.forget_unsynced(), tree.bytes()), (9, 5, 4));
        assert!(tree.rmdir(ROOT, OsStr::new("folder")).is_err());
    }
}
