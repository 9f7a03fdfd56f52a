//! Replies that the client has not read yet. Some clients read nothing before they have sent everything, so what they leave
//! goes to a file without a name; only past the file's bound, or if it cannot be written, are they waited for.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::body::Bytes;
use bytes::BytesMut;
use futures_util::{Stream, stream};
use tokio::sync::Notify;

/// So much is kept in memory.
const IN_MEMORY: usize = 1 << 20;
/// So much is read from the file at once.
const READ: u64 = 256 << 10;

/// What is between who writes replies and who reads them.
#[derive(Debug)]
struct Between {
    unread: Mutex<Unread>,
    /// There is something more to read, or nothing will come.
    written: Notify,
    /// There is more room, or nobody reads any more.
    read: Notify,
}

#[derive(Debug, Default)]
struct Unread {
    /// The older part of it: these bytes of the file.
    filed: std::ops::Range<u64>,
    file: Option<Arc<File>>,
    memory: BytesMut,
    /// The writer is done.
    finished: bool,
    /// The reader is gone.
    abandoned: bool,
}

impl Unread {
    /// Where the next bytes go in the file: once all of it is read, it begins anew.
    fn end_of_file(&self) -> u64 {
        if self.filed.is_empty() { 0 } else { self.filed.end }
    }
}

impl Between {
    fn unread(&self) -> MutexGuard<'_, Unread> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes replies. Dropping it is their end.
#[derive(Debug)]
pub(super) struct Spool {
    between: Arc<Between>,
    /// The most bytes that the file may have.
    max_file: u64,
    /// How long a reader may take to make room.
    patience: Duration,
}

/// Why no more replies can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NobodyReads;

/// A spool, and what is written to it as a stream.
pub(super) fn spool(
    max_file: u64,
    patience: Duration,
) -> (Spool, impl Stream<Item = io::Result<Bytes>> + Send + use<>) {
    let between = Arc::new(Between {
        unread: Mutex::default(),
        written: Notify::new(),
        read: Notify::new(),
    });
    let reader = Reader(Arc::clone(&between));
    let spool = Spool {
        between,
        max_file,
        patience,
    };
    let read = stream::unfold(reader, async |reader| {
        let bytes = reader.next().await.transpose()?;
        Some((bytes, reader))
    });
    (spool, read)
}

impl Spool {
    /// Adds to what is to be read. Waits only where there is no room on disk.
    ///
    /// # Errors
    /// The reader is gone, or reads nothing for longer than is waited.
    pub(super) async fn write(&self, bytes: &[u8]) -> Result<(), NobodyReads> {
        loop {
            let (full, filed) = {
                let mut unread = self.between.unread();
                if unread.abandoned {
                    return Err(NobodyReads);
                }
                if unread.memory.len() < IN_MEMORY {
                    unread.memory.extend_from_slice(bytes);
                    drop(unread);
                    self.between.written.notify_one();
                    return Ok(());
                }
                (unread.memory.len() as u64, unread.end_of_file())
            };
            if filed + full <= self.max_file && self.file().await.is_ok() {
                continue;
            }
            let read = tokio::time::timeout(self.patience, self.between.read.notified()).await;
            read.map_err(|_| NobodyReads)?;
        }
    }

    /// Puts what is in memory behind what is in the file.
    async fn file(&self) -> io::Result<()> {
        let (mut file, memory, at) = {
            let mut unread = self.between.unread();
            // the reader takes nothing newer than the file's meanwhile, since nothing newer is there
            let memory = std::mem::take(&mut unread.memory).freeze();
            (unread.file.clone(), memory, unread.end_of_file())
        };
        let bytes = memory.clone();
        let written = tokio::task::spawn_blocking(move || {
            let file = match file.take() {
                Some(file) => file,
                None => Arc::new(tempfile::tempfile()?),
            };
            file.write_all_at(&bytes, at)?;
            Ok(file)
        });
        let written: io::Result<Arc<File>> = written.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        let mut unread = self.between.unread();
        match written {
            Ok(file) => {
                unread.file = Some(file);
                let end = at + memory.len() as u64;
                unread.filed = if at == 0 { 0..end } else { unread.filed.start..end };
                drop(unread);
                self.between.written.notify_one();
                Ok(())
            }
            Err(error) => {
                tracing::warn!(%error, "replies cannot be kept on disk; waiting for the client to read");
                unread.memory = BytesMut::from(memory);
                Err(error)
            }
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.between.unread().finished = true;
        self.between.written.notify_one();
    }
}

struct Reader(Arc<Between>);

impl Reader {
    /// The oldest that is unread; `None` at the end.
    async fn next(&self) -> io::Result<Option<Bytes>> {
        loop {
            let filed = {
                let mut unread = self.0.unread();
                if unread.filed.is_empty() && !unread.memory.is_empty() {
                    let bytes = unread.memory.split().freeze();
                    drop(unread);
                    self.0.read.notify_one();
                    return Ok(Some(bytes));
                }
                if unread.filed.is_empty() && unread.finished {
                    return Ok(None);
                }
                unread
                    .file
                    .clone()
                    .filter(|_| !unread.filed.is_empty())
                    .map(|file| (file, unread.filed.clone()))
            };
            match filed {
                Some((file, filed)) => return self.from(file, filed).await.map(Some),
                None => self.0.written.notified().await,
            }
        }
    }

    async fn from(&self, file: Arc<File>, filed: std::ops::Range<u64>) -> io::Result<Bytes> {
        let length = READ.min(filed.end - filed.start);
        let bytes = tokio::task::spawn_blocking(move || {
            let mut bytes = vec![0; length as usize];
            file.read_exact_at(&mut bytes, filed.start)?;
            Ok(Bytes::from(bytes))
        });
        let bytes: io::Result<Bytes> = bytes.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        let mut unread = self.0.unread();
        unread.filed.start += length;
        drop(unread);
        self.0.read.notify_one();
        bytes
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.unread().abandoned = true;
        self.0.read.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// A reply of 100 bytes.
    fn reply(index: usize) -> Vec<u8> {
        format!("{index:99}\n").into_bytes()
    }

    async fn write(spool: &Spool, replies: std::ops::Range<usize>) {
        for index in replies {
            spool.write(&reply(index)).await.unwrap();
        }
    }

    fn assert_all(read: &[u8], replies: usize) {
        assert_eq!(read.len(), replies * 100);
        for (index, read) in read.chunks(100).enumerate() {
            assert_eq!(read, reply(index));
        }
    }

    async fn rest(read: impl Stream<Item = io::Result<Bytes>>) -> Vec<u8> {
        let chunks: Vec<_> = read.map(Result::unwrap).collect().await;
        chunks.concat()
    }

    #[tokio::test]
    async fn what_nobody_reads_goes_to_disk_and_comes_in_order() {
        let (spool, read) = spool(1 << 30, PATIENCE);
        write(&spool, 0..100_000).await;
        {
            let unread = spool.between.unread();
            assert!(unread.memory.len() <= IN_MEMORY + 100 && unread.filed.end > 8 << 20);
        }
        drop(spool);
        assert_all(&rest(read).await, 100_000);
    }

    #[tokio::test]
    async fn reader_and_writer_at_once_leave_no_gap() {
        let (spool, read) = spool(1 << 30, PATIENCE);
        let writer = async move {
            for burst in 0..40 {
                write(&spool, burst * 5000..(burst + 1) * 5000).await;
                tokio::task::yield_now().await;
            }
        };
        let slow = read.then(|bytes| async {
            tokio::task::yield_now().await;
            bytes
        });
        let (read, ()) = tokio::join!(rest(slow), writer);
        assert_all(&read, 200_000);
    }

    #[tokio::test]
    async fn past_the_files_bound_the_writer_waits_for_the_reader() {
        let (spool, read) = spool(2 << 20, PATIENCE);
        let mut writer = Box::pin(async {
            write(&spool, 0..50_000).await;
            drop(spool);
        });
        for _ in 0..100 {
            assert!(
                (&mut writer).now_or_never().is_none(),
                "three MiB have room, five have not"
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let (read, ()) = tokio::join!(rest(read), writer);
        assert_all(&read, 50_000);
    }

    #[tokio::test]
    async fn without_a_reader_the_writer_gives_up() {
        let (spool, _unread) = spool(0, Duration::from_millis(10));
        let write_all = async {
            loop {
                spool.write(&reply(0)).await?;
            }
        };
        let given_up: Result<(), NobodyReads> = write_all.await;
        assert_eq!(given_up, Err(NobodyReads), "he does not read");
        let (spool, read) = super::spool(1 << 30, PATIENCE);
        drop(read);
        assert_eq!(spool.write(b"x").await, Err(NobodyReads), "he is gone");
    }
}
