//! Where the `gristmill` binaries lie that the tests run.

use std::path::PathBuf;

use anyhow::{Context, ensure};

/// The binary that the same build has made: beside this program, or one folder up if this is a test.
///
/// # Errors
/// It is not there.
pub fn gristmill() -> anyhow::Result<PathBuf> {
    built("gristmill", "cargo build -p gristmill-cli")
}

/// The same with the feature `fail-points`, under a name of its own.
///
/// # Errors
/// It is not there.
pub fn gristmill_with_fail_points() -> anyhow::Result<PathBuf> {
    built("gristmill-fail-points", "make fail-points")
}

fn built(name: &str, how: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("this program's own path")?;
    let beside = own.parent().context("a program lies in a folder")?;
    let profile = if beside.ends_with("deps") {
        beside.parent().context("a test lies in target/<profile>/deps")?
    } else {
        beside
    };
    let binary = profile.join(name);
    ensure!(binary.is_file(), "{} is missing: build it by `{how}`", binary.display());
    Ok(binary)
}

/// The repository's root, where models/ and .gristmill/ are.
#[must_use]
pub fn repository() -> PathBuf {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("e2e/ lies in the repository").to_owned()
}
