//! A line of a bulk upload.
#![no_main]

use gristmill_schemas::{InferRequest, bulk::BulkLine};
use libfuzzer_sys::fuzz_target;

const MAX: usize = 1 << 20;

fuzz_target!(|line: &[u8]| {
    match (BulkLine::from_json(line, MAX), InferRequest::from_json(line, MAX)) {
        // without a key the line is the request
        (Ok(bulk), Ok(request)) => assert_eq!(bulk.request.to_msgpack(), request.to_msgpack()),
        (Err(_), Ok(_)) => panic!("a request is a line"),
        (_, Err(_)) => {}
    }
});
