//! A body as lines, one by one as they arrive: little more of it is held than a line may have, before and after
//! decompression.

use std::{io::Write, time::Duration};

use axum::body::{Body, BodyDataStream, Bytes};
use bytes::{Buf, BytesMut};
use flate2::write::MultiGzDecoder;
use futures_util::StreamExt;
use gristmill_schemas::{Refusal, RefusalCode, Span};

use crate::http::body::{Encoding, not_gzip};

/// So many bytes are decompressed at once: they come to 4 MiB at most.
const SLICE: usize = 4 << 10;

/// The lines of a body.
pub(super) struct Lines {
    body: BodyDataStream,
    gzip: Option<Box<MultiGzDecoder<Vec<u8>>>>,
    /// Of the last chunk, what is not decompressed yet.
    packed: Bytes,
    /// What has arrived and is no line yet.
    rest: BytesMut,
    /// So many bytes of it hold no end of a line.
    searched: usize,
    /// Whether it belongs to a line that was refused for its length.
    skips: bool,
    /// Nothing more arrives.
    ended: bool,
    /// Why nothing more arrives, if that is not the body's end.
    broken: Option<Refusal>,
    max: usize,
    idle: Duration,
}

impl Lines {
    /// Lines of at most `max` bytes; no chunk may take longer than `idle` to arrive.
    pub(super) fn of(body: Body, encoding: Encoding, max: usize, idle: Span) -> Self {
        Self {
            body: body.into_data_stream(),
            gzip: match encoding {
                Encoding::Identity => None,
                Encoding::Gzip => Some(Box::new(MultiGzDecoder::new(Vec::new()))),
            },
            packed: Bytes::new(),
            rest: BytesMut::new(),
            searched: 0,
            skips: false,
            ended: false,
            broken: None,
            max,
            idle: idle.as_duration(),
        }
    }

    /// The next line without its end, or why it cannot be read: it is too long, or the body breaks off in it. Cancelling it loses
    /// nothing.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, Refusal>> {
        loop {
            if let Some(line) = self.cut() {
                return Some(line);
            }
            if self.ended {
                return self.last();
            }
            if self.packed.is_empty() {
                let chunk = tokio::time::timeout(self.idle, self.body.next()).await;
                self.arrived(chunk);
            } else {
                self.unpack();
            }
        }
    }

    /// A line of what has arrived.
    fn cut(&mut self) -> Option<Result<Bytes, Refusal>> {
        while let Some(found) = memchr::memchr(b'\n', &self.rest[self.searched..]) {
            let mut line = self.rest.split_to(self.searched + found);
            self.rest.advance(1);
            self.searched = 0;
            if std::mem::take(&mut self.skips) {
                continue;
            }
            if line.last() == Some(&b'\r') {
                line.truncate(line.len() - 1);
            }
            return Some(self.checked(line));
        }
        self.searched = self.rest.len();
        if self.skips {
            self.forget();
        } else if self.rest.len() > self.max {
            self.forget();
            self.skips = true;
            return Some(Err(self.too_long()));
        }
        None
    }

    /// What is left at the end.
    fn last(&mut self) -> Option<Result<Bytes, Refusal>> {
        if let Some(broken) = self.broken.take() {
            return Some(Err(broken));
        }
        let line = std::mem::take(&mut self.rest);
        self.searched = 0;
        (!line.is_empty() && !self.skips).then(|| self.checked(line))
    }

    fn checked(&self, line: BytesMut) -> Result<Bytes, Refusal> {
        if line.len() > self.max {
            return Err(self.too_long());
        }
        Ok(line.freeze())
    }

    fn too_long(&self) -> Refusal {
        let refusal = Refusal::new(RefusalCode::BodyTooLarge, "the line has more bytes than one may have");
        refusal.limit(format_args!("{} bytes", self.max))
    }

    fn forget(&mut self) {
        self.rest.clear();
        self.searched = 0;
    }

    fn arrived(&mut self, chunk: Result<Option<Result<Bytes, axum::Error>>, tokio::time::error::Elapsed>) {
        match chunk {
            Ok(Some(Ok(chunk))) if self.gzip.is_some() => self.packed = chunk,
            Ok(Some(Ok(chunk))) => self.rest.extend_from_slice(&chunk),
            Ok(Some(Err(_))) => self.breaks(Refusal::new(
                RefusalCode::MalformedBody,
                "the body ended before its end",
            )),
            Ok(None) => match self.gzip.as_mut().map_or(Ok(()), |gzip| gzip.try_finish()) {
                Ok(()) => {
                    // the last of it comes out only now
                    self.unpacked();
                    self.ended = true;
                }
                Err(_) => self.breaks(not_gzip()),
            },
            Err(_) => {
                let refusal = Refusal::new(RefusalCode::BodyTimeout, "the body did not go on in time");
                self.breaks(refusal.limit(humantime::format_duration(self.idle)));
            }
        }
    }

    fn unpack(&mut self) {
        let Some(gzip) = &mut self.gzip else { return };
        let slice = self.packed.split_to(SLICE.min(self.packed.len()));
        match gzip.write_all(&slice) {
            Ok(()) => self.unpacked(),
            Err(_) => self.breaks(not_gzip()),
        }
    }

    fn unpacked(&mut self) {
        if let Some(gzip) = &mut self.gzip {
            self.rest.extend_from_slice(gzip.get_ref());
            gzip.get_mut().clear();
        }
    }

    /// What has arrived of the last line is no line.
    fn breaks(&mut self, why: Refusal) {
        self.forget();
        self.packed.clear();
        (self.ended, self.broken) = (true, Some(why));
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};
    use futures_util::stream;

    use super::*;

    const MAX: usize = 20;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// The lines of a body that arrives in chunks of so many bytes; codes where there is none.
    async fn lines(bytes: &[u8], chunk: usize, encoding: Encoding) -> Vec<String> {
        let chunks: Vec<std::io::Result<Bytes>> = bytes
            .chunks(chunk)
            .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
            .collect();
        read(Body::from_stream(stream::iter(chunks)), encoding).await
    }

    async fn read(body: Body, encoding: Encoding) -> Vec<String> {
        let mut lines = Lines::of(body, encoding, MAX, Span::from_secs(5));
        let mut read = Vec::new();
        while let Some(line) = lines.next().await {
            read.push(match line {
                Ok(line) => String::from_utf8(line.to_vec()).unwrap(),
                Err(refusal) => refusal.code.row().word.to_owned(),
            });
        }
        read
    }

    #[tokio::test]
    async fn lines_are_the_same_however_they_arrive() {
        let body = b"one\r\n\ntwo\nthree is the last";
        let expected = ["one", "", "two", "three is the last"];
        for chunk in 1..=body.len() {
            assert_eq!(lines(body, chunk, Encoding::Identity).await, expected, "by {chunk}");
            assert_eq!(lines(&gzip(body), chunk, Encoding::Gzip).await, expected, "by {chunk}");
        }
        assert_eq!(lines(b"", 1, Encoding::Identity).await, [""; 0]);
        assert_eq!(lines(b"one\n", 9, Encoding::Identity).await, ["one"]);
    }

    #[tokio::test]
    async fn line_that_is_too_long_is_refused_once_and_the_next_one_is_read() {
        for length in [MAX + 1, 1000] {
            let body = [&vec![b'a'; length][..], b"\nnext\n", &[b'a'; MAX]].concat();
            for chunk in [1, 7, 5000] {
                let read = lines(&body, chunk, Encoding::Identity).await;
                assert_eq!(
                    read,
                    ["body_too_large", "next", &"a".repeat(MAX)],
                    "{length} by {chunk}"
                );
            }
        }
        assert_eq!(
            lines(&[b'a'; 1000], 100, Encoding::Identity).await,
            ["body_too_large"],
            "to the end"
        );
    }

    #[tokio::test]
    async fn bomb_is_skipped_by_the_slice() {
        let bomb = gzip(&[&vec![0; 64 << 20][..], b"\nnext"].concat());
        assert_eq!(lines(&bomb, 1 << 20, Encoding::Gzip).await, ["body_too_large", "next"]);
    }

    #[tokio::test]
    async fn what_breaks_off_is_no_line() {
        let broken: Vec<Result<Bytes, std::io::Error>> =
            vec![Ok(Bytes::from_static(b"one\ntw")), Err(std::io::Error::other("gone"))];
        let body = Body::from_stream(stream::iter(broken));
        assert_eq!(read(body, Encoding::Identity).await, ["one", "malformed_body"]);
        let cut = gzip(b"one\ntwo\n");
        let read = lines(&cut[..cut.len() - 8], 1000, Encoding::Gzip).await;
        assert_eq!(read.last().map(String::as_str), Some("malformed_body"));
        assert_eq!(lines(b"no gzip", 3, Encoding::Gzip).await, ["malformed_body"]);
    }

    #[tokio::test(start_paused = true)]
    async fn body_that_stalls_is_given_up() {
        let stalls = stream::once(async { Ok::<_, std::io::Error>(Bytes::from_static(b"one\ntw")) });
        let body = Body::from_stream(stalls.chain(stream::pending()));
        assert_eq!(read(body, Encoding::Identity).await, ["one", "body_timeout"]);
    }
}
