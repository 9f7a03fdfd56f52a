//! The key under which a client may say the same thing again.

use std::str::FromStr;

use gristmill_schemas::{JobId, Refusal, RefusalCode};

/// A client's own name for a submission: 1 to 255 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(pub(crate) String);

impl IdempotencyKey {
    /// The key of a dead letter's redrive. It has a character that no client's key may have.
    #[must_use]
    pub fn of_redrive(id: &JobId) -> Self {
        Self(format!("redrive {id}"))
    }
}

impl FromStr for IdempotencyKey {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        if (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self(text.to_owned()));
        }
        let detail = "an idempotency key has 1 to 255 visible ASCII characters";
        let refusal = Refusal::new(RefusalCode::InvalidValue, detail).at("Idempotency-Key");
        Err(refusal.limit("255 characters"))
    }
}
