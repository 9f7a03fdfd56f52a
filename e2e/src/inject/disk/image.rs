//! One file's bytes twice: as its server sees them, and as a power cut would leave them.

/// A file's bytes.
#[derive(Debug, Default)]
pub(super) struct Image {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// What was written since the last sync.
    fresh: Vec<(usize, usize)>,
    /// Whether it was made shorter since then.
    cut_short: bool,
}

impl Image {
    pub(super) fn len(&self) -> u64 {
        self.now.len() as u64
    }

    pub(super) fn read(&self, offset: u64, size: u32) -> &[u8] {
        let from = self.now.len().min(offset as usize);
        let to = self.now.len().min(from + size as usize);
        &self.now[from..to]
    }

    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        let from = offset as usize;
        let to = from + data.len();
        if self.now.len() < to {
            self.now.resize(to, 0);
        }
        self.now[from..to].copy_from_slice(data);
        match self.fresh.last_mut() {
            Some(last) if last.1 == from => last.1 = to,
            _ => self.fresh.push((from, to)),
        }
    }

    pub(super) fn resize(&mut self, len: u64) {
        let len = len as usize;
        if len < self.now.len() {
            self.cut_short = true;
            self.fresh.retain(|(from, _)| *from < len);
            for range in &mut self.fresh {
                range.1 = range.1.min(len);
            }
        } else if len > self.now.len() {
            self.fresh.push((self.now.len(), len));
        }
        self.now.resize(len, 0);
    }

    /// Bytes that a power cut would take.
    pub(super) fn unsynced(&self) -> u64 {
        self.fresh.iter().map(|(from, to)| (to - from) as u64).sum()
    }

    pub(super) fn is_synced(&self) -> bool {
        self.fresh.is_empty() && !self.cut_short
    }

    pub(super) fn sync(&mut self) {
        copy_changes(&self.now, &mut self.synced, &self.fresh, self.cut_short);
        self.settle();
    }

    /// Goes back to what was synced.
    pub(super) fn forget_unsynced(&mut self) -> u64 {
        let dropped = self.unsynced();
        if !self.is_synced() {
            copy_changes(&self.synced, &mut self.now, &self.fresh, self.cut_short);
            self.settle();
        }
        dropped
    }

    fn settle(&mut self) {
        self.fresh.clear();
        self.cut_short = false;
    }
}

/// Makes `to` what `from` is, where both differ in these ranges only, or anywhere.
fn copy_changes(from: &[u8], to: &mut Vec<u8>, ranges: &[(usize, usize)], anywhere: bool) {
    if anywhere {
        to.clear();
        to.extend_from_slice(from);
        return;
    }
    to.resize(from.len(), 0);
    for (start, end) in ranges {
        let (start, end) = (*start.min(&from.len()), *end.min(&from.len()));
        to[start..end].copy_from_slice(&from[start..end]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(image: &Image) -> &str {
        std::str::from_utf8(image.read(0, u32::MAX)).unwrap()
    }

    #[test]
    fn what_was_synced_stays_and_the_rest_goes() {
        let mut image = Image::default();
        image.write(0, b"one two");
        image.sync();
        image.write(4, b"TWO");
        image.write(7, b" three");
        assert_eq!((text(&image), image.unsynced()), ("one TWO three", 9));
        assert_eq!(image.forget_unsynced(), 9);
        assert_eq!((text(&image), image.is_synced()), ("one two", true));
    }

    #[test]
    fn truncation_that_was_not_synced_is_undone() {
        let mut image = Image::default();
        image.write(0, b"one two");
        image.sync();
        image.resize(3);
        image.write(3, b"!");
        assert_eq!((text(&image), image.is_synced()), ("one!", false));
        image.forget_unsynced();
        assert_eq!(text(&image), "one two");
        image.resize(3);
        image.sync();
        image.forget_unsynced();
        assert_eq!(text(&image), "one");
    }

    #[test]
    fn file_that_was_never_synced_is_empty_after_a_cut() {
        let mut image = Image::default();
        image.write(2, b"one");
        assert_eq!(image.read(0, 3), b"\0\0o");
        image.forget_unsynced();
        assert_eq!(image.len(), 0);
    }
}
