//! An entry of a job's progress, as another build may have written it: five numbers, a line each, and what they gave.
#![no_main]

use gristmill_schemas::{Progress, progress::FIELDS};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let values = bytes.splitn(FIELDS.len(), |byte| *byte == b'\n').map(<[u8]>::to_vec);
    let fields: Vec<(String, Vec<u8>)> = FIELDS.map(str::to_owned).into_iter().zip(values).collect();
    if let Ok(read) = Progress::from_fields(&fields) {
        let again = FIELDS.map(str::to_owned).into_iter().zip(read.values()).collect::<Vec<_>>();
        assert_eq!(Progress::from_fields(&again), Ok(read));
    }
});
