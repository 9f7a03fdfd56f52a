//! A submission in bulk: one request a line.

use std::borrow::Cow;

use crate::{fields::Fields, infer::InferRequest, node, refusal::Refusal};

/// One line: a request, and under which key of the client's own it may be sent again.
#[derive(Debug, Clone, PartialEq)]
pub struct BulkLine {
    /// The request.
    pub request: InferRequest,
    /// What makes one job of all repetitions of the line.
    pub idempotency_key: Option<String>,
}

impl BulkLine {
    /// Reads a line: the fields of a request's JSON, and `idempotency_key`.
    ///
    /// # Errors
    /// A [`Refusal`] that names the field and the limit.
    pub fn from_json(line: &[u8], max_input_bytes: usize) -> Result<Self, Refusal> {
        let mut fields = Fields::of(node::from_json(line)?, "")?;
        let idempotency_key = fields.text("idempotency_key")?.map(Cow::into_owned);
        let request = InferRequest::from_fields(fields, max_input_bytes)?;
        Ok(Self {
            request,
            idempotency_key,
        })
    }
}
