//! Artifacts by digest: what is handed out is what the digest names, or an error.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use gristmill_schemas::{Digest, manifest::Artifact};

/// A folder of artifacts, `<dir>/sha256/<hex>`.
#[derive(Debug, Clone)]
pub struct ArtifactStore {
    dir: PathBuf,
}

/// Why an artifact cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// It is not in the store.
    #[error("artifact {digest} is not at {}: `make setup` fetches it", path.display())]
    Missing {
        /// What was asked for.
        digest: Digest,
        /// Where it should be.
        path: PathBuf,
    },
    /// It is there but cannot be read.
    #[error("artifact {digest}: {source}")]
    Unreadable {
        /// What was asked for.
        digest: Digest,
        /// What the system says.
        source: io::Error,
    },
    /// It does not have the size its manifest names.
    #[error("artifact {digest} has {actual} bytes, its manifest says {expected}")]
    Size {
        /// What was asked for.
        digest: Digest,
        /// What the manifest says.
        expected: u64,
        /// What lies there; one more than expected where it is longer.
        actual: u64,
    },
    /// Its content is not what its name says.
    #[error("artifact {digest} was changed: its content is {actual}")]
    Tampered {
        /// What was asked for.
        digest: Digest,
        /// What lies there.
        actual: Digest,
    },
}

impl ArtifactStore {
    /// A store in a folder; nothing is read yet.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Where an artifact lies, or would.
    #[must_use]
    pub fn path(&self, digest: Digest) -> PathBuf {
        self.dir.join("sha256").join(digest.hex())
    }

    /// Reads an artifact whole. The file is read once, and the bytes returned are the bytes that were hashed: nobody can
    /// exchange it in between.
    ///
    /// # Errors
    /// [`ArtifactError`].
    pub fn read(&self, artifact: &Artifact) -> Result<Vec<u8>, ArtifactError> {
        let digest = artifact.sha256;
        let path = self.path(digest);
        let bytes = read_at_most(&path, artifact.bytes).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ArtifactError::Missing { digest, path },
            _ => ArtifactError::Unreadable { digest, source },
        })?;
        let (expected, actual) = (artifact.bytes, bytes.len() as u64);
        if actual != expected {
            return Err(ArtifactError::Size {
                digest,
                expected,
                actual,
            });
        }
        match Digest::of(&bytes) {
            actual if actual == digest => Ok(bytes),
            actual => Err(ArtifactError::Tampered { digest, actual }),
        }
    }
}

/// A file's bytes, and at most one more than `bytes` of them: enough to see that it is too long.
fn read_at_most(path: &Path, bytes: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let there = file.metadata()?.len().min(bytes.saturating_add(1));
    let mut content = Vec::with_capacity(usize::try_from(there).unwrap_or(0));
    file.take(bytes.saturating_add(1)).read_to_end(&mut content)?;
    Ok(content)
}
