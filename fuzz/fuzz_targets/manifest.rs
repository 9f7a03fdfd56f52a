//! A model's manifest, and a request that is held against it.
#![no_main]

use gristmill_schemas::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(manifest) = toml::from_str::<Manifest>(text)
        && manifest.check().is_ok()
    {
        let _ = (manifest.model_digest(), manifest.record());
        let _ = manifest.admit(Vec::new());
    }
});
