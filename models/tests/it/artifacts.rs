//! What the store hands out, and what it refuses.

use std::fs;

use gristmill_models::{ArtifactError, ArtifactStore};
use gristmill_schemas::{Digest, manifest::Artifact};

fn stored(named: &[u8], content: &[u8]) -> (tempfile::TempDir, ArtifactStore, Artifact) {
    let dir = tempfile::tempdir().unwrap();
    let store = ArtifactStore::new(dir.path());
    let sha256 = Digest::of(named);
    let path = store.path(sha256);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
    let bytes = named.len() as u64;
    (dir, store, Artifact { sha256, bytes })
}

#[test]
fn an_artifact_is_read_whole() {
    let (_dir, store, artifact) = stored(b"graph", b"graph");
    assert_eq!(store.read(&artifact).unwrap(), b"graph");
}

#[test]
fn an_empty_artifact_can_be_read() {
    let (_dir, store, artifact) = stored(b"", b"");
    assert_eq!(store.read(&artifact).unwrap(), b"");
}

#[test]
fn an_artifact_with_one_bit_changed_is_refused_by_name() {
    let (_dir, store, artifact) = stored(b"graph", b"grapi");
    let error = store.read(&artifact).unwrap_err();
    assert!(error.to_string().contains(&artifact.sha256.hex()), "{error}");
    assert!(matches!(error, ArtifactError::Tampered { actual, .. } if actual == Digest::of(b"grapi")));
}

#[test]
fn an_artifact_of_another_size_is_refused() {
    for content in [&b"grap"[..], b"graph and more"] {
        let (_dir, store, artifact) = stored(b"graph", content);
        assert!(matches!(
            store.read(&artifact),
            Err(ArtifactError::Size { expected: 5, .. })
        ));
    }
}

#[test]
fn a_missing_artifact_says_how_to_fetch_it() {
    let (_dir, store, mut artifact) = stored(b"graph", b"graph");
    artifact.sha256 = Digest::of(b"another");
    let error = store.read(&artifact).unwrap_err();
    assert!(matches!(error, ArtifactError::Missing { .. }));
    assert!(error.to_string().contains("make setup"), "{error}");
}

#[test]
fn a_folder_in_an_artifacts_place_is_unreadable() {
    let (_dir, store, mut artifact) = stored(b"graph", b"graph");
    artifact.sha256 = Digest::of(b"folder");
    fs::create_dir(store.path(artifact.sha256)).unwrap();
    assert!(matches!(store.read(&artifact), Err(ArtifactError::Unreadable { .. })));
}
