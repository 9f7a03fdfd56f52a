//! A version's artifacts by role.

use gristmill_models::ArtifactStore;
use gristmill_schemas::Manifest;

use super::EngineError;

/// The role of a `tokenizer.json`.
pub(super) const TOKENIZER: &str = "tokenizer";
/// The role of the file that says what labels and thresholds mean.
pub(super) const CONFIG: &str = "config";
/// The role of the file that says which types are text.
pub(super) const CONTENT_TYPES: &str = "content_types";

/// A version's artifacts, wherever they lie.
pub(super) struct Artifacts<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) store: &'a ArtifactStore,
}

impl Artifacts<'_> {
    /// Reads the artifact of a role.
    pub(super) fn read(&self, role: &str) -> Result<Vec<u8>, EngineError> {
        let artifact = self
            .manifest
            .artifacts
            .get(role)
            .ok_or_else(|| EngineError::content(role, "the manifest does not name it".to_owned()))?;
        Ok(self.store.read(artifact)?)
    }
}
