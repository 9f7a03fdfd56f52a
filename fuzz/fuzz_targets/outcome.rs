//! A stored outcome: refused, or read the same from what we write of it.
#![no_main]

use gristmill_schemas::Outcome;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(read) = Outcome::decode(bytes) {
        let written = read.encode();
        let again = Outcome::decode(&written).expect("what we write is read");
        assert_eq!(again.encode(), written);
    }
});
