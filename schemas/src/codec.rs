//! How messages become bytes: MessagePack with named fields, bounded nesting, and the check of the major version.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

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
    /// Not MessagePack, a field missing, or a value out of its range.
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

/// Decodes a value that has no version of its own (a part of a message, a client's request).
///
/// # Errors
/// [`DecodeError::Malformed`] with the decoder's words.
pub fn decode_part<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    let mut decoder = rmp_serde::Deserializer::from_read_ref(bytes);
    decoder.set_max_depth(MAX_DEPTH);
    let value = T::deserialize(&mut decoder).map_err(|error| DecodeError::Malformed(error.to_string()))?;
    Ok(value)
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

/// Looks for a version alone, in bytes that could not be decoded whole.
fn foreign_major(bytes: &[u8]) -> Option<DecodeError> {
    #[derive(Deserialize)]
    struct Head {
        schema_version: u64,
    }
    let head: Head = decode_part(bytes).ok()?;
    (head.schema_version != u64::from(SCHEMA_VERSION)).then_some(DecodeError::UnknownMajor(head.schema_version))
}
