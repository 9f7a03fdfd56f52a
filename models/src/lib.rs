//! Model manifests: the catalog that reads and checks them, and artifacts by digest.
//!
//! Knows files and nothing of engines: what is in an artifact is its reader's business.

pub mod args;
pub mod artifact;
pub mod catalog;
mod reading;
pub mod version;

pub use args::CatalogArgs;
pub use artifact::{ArtifactError, ArtifactStore};
pub use catalog::{Catalog, CatalogError, Problem, ResolveError};
pub use version::ModelVersion;
