//! Reading a request's body: bounded in bytes before and after decompression, in time, and in what all of them hold.

use std::io::{self, Write};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, header},
};
use flate2::write::MultiGzDecoder;
use futures_util::StreamExt;
use gristmill_schemas::{Refusal, RefusalCode};

use crate::{
    admission::Held,
    config::{HttpArgs, LimitArgs},
};

/// What gzip adds to a body that cannot be made smaller.
const GZIP_OVERHEAD: usize = 64 << 10;

/// A body and the permit for the memory it takes.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    pub(crate) _held: Held,
}

/// Reads a body whole.
///
/// # Errors
/// `body_too_large`, `body_timeout`, `unsupported_media_type` (an encoding other than gzip), `malformed_body`,
/// `overloaded`.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    held: Held,
    (limits, http): (&LimitArgs, &HttpArgs),
) -> Result<Received, Refusal> {
    let room = Room {
        bytes: Vec::new(),
        max: limits.max_body_bytes,
        held,
        refusal: None,
    };
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let sink = match encoding(headers)? {
        Encoding::Identity if length.is_some_and(|length: usize| length > room.max) => return Err(room.too_large()),
        Encoding::Identity => Sink::Plain(room),
        Encoding::Gzip => Sink::Gzip(Box::new(MultiGzDecoder::new(room))),
    };
    let limit = http.body_timeout;
    let reading = tokio::time::timeout(limit.as_duration(), collect(body, sink, limits.max_body_bytes));
    reading.await.unwrap_or_else(|_| {
        let refusal = Refusal::new(RefusalCode::BodyTimeout, "the body did not arrive in time");
        Err(refusal.limit(limit))
    })
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
}

/// How a body is compressed, as its headers say.
///
/// # Errors
/// `unsupported_media_type`.
pub(crate) fn encoding(headers: &HeaderMap) -> Result<Encoding, Refusal> {
    let refused = || {
        let detail = "the body's Content-Encoding may be gzip, or none";
        Refusal::new(RefusalCode::UnsupportedMediaType, detail).at("Content-Encoding")
    };
    let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
    let Some(value) = values.next() else {
        return Ok(Encoding::Identity);
    };
    if values.next().is_some() {
        return Err(refused());
    }
    match value
        .to_str()
        .map_err(|_| refused())?
        .trim()
        .to_ascii_lowercase()
        .as_str()
    {
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        "identity" | "" => Ok(Encoding::Identity),
        _ => Err(refused()),
    }
}

async fn collect(body: Body, mut sink: Sink, max: usize) -> Result<Received, Refusal> {
    let mut arrived = 0;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Refusal::new(RefusalCode::MalformedBody, "the body ended before its end"))?;
        arrived += chunk.len();
        // members that hold nothing would otherwise come for ever
        if arrived > max.saturating_add(GZIP_OVERHEAD) {
            return Err(sink.room().too_large());
        }
        if sink.write_all(&chunk).is_err() {
            return Err(sink.refusal());
        }
    }
    sink.finish()
}

/// Where the bytes that arrive go.
enum Sink {
    Plain(Room),
    Gzip(Box<MultiGzDecoder<Room>>),
}

impl Sink {
    fn room(&mut self) -> &mut Room {
        match self {
            Self::Plain(room) => room,
            Self::Gzip(decoder) => decoder.get_mut(),
        }
    }

    fn write_all(&mut self, chunk: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(room) => room.write_all(chunk),
            Self::Gzip(decoder) => decoder.write_all(chunk),
        }
    }

    /// Why the last write failed: the room's reason, or that it is no gzip.
    fn refusal(&mut self) -> Refusal {
        self.room().refusal.take().unwrap_or_else(not_gzip)
    }

    fn finish(mut self) -> Result<Received, Refusal> {
        if let Self::Gzip(decoder) = &mut self
            && decoder.try_finish().is_err()
        {
            return Err(self.refusal());
        }
        let room = match self {
            Self::Plain(room) => room,
            Self::Gzip(decoder) => decoder.finish().map_err(|_| not_gzip())?,
        };
        Ok(Received {
            bytes: Bytes::from(room.bytes),
            _held: room.held,
        })
    }
}

pub(crate) fn not_gzip() -> Refusal {
    Refusal::new(RefusalCode::MalformedBody, "the body is not gzip, or not all of it")
}

/// The bytes of the body as it will be read, no more than it may have.
struct Room {
    bytes: Vec<u8>,
    max: usize,
    held: Held,
    refusal: Option<Refusal>,
}

impl Room {
    fn too_large(&self) -> Refusal {
        let refusal = Refusal::new(RefusalCode::BodyTooLarge, "the body has more bytes than one may have");
        refusal.limit(format_args!("{} bytes", self.max))
    }
}

impl Write for Room {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let grown = if bytes.len() > self.max - self.bytes.len() {
            Err(self.too_large())
        } else {
            self.held.grow(bytes.len())
        };
        if let Err(refusal) = grown {
            self.refusal = Some(refusal);
            return Err(io::Error::other("refused"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use flate2::{Compression, write::GzEncoder};
    use tokio::sync::Semaphore;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    async fn received(bytes: Vec<u8>, encoding: &'static str, max: usize) -> Result<Bytes, RefusalCode> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        let held = Held::of(&std::sync::Arc::new(Semaphore::new(1 << 20)));
        let room = Room {
            bytes: Vec::new(),
            max,
            held,
            refusal: None,
        };
        let sink = match super::encoding(&headers).map_err(|refusal| refusal.code)? {
            Encoding::Identity => Sink::Plain(room),
            Encoding::Gzip => Sink::Gzip(Box::new(MultiGzDecoder::new(room))),
        };
        let chunks: Vec<Result<Bytes, io::Error>> = bytes
            .chunks(1000)
            .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
            .collect();
        let body = Body::from_stream(futures_util::stream::iter(chunks));
        let received = collect(body, sink, max).await;
        received.map(|received| received.bytes).map_err(|refusal| refusal.code)
    }

    #[tokio::test]
    async fn gzip_is_read_and_may_be_in_members() {
        let text = b"grain ".repeat(500);
        let mut members = gzip(&text[..1000]);
        members.extend(gzip(&text[1000..]));
        assert_eq!(received(members, "gzip", 3000).await.unwrap(), text);
    }

    #[tokio::test]
    async fn bomb_is_refused_at_the_limit_and_not_after() {
        let bomb = gzip(&vec![0; 50 << 20]);
        assert!(bomb.len() < 100_000);
        assert_eq!(received(bomb, "gzip", 10_000).await, Err(RefusalCode::BodyTooLarge));
        assert_eq!(
            received(vec![0; 10_001], "identity", 10_000).await,
            Err(RefusalCode::BodyTooLarge)
        );
        assert_eq!(
            received(vec![0; 10_000], "identity", 10_000).await.unwrap().len(),
            10_000
        );
    }

    #[tokio::test]
    async fn endless_members_of_nothing_end_at_the_limit() {
        let nothing = gzip(b"").repeat(10_000);
        assert_eq!(received(nothing, "gzip", 1000).await, Err(RefusalCode::BodyTooLarge));
    }

    #[tokio::test]
    async fn what_is_no_gzip_and_other_encodings_are_refused() {
        assert_eq!(
            received(b"grain".to_vec(), "gzip", 100).await,
            Err(RefusalCode::MalformedBody)
        );
        let cut = gzip(&b"grain".repeat(100));
        assert_eq!(
            received(cut[..cut.len() - 6].to_vec(), "gzip", 1000).await,
            Err(RefusalCode::MalformedBody)
        );
        assert_eq!(
            received(vec![], "br", 100).await,
            Err(RefusalCode::UnsupportedMediaType)
        );
    }
}
