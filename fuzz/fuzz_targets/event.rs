//! An entry of an event stream, as another build may have written it.
#![no_main]

use gristmill_schemas::{JobEvent, event::FIELDS};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let values = text.split('\n').map(str::to_owned);
    let fields: Vec<(String, String)> = FIELDS.map(str::to_owned).into_iter().zip(values).collect();
    if let Some(event) = JobEvent::from_fields(&fields) {
        let again = FIELDS.map(str::to_owned).into_iter().zip(event.values()).collect::<Vec<_>>();
        assert_eq!(JobEvent::from_fields(&again), Some(event));
    }
});
