//! A process whose clock is wrong: libfaketime between it and the system's. Time still passes as it does.

use std::path::PathBuf;

use anyhow::Context;

/// Where Debian puts it, by architecture, and where its own build does.
const PLACES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime",
    "/usr/lib/aarch64-linux-gnu/faketime",
    "/usr/lib/faketime",
    "/usr/local/lib/faketime",
];
const LIBRARY: &str = "libfaketimeMT.so.1";

/// What a process has to find in its environment for its clock to be off by so much (`+2h`, `-2h`).
///
/// # Errors
/// The machine has no libfaketime.
pub fn shifted_by(shift: &str) -> anyhow::Result<Vec<(&'static str, String)>> {
    let mut libraries = PLACES.iter().map(|place| PathBuf::from(place).join(LIBRARY));
    let library = libraries.find(|library| library.exists());
    let library =
        library.context("no clock can be shifted here: there is no libfaketime (Debian's package libfaketime)")?;
    Ok(vec![
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME", shift.to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("FAKETIME_DONT_RESET", "1".to_owned()),
    ])
}
