//! A request in MessagePack: refused by name, or read the same from what we write of it.
#![no_main]

use gristmill_schemas::InferRequest;
use libfuzzer_sys::fuzz_target;

const MAX: usize = 1 << 20;

fuzz_target!(|body: &[u8]| {
    if let Ok(request) = InferRequest::from_msgpack(body, MAX) {
        let written = request.to_msgpack();
        let again = InferRequest::from_msgpack(&written, MAX).expect("what we write is read");
        assert_eq!(again.to_msgpack(), written);
        let _ = InferRequest::from_json(&request.to_json(), MAX);
    }
});
