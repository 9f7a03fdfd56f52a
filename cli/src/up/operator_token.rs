//! The token that operators show on the admin listeners of our own processes: made once a data folder, in a file of its owner's.

use std::{fmt::Write as _, path::Path};

use anyhow::Context;

use crate::atomic_file;

/// Random bytes of it; it is written in hexadecimal.
const BYTES: usize = 24;

/// Makes the file, unless it is there.
pub(super) fn ensure(path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let mut random = [0; BYTES];
    getrandom::fill(&mut random).context("random bytes")?;
    let token = random.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    atomic_file::write(path, format!("{token}\n").as_bytes())
}
