//! A model version as read: its manifest, proven, and its example as tensors.

use gristmill_schemas::{InferRequest, Manifest, Tensor};
use serde::Serialize;

use gristmill_schemas::manifest::ExampleInput;

/// No example needs more bytes of tensors.
const MAX_EXAMPLE_BYTES: usize = 16 << 20;

/// One version of a model; its manifest passed [`Manifest::check`].
#[derive(Debug, Clone, PartialEq)]
pub struct ModelVersion {
    /// The manifest.
    pub manifest: Manifest,
    /// The example's inputs, admitted and in the signature's order.
    pub example: Vec<Tensor>,
}

impl ModelVersion {
    /// Checks a manifest and reads its example.
    ///
    /// # Errors
    /// What contradicts what, for people.
    pub fn new(manifest: Manifest) -> Result<Self, String> {
        manifest.check().map_err(|error| error.to_string())?;
        let example = example(&manifest)?;
        Ok(Self { manifest, example })
    }
}

/// The example goes the way of a client's request, so that what `GET /v1/models` shows is known to be accepted.
fn example(manifest: &Manifest) -> Result<Vec<Tensor>, String> {
    #[derive(Serialize)]
    struct Body<'a> {
        model: &'a str,
        inputs: &'a [ExampleInput],
    }
    if manifest.examples.is_empty() {
        return Err("example: missing: one input each is needed".to_owned());
    }
    let body = Body {
        model: manifest.name.as_str(),
        inputs: &manifest.examples,
    };
    let body = serde_json::to_vec(&body).map_err(|error| format!("example: {error}"))?;
    let request = InferRequest::from_json(&body, MAX_EXAMPLE_BYTES).map_err(|refusal| refused(&refusal))?;
    manifest.admit(request.inputs).map_err(|refusal| refused(&refusal))
}

fn refused(refusal: &gristmill_schemas::Refusal) -> String {
    let field = refusal.field.as_deref().unwrap_or("inputs");
    format!("example: {field}: {}", refusal.detail)
}
