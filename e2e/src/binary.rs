//! Where the `gristmill` binary lies that the tests run.

use std::path::PathBuf;

use anyhow::{Context, ensure};

/// The binary that the same build has made: beside this program, or one folder up if this is a test.
///
/// # Errors
/// It is not there.
pub fn gristmill() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("the test's own path")?;
    let beside = own.parent().context("a program lies in a folder")?;
    let profile = if beside.ends_with("deps") {
        beside.parent().context("a test lies in target/<profile>/deps")?
    } else {
        beside
    };
    let binary = profile.join("gristmill");
    ensure!(
        binary.is_file(),
        "{} is missing: build it by `cargo build -p gristmill-cli`",
        binary.display()
    );
    Ok(binary)
}

/// The repository's root, where models/ and .gristmill/ are.
#[must_use]
pub fn repository() -> PathBuf {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("e2e/ lies in the repository").to_owned()
}
