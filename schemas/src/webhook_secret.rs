//! The secret that signs a tenant's webhooks, and the signature, by Standard Webhooks 1.0: HMAC-SHA256 over
//! `<webhook-id>.<webhook-timestamp>.<body>`, in base 64 behind `v1,`.

use std::{fmt, str::FromStr};

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::Sha256;

use crate::webhook::DeliveryId;

/// Bytes of a secret that is made here; one from elsewhere has 24 to 64.
pub const SECRET_BYTES: usize = 32;
const PREFIX: &str = "whsec_";

/// A signing secret. Its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(Vec<u8>);

/// Text that is no signing secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a signing secret: whsec_ and 24 to 64 bytes in base 64")]
pub struct NotASecret;

impl WebhookSecret {
    /// Of random bytes.
    #[must_use]
    pub fn of(random: [u8; SECRET_BYTES]) -> Self {
        Self(random.to_vec())
    }

    /// The secret in the clear, for its owner and the store.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", BASE64.encode(&self.0))
    }

    /// The signature of a message that is sent at this second (Unix time).
    #[must_use]
    pub fn sign(&self, id: &DeliveryId, seconds: u64, body: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(format!("{id}.{seconds}.{body}").as_bytes());
        format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

impl FromStr for WebhookSecret {
    type Err = NotASecret;

    fn from_str(text: &str) -> Result<Self, NotASecret> {
        let base64 = text.strip_prefix(PREFIX).ok_or(NotASecret)?;
        let bytes = BASE64.decode(base64.as_bytes()).map_err(|_| NotASecret)?;
        (24..=64)
            .contains(&bytes.len())
            .then_some(Self(bytes))
            .ok_or(NotASecret)
    }
}

impl Serialize for WebhookSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.reveal())
    }
}

impl<'de> Deserialize<'de> for WebhookSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_is_read_back_and_debug_shows_nothing_of_it() {
        let secret = WebhookSecret::of([7; SECRET_BYTES]);
        assert_eq!(secret.reveal().parse(), Ok(secret.clone()));
        assert_eq!(format!("{secret:?}"), "WebhookSecret(…)");
        for text in ["", "whsec_", "whsec_AAAA", "AAAA", "whsec_!"] {
            assert_eq!(text.parse::<WebhookSecret>(), Err(NotASecret), "{text}");
        }
    }

    /// The value was computed by Python's hmac module.
    #[test]
    fn signature_is_that_of_another_implementation() {
        let secret = WebhookSecret::of([7; SECRET_BYTES]);
        let id = format!("{}-job", "0".repeat(56)).parse().unwrap();
        assert_eq!(
            secret.sign(&id, 1_700_000_000, "{}"),
            "v1,oMIBxJcA65AByIpO2cPdsmdt4G3Poe2ci5jYn5o98B0="
        );
    }
}
