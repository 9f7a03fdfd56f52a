//! Where models and their artifacts lie, as flags and environment.

use std::path::PathBuf;

use crate::{
    artifact::ArtifactStore,
    catalog::{Catalog, CatalogError},
};

/// Where models and their artifacts lie.
#[derive(Debug, Clone, clap::Args)]
pub struct CatalogArgs {
    /// Folder of the model manifests
    #[arg(long, env = "GRISTMILL_MODELS_DIR", default_value = "models")]
    pub models_dir: PathBuf,
    /// Folder of the model artifacts, each under its digest (sha256/ and 64 hex digits)
    #[arg(long, env = "GRISTMILL_ARTIFACTS_DIR", default_value = ".gristmill/artifacts")]
    pub artifacts_dir: PathBuf,
}

impl CatalogArgs {
    /// Reads the catalog.
    ///
    /// # Errors
    /// Every problem of every manifest.
    pub fn catalog(&self) -> Result<Catalog, CatalogError> {
        Catalog::read(&self.models_dir)
    }

    /// The store of the artifacts.
    #[must_use]
    pub fn store(&self) -> ArtifactStore {
        ArtifactStore::new(&self.artifacts_dir)
    }
}
