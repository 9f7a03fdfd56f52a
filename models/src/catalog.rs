//! The catalog: every model version there is, and which one a name means. Reading it from disk is `reading`'s.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use gristmill_schemas::{ModelName, VersionName};

use crate::{reading, version::ModelVersion};

/// The alias that a request without a version means.
pub const DEFAULT_ALIAS: &str = "default";

/// Every model version there is. It does not change: a new manifest needs a new start.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    pub(crate) models: BTreeMap<ModelName, Model>,
}

/// A model's versions and what its aliases mean.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    pub(crate) aliases: BTreeMap<VersionName, VersionName>,
    pub(crate) versions: BTreeMap<VersionName, Arc<ModelVersion>>,
}

/// One thing that is wrong on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.what)
    }
}

/// Everything that is wrong with the models on disk; displayed one a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct CatalogError {
    /// At least one, in the order of their paths.
    pub problems: Vec<Problem>,
}

impl fmt::Display for CatalogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.problems.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// A name that means no version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// There is no such model.
    #[error("no such model")]
    Model,
    /// The model has no such version or alias.
    #[error("the model has no such version or alias")]
    Version,
}

impl Catalog {
    /// Reads `<dir>/<name>/model.toml` and `<dir>/<name>/<version>/manifest.toml`. A folder without `model.toml` is no
    /// model, one in a model without `manifest.toml` no version.
    ///
    /// # Errors
    /// Every problem of every file, at once.
    pub fn read(dir: &Path) -> Result<Self, CatalogError> {
        reading::read(dir)
    }

    /// The version that a model's name and a version, an alias or nothing (the alias `default`) mean.
    ///
    /// # Errors
    /// [`ResolveError`] says which of the two names is unknown.
    pub fn resolve(&self, model: &ModelName, version: Option<&VersionName>) -> Result<Arc<ModelVersion>, ResolveError> {
        let model = self.models.get(model).ok_or(ResolveError::Model)?;
        let named = match version {
            Some(version) => model.aliases.get(version).unwrap_or(version),
            None => model.default_version().ok_or(ResolveError::Version)?,
        };
        model.versions.get(named).cloned().ok_or(ResolveError::Version)
    }

    /// Every version, by model name, then by version.
    pub fn versions(&self) -> impl Iterator<Item = &Arc<ModelVersion>> {
        self.models.values().flat_map(|model| model.versions.values())
    }

    /// A model's aliases and what they mean; `None` where there is no such model.
    #[must_use]
    pub fn aliases(&self, model: &ModelName) -> Option<&BTreeMap<VersionName, VersionName>> {
        self.models.get(model).map(|model| &model.aliases)
    }
}

impl Model {
    pub(crate) fn default_version(&self) -> Option<&VersionName> {
        self.aliases
            .iter()
            .find(|(alias, _)| alias.as_str() == DEFAULT_ALIAS)
            .map(|(_, version)| version)
    }
}
