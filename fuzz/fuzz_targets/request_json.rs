//! A request in JSON: refused by name, or read the same from what we write of it, in both encodings.
#![no_main]

use gristmill_schemas::InferRequest;
use libfuzzer_sys::fuzz_target;

const MAX: usize = 1 << 20;

fuzz_target!(|body: &[u8]| {
    if let Ok(request) = InferRequest::from_json(body, MAX) {
        // NaN is none of its equals; bytes are
        let written = request.to_msgpack();
        let again = InferRequest::from_msgpack(&written, MAX).expect("what we write is read");
        assert_eq!(again.to_msgpack(), written);
    }
});
