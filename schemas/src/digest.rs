//! SHA-256 digests: of artifacts, of what went in and of what came out.

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest as _, Sha256};

use crate::tensor::Tensor;

/// A SHA-256 digest; `sha256:<64 hex digits>` for people, 32 bytes on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// Text or bytes that are not a SHA-256 digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a SHA-256 digest: 64 hexadecimal digits, optionally after \"sha256:\"")]
pub struct NotADigest;

impl Digest {
    /// The digest of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// From the 32 bytes of a finished SHA-256.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest of tensors, in the order they stand in: for each, name, datatype and shape (each with its length
    /// or count as u64 little-endian), then the length of the data and the data as it travels.
    #[must_use]
    pub fn of_tensors(tensors: &[Tensor]) -> Self {
        let mut hasher = Sha256::new();
        let number = |hasher: &mut Sha256, n: usize| hasher.update((n as u64).to_le_bytes());
        for tensor in tensors {
            for text in [tensor.name(), tensor.datatype().as_str()] {
                number(&mut hasher, text.len());
                hasher.update(text.as_bytes());
            }
            number(&mut hasher, tensor.shape().len());
            tensor.shape().iter().for_each(|dim| hasher.update(dim.to_le_bytes()));
            number(&mut hasher, tensor.data().len());
            hasher.update(tensor.data());
        }
        Self(hasher.finalize().into())
    }

    /// The raw 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 hex digits alone, as artifacts are named on disk.
    #[must_use]
    pub fn hex(&self) -> String {
        HEXLOWER.encode(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        let bytes = HEXLOWER.decode(hex.as_bytes()).map_err(|_| NotADigest)?;
        bytes.try_into().map(Self).map_err(|_| NotADigest)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
            return text.parse().map_err(D::Error::custom);
        }
        let bytes = serde_bytes::ByteBuf::deserialize(deserializer)?;
        bytes
            .into_vec()
            .try_into()
            .map(Self)
            .map_err(|_| D::Error::custom(NotADigest))
    }
}
