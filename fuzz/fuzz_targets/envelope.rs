//! A stored envelope: refused, or read the same from what we write of it.
#![no_main]

use gristmill_schemas::Envelope;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(read) = Envelope::decode(bytes) {
        let written = read.encode();
        let again = Envelope::decode(&written).expect("what we write is read");
        assert_eq!(again.encode(), written);
    }
});
