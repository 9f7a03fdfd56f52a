//! How messages become bytes: MessagePack with named fields, bounded nesting, and the check of the major version.

use std::{cell::Cell, fmt};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};

/// The major version of every message this build writes, and the only one it reads.
pub const SCHEMA_VERSION: u16 = 1;

/// No message nests deeper; a deeper one is refused before it can exhaust a stack.
pub const MAX_DEPTH: usize = 16;

/// Why bytes are not a message of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Written by a build with another major version.
    #[error("schema_version {0} is not supported; this build reads {SCHEMA_VERSION}")]
    UnknownMajor(u64),
    /// Not MessagePack, bytes left over, a field missing, or a value out of its range.
    #[error("malformed message: {0}")]
    Malformed(String),
}

/// A message that carries `schema_version` as its first field.
pub trait Message: Serialize + DeserializeOwned {
    /// The version the message says it has.
    fn schema_version(&self) -> u16;
}

/// Encodes any contract value as MessagePack with named fields.
#[must_use]
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(value).expect("contract types hold no maps with unserialisable keys")
}

/// The same for a value of about so many bytes, without growing step by step.
#[must_use]
pub fn encode_sized<T: Serialize>(value: &T, bytes: usize) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(bytes);
    rmp_serde::encode::write_named(&mut encoded, value)
        .expect("contract types hold no maps with unserialisable keys, and a vector takes all");
    encoded
}

/// Decodes a value that has no version of its own (a part of a message, a client's request).
///
/// # Errors
/// [`DecodeError::Malformed`] with the decoder's words.
pub fn decode_part<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    let mut decoder = decoder(bytes);
    let value = T::deserialize(&mut decoder).map_err(|error| DecodeError::Malformed(error.to_string()))?;
    if !at_end(&mut decoder) {
        return Err(DecodeError::Malformed("bytes follow the message".to_owned()));
    }
    Ok(value)
}

/// A decoder with the depth bounded.
pub(crate) fn decoder(bytes: &[u8]) -> Decoder<'_> {
    let mut decoder = rmp_serde::Deserializer::from_read_ref(bytes);
    decoder.set_max_depth(MAX_DEPTH);
    decoder
}

/// Reads MessagePack out of borrowed bytes.
pub(crate) type Decoder<'a> = rmp_serde::Deserializer<rmp_serde::decode::ReadRefReader<'a, [u8]>>;

/// Whether no byte is left: only then can not even a value's first byte be read.
pub(crate) fn at_end(decoder: &mut Decoder<'_>) -> bool {
    matches!(
        decoder.deserialize_any(Nothing),
        Err(rmp_serde::decode::Error::InvalidMarkerRead(_))
    )
}

/// Takes no value of any kind.
struct Nothing;

impl Visitor<'_> for Nothing {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the end")
    }
}

/// Decodes a message and refuses another major version by its own error, also when the rest cannot be read.
///
/// # Errors
/// [`DecodeError`].
pub fn decode<T: Message>(bytes: &[u8]) -> Result<T, DecodeError> {
    match decode_part::<T>(bytes) {
        Ok(message) if message.schema_version() == SCHEMA_VERSION => Ok(message),
        Ok(message) => Err(DecodeError::UnknownMajor(message.schema_version().into())),
        Err(error) => Err(foreign_major(bytes).unwrap_or(error)),
    }
}

/// Looks for a version alone, in bytes that could not be decoded whole: what follows it may be anything.
fn foreign_major(bytes: &[u8]) -> Option<DecodeError> {
    let found = Cell::new(None);
    // a failure after the version was found changes nothing
    let _ = Head(&found).deserialize(&mut decoder(bytes));
    let version = found.get()?;
    (version != u64::from(SCHEMA_VERSION)).then_some(DecodeError::UnknownMajor(version))
}

/// Keeps the first `schema_version` of a map.
struct Head<'f>(&'f Cell<Option<u64>>);

impl<'de> DeserializeSeed<'de> for Head<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Head<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<&str>()? {
            if key == "schema_version" {
                self.0.set(Some(map.next_value()?));
                break;
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}
