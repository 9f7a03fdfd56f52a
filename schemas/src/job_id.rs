//! The job id: a signed capability that says when its job was accepted, until when it may wait, for whom, where, and how
//! long its outcome is kept. So nobody who holds one has to ask anybody else what holds for the job.
//!
//! 35 bytes, written as 56 lower-case characters of base32hex (RFC 4648 section 7, no padding), of which bytes and text
//! alike sort by accept time:
//!
//! | bytes | what |
//! |---|---|
//! | 0..6 | accepted at, Unix milliseconds, big-endian |
//! | 6..10 | time to live until the deadline, milliseconds, big-endian |
//! | 10..14 | tenant tag: the first four bytes of SHA-256 of the tenant id |
//! | 14..16 | retention of its outcome, minutes, big-endian |
//! | 16..18 | queue tag: a hint at the queue it waits in |
//! | 18..26 | random |
//! | 26 | number of the key that signed it |
//! | 27..35 | HMAC-SHA-256 of bytes 0..27 under that key, shortened to eight bytes |

use std::{collections::BTreeMap, fmt, str::FromStr};

use data_encoding::{Encoding, Specification};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::Sha256;
use std::sync::LazyLock;
use subtle::ConstantTimeEq;

use crate::{digest::Digest, name::TenantId, retention::Retention, span::Span, subject::QueueTag, time::Timestamp};

static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut spec = Specification::new();
    spec.symbols.push_str("0123456789abcdefghijklmnopqrstuv");
    spec.encoding().expect("32 distinct symbols")
});

/// Random bytes in an id: 2^64 of them a millisecond, a deadline, a tenant and a queue.
pub const RANDOM_BYTES: usize = 8;
/// Characters of a written id.
pub const TEXT_LENGTH: usize = 56;
const BYTES: usize = 35;
const SIGNED: usize = 27;

/// A job's id. Holding one says nothing: [`JobIdKeys::verify`] tells whether we signed it for this tenant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId([u8; BYTES]);

/// Text or bytes that have not the form of an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a job id of {TEXT_LENGTH} characters of 0-9 and a-v")]
pub struct NotAJobId;

impl JobId {
    /// When ingest accepted the job, to the millisecond, by the broker's clock as that ingest knew it.
    #[must_use]
    pub fn accepted_at(&self) -> Timestamp {
        let mut millis = [0; 8];
        millis[2..].copy_from_slice(&self.0[0..6]);
        Timestamp::from_millis(u64::from_be_bytes(millis))
    }

    /// How long after its publish the job may wait for its outcome.
    #[must_use]
    pub fn time_to_live(&self) -> Span {
        Span::from_millis(u32::from_be_bytes(self.0[6..10].try_into().expect("four bytes")))
    }

    /// The moment past which the job is expired, counted from [`Self::accepted_at`].
    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        self.accepted_at().plus(self.time_to_live().into())
    }

    /// How long its outcome is kept, counted from [`Self::accepted_at`]. Only what we signed has one that is sound.
    #[must_use]
    pub fn retention(&self) -> Retention {
        let minutes = u16::from_be_bytes(self.0[14..16].try_into().expect("two bytes"));
        Retention::from_minutes(minutes).unwrap_or(Retention::MAX)
    }

    /// Of which queue it is, but for the tenant group.
    #[must_use]
    pub fn queue_tag(&self) -> QueueTag {
        QueueTag(self.0[16..18].try_into().expect("two bytes"))
    }

    /// Which of a tenant's `buckets` the job's keys are in.
    #[must_use]
    pub fn bucket(&self, buckets: u8) -> u8 {
        self.0[25] % buckets.max(1)
    }

    /// The number of the key that is said to have signed it.
    #[must_use]
    pub const fn key_number(&self) -> u8 {
        self.0[26]
    }
}

fn tenant_tag(tenant: &TenantId) -> [u8; 4] {
    let digest = Digest::of(tenant.as_str().as_bytes());
    digest.as_bytes()[..4].try_into().expect("four of 32 bytes")
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32.encode(&self.0))
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobId({self})")
    }
}

impl FromStr for JobId {
    type Err = NotAJobId;

    fn from_str(text: &str) -> Result<Self, NotAJobId> {
        if text.len() != TEXT_LENGTH {
            return Err(NotAJobId);
        }
        let bytes = BASE32.decode(text.as_bytes()).map_err(|_| NotAJobId)?;
        bytes.try_into().map(Self).map_err(|_| NotAJobId)
    }
}

impl Serialize for JobId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for JobId {
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
            .map_err(|_| D::Error::custom(NotAJobId))
    }
}

/// What an id is made of besides the tenant and the key.
#[derive(Debug, Clone, Copy)]
pub struct Mint {
    /// When the job was accepted.
    pub accepted_at: Timestamp,
    /// How long it may wait.
    pub time_to_live: Span,
    /// How long its outcome is kept.
    pub retention: Retention,
    /// Of which queue it is.
    pub queue: QueueTag,
    /// Fresh random bytes.
    pub random: [u8; RANDOM_BYTES],
}

/// The keys that sign ids, by number: the highest signs, all verify. Its `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub struct JobIdKeys(BTreeMap<u8, [u8; 32]>);

/// An id that we did not sign, or not for this tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no job of this id for this tenant")]
pub struct Forged;

impl JobIdKeys {
    /// Keys by number; `None` if there is none.
    #[must_use]
    pub fn new(keys: BTreeMap<u8, [u8; 32]>) -> Option<Self> {
        (!keys.is_empty()).then_some(Self(keys))
    }

    /// Each key's number and a fingerprint that does not reveal it.
    pub fn fingerprints(&self) -> impl Iterator<Item = (u8, String)> + '_ {
        self.0
            .iter()
            .map(|(number, key)| (*number, Digest::of(&[b"gristmill job id key", &key[..]].concat()).hex()))
    }

    /// Makes and signs an id.
    #[must_use]
    pub fn mint(&self, tenant: &TenantId, mint: Mint) -> JobId {
        let (number, key) = self.0.last_key_value().expect("never empty by construction");
        let mut id = [0; BYTES];
        id[0..6].copy_from_slice(&mint.accepted_at.as_millis().to_be_bytes()[2..]);
        id[6..10].copy_from_slice(&mint.time_to_live.as_millis().to_be_bytes());
        id[10..14].copy_from_slice(&tenant_tag(tenant));
        id[14..16].copy_from_slice(&mint.retention.minutes().to_be_bytes());
        id[16..18].copy_from_slice(&mint.queue.0);
        id[18..26].copy_from_slice(&mint.random);
        id[26] = *number;
        let mac = sign(key, &id[..SIGNED]);
        id[SIGNED..].copy_from_slice(&mac);
        JobId(id)
    }

    /// Tells whether we signed this id for this tenant; the comparison takes the same time wherever they differ.
    ///
    /// # Errors
    /// [`Forged`], for a wrong signature, an unknown key and another tenant alike.
    pub fn verify(&self, id: &JobId, tenant: &TenantId) -> Result<(), Forged> {
        let key = self.0.get(&id.key_number()).ok_or(Forged)?;
        let signed = sign(key, &id.0[..SIGNED]).ct_eq(&id.0[SIGNED..]);
        let ours = tenant_tag(tenant).ct_eq(&id.0[10..14]);
        bool::from(signed & ours).then_some(()).ok_or(Forged)
    }
}

impl fmt::Debug for JobIdKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JobIdKeys").field(&self.0.keys()).finish()
    }
}

fn sign(key: &[u8; 32], bytes: &[u8]) -> [u8; 8] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(bytes);
    mac.finalize().into_bytes()[..8].try_into().expect("eight of 32 bytes")
}
