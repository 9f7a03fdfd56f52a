//! Which representation a request has and which one its answer gets.

use axum::{
    body::Body,
    http::{HeaderMap, Response, StatusCode, header},
    response::IntoResponse,
};
use gristmill_schemas::{Refusal, RefusalCode, codec};
use serde::Serialize;

/// A representation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Media {
    /// JSON: for people and for everybody's library.
    Json,
    /// MessagePack with raw tensor bytes.
    MsgPack,
    /// One output's raw bytes and nothing else.
    Octets,
}

impl Media {
    /// The media type we write.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::MsgPack => "application/msgpack",
            Self::Octets => "application/octet-stream",
        }
    }

    /// Reads a media type without its parameters; MessagePack goes by three names.
    fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "application/json" => Some(Self::Json),
            "application/msgpack" | "application/vnd.msgpack" | "application/x-msgpack" => Some(Self::MsgPack),
            "application/octet-stream" => Some(Self::Octets),
            _ => None,
        }
    }

    /// The representation of a request's body.
    ///
    /// # Errors
    /// `unsupported_media_type`.
    pub(crate) fn of_body(headers: &HeaderMap) -> Result<Self, Refusal> {
        let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let name = given.and_then(|given| given.split(';').next()).map(str::trim);
        match name.and_then(Self::named) {
            Some(media @ (Self::Json | Self::MsgPack)) => Ok(media),
            Some(Self::Octets) | None => {
                let detail = "send the body as application/json or application/msgpack";
                Err(Refusal::new(RefusalCode::UnsupportedMediaType, detail).at("Content-Type"))
            }
        }
    }

    /// The best of what is offered, by the `Accept` header's weights (RFC 9110, 12.5.1); the first where none is asked
    /// for, and where weights are equal.
    ///
    /// # Errors
    /// `not_acceptable`.
    pub(crate) fn accepted(headers: &HeaderMap, offered: &[Self]) -> Result<Self, Refusal> {
        let lines: Vec<_> = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .collect();
        let accept = lines.join(",");
        if accept.trim().is_empty() {
            return Ok(offered[0]);
        }
        let ranges: Vec<Range<'_>> = accept.split(',').filter_map(Range::parse).collect();
        let mut best = None;
        for media in offered {
            let quality = quality(*media, &ranges);
            if quality > 0 && best.is_none_or(|(_, most)| quality > most) {
                best = Some((*media, quality));
            }
        }
        best.map(|(media, _)| media).ok_or_else(|| {
            let names: Vec<_> = offered.iter().map(|media| media.content_type()).collect();
            let detail = format!("there is {}", names.join(", "));
            Refusal::new(RefusalCode::NotAcceptable, detail).at("Accept")
        })
    }
}

/// One entry of an `Accept` header.
struct Range<'a> {
    name: &'a str,
    /// In thousandths.
    quality: u16,
}

impl<'a> Range<'a> {
    fn parse(entry: &'a str) -> Option<Self> {
        let mut parts = entry.split(';').map(str::trim);
        let name = parts.next().filter(|name| !name.is_empty())?;
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let weight: f32 = weight.map_or(Some(1.0), |text| text.parse().ok())?;
        Some(Self {
            name,
            quality: (weight.clamp(0.0, 1.0) * 1000.0) as u16,
        })
    }

    /// How closely the range names a type; `None` if it does not.
    fn precision(&self, media: Media) -> Option<u8> {
        match self.name {
            "*/*" => Some(0),
            "application/*" => Some(1),
            name => (Media::named(name) == Some(media)).then_some(2),
        }
    }
}

/// The weight of the range that names the type most closely; 0 if none does.
fn quality(media: Media, ranges: &[Range<'_>]) -> u16 {
    let naming = ranges
        .iter()
        .filter_map(|range| Some((range.precision(media)?, range.quality)));
    naming
        .max_by_key(|(precision, _)| *precision)
        .map_or(0, |(_, quality)| quality)
}

/// About what a reply takes; longer ones grow.
const REPLY: usize = 2048;

/// A reply in JSON or MessagePack.
pub(crate) fn encoded<T: Serialize>(status: StatusCode, media: Media, value: &T) -> Response<Body> {
    let body = match media {
        Media::MsgPack => codec::encode_sized(value, REPLY),
        Media::Json | Media::Octets => {
            let mut body = Vec::with_capacity(REPLY);
            serde_json::to_writer(&mut body, value).expect("replies hold maps with text keys alone");
            body
        }
    };
    let media = if media == Media::MsgPack { media } else { Media::Json };
    let headers = [
        (header::CONTENT_TYPE, media.content_type()),
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "Accept"),
    ];
    (status, headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn chosen(accept: &str) -> Result<Media, RefusalCode> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
        let offered = [Media::Json, Media::MsgPack, Media::Octets];
        Media::accepted(&headers, &offered).map_err(|refusal| refusal.code)
    }

    #[test]
    fn the_best_weight_wins_and_the_closest_range_decides() {
        assert_eq!(chosen(""), Ok(Media::Json));
        assert_eq!(chosen("*/*"), Ok(Media::Json));
        assert_eq!(chosen("application/x-msgpack"), Ok(Media::MsgPack));
        assert_eq!(
            chosen("application/json;q=0.5, application/msgpack"),
            Ok(Media::MsgPack)
        );
        assert_eq!(
            chosen("application/*;q=0.8, application/json;q=0.1"),
            Ok(Media::MsgPack)
        );
        assert_eq!(chosen("*/*, application/json;q=0"), Ok(Media::MsgPack));
        assert_eq!(chosen("application/octet-stream"), Ok(Media::Octets));
        assert_eq!(chosen("text/html"), Err(RefusalCode::NotAcceptable));
        assert_eq!(chosen("application/json;q=0"), Err(RefusalCode::NotAcceptable));
    }
}
