//! The W3C trace context (`traceparent`) that a job carries from its request to its commit.

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A `traceparent` of version 00: trace id, parent span id and flags (<https://www.w3.org/TR/trace-context/>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    flags: u8,
}

/// Text that is no `traceparent` this build understands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a W3C traceparent: 00-<32 hex>-<16 hex>-<2 hex>")]
pub struct NotATraceParent;

impl TraceParent {
    /// A new, sampled trace. Neither part may be all zeros.
    #[must_use]
    pub const fn new(trace_id: [u8; 16], span_id: [u8; 8]) -> Self {
        Self {
            trace_id,
            span_id,
            flags: 1,
        }
    }

    /// The same trace with another span as the parent of what follows.
    #[must_use]
    pub const fn child(self, span_id: [u8; 8]) -> Self {
        Self { span_id, ..self }
    }

    /// The trace id's 32 hex digits, as logs and lineage show it.
    #[must_use]
    pub fn trace_id(&self) -> String {
        HEXLOWER.encode(&self.trace_id)
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "00-{}-{}-{:02x}",
            HEXLOWER.encode(&self.trace_id),
            HEXLOWER.encode(&self.span_id),
            self.flags
        )
    }
}

impl FromStr for TraceParent {
    type Err = NotATraceParent;

    fn from_str(text: &str) -> Result<Self, NotATraceParent> {
        let mut parts = text.split('-');
        let mut hex = |into: &mut [u8]| -> Result<(), NotATraceParent> {
            let part = parts.next().ok_or(NotATraceParent)?;
            let bytes = HEXLOWER.decode(part.as_bytes()).map_err(|_| NotATraceParent)?;
            (bytes.len() == into.len())
                .then(|| into.copy_from_slice(&bytes))
                .ok_or(NotATraceParent)
        };
        let (mut version, mut trace_id, mut span_id, mut flags) = ([0; 1], [0; 16], [0; 8], [0; 1]);
        hex(&mut version)?;
        hex(&mut trace_id)?;
        hex(&mut span_id)?;
        hex(&mut flags)?;
        let sound = version == [0] && trace_id != [0; 16] && span_id != [0; 8] && parts.next().is_none();
        sound
            .then_some(Self {
                trace_id,
                span_id,
                flags: flags[0],
            })
            .ok_or(NotATraceParent)
    }
}

impl Serialize for TraceParent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TraceParent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}
