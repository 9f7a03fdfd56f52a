//! Model manifests and the catalog that reads them and resolves artifacts by digest.
