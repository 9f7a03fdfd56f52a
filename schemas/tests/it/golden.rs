//! The bytes of every message of every version ever shipped. Files in `golden/` are added, never edited.
//!
//! A file that is missing is written by `cargo test -p gristmill-schemas --test it -- --ignored`, to be read before it
//! is committed.

use std::{fmt::Debug, fs, path::PathBuf};

use gristmill_schemas::{Envelope, InferRequest, JobState, Lineage, Outcome};

use crate::{annotate, sample};

/// Every golden file of version 1, with the bytes that this build writes for its value.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("envelope", sample::envelope().encode()),
        ("outcome_succeeded", sample::outcome(JobState::Succeeded).encode()),
        ("outcome_failed", sample::outcome(JobState::Failed).encode()),
        ("outcome_expired", sample::outcome(JobState::Expired).encode()),
        ("outcome_cancelled", sample::outcome(JobState::Cancelled).encode()),
        ("lineage", sample::lineage().encode()),
        ("lineage_of_id", sample::lineage_of_id().encode()),
        ("infer_request", sample::request().to_msgpack()),
    ]
}

fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/golden/v1")
        .join(file)
}

fn text(file: &str) -> String {
    fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// A golden file's bytes.
pub(crate) fn bytes(name: &str) -> Vec<u8> {
    annotate::bytes(&text(&format!("{name}.hex")))
}

#[test]
fn this_build_writes_the_golden_bytes() {
    for (name, written) in files() {
        assert_eq!(bytes(name), written, "{name}: the wire format has changed");
    }
    assert_eq!(
        text("infer_request.json").trim_end().as_bytes(),
        sample::request().to_json()
    );
}

#[test]
fn comments_in_golden_files_say_what_the_bytes_are() {
    for (name, _) in files() {
        let file = text(&format!("{name}.hex"));
        let title = file.lines().next().unwrap().trim_start_matches("# ");
        assert_eq!(annotate::annotate(title, &bytes(name)), file, "{name}");
    }
}

/// Reads, compares, writes, compares.
fn round_trip<T: PartialEq + Debug>(
    name: &str,
    value: &T,
    decode: impl Fn(&[u8]) -> T,
    encode: impl Fn(&T) -> Vec<u8>,
) {
    let bytes = bytes(name);
    let decoded = decode(&bytes);
    assert_eq!(&decoded, value, "{name}");
    assert_eq!(encode(&decoded), bytes, "{name}");
}

#[test]
fn golden_envelope_is_read() {
    let decode = |bytes: &[u8]| Envelope::decode(bytes).unwrap();
    round_trip("envelope", &sample::envelope(), decode, Envelope::encode);
}

#[test]
fn golden_outcomes_are_read() {
    for state in JobState::ALL.into_iter().filter(|state| state.is_terminal()) {
        let outcome = sample::outcome(state);
        assert_eq!(outcome.state(), state);
        let decode = |bytes: &[u8]| Outcome::decode(bytes).unwrap();
        round_trip(&format!("outcome_{state}"), &outcome, decode, Outcome::encode);
    }
}

#[test]
fn golden_lineage_is_read() {
    let decode = |bytes: &[u8]| Lineage::decode(bytes).unwrap();
    round_trip("lineage", &sample::lineage(), decode, Lineage::encode);
    round_trip("lineage_of_id", &sample::lineage_of_id(), decode, Lineage::encode);
}

#[test]
fn golden_request_is_read_from_both_encodings() {
    let decode = |bytes: &[u8]| InferRequest::from_msgpack(bytes, 1 << 20).unwrap();
    round_trip("infer_request", &sample::request(), decode, InferRequest::to_msgpack);
    let json = text("infer_request.json");
    assert_eq!(
        InferRequest::from_json(json.as_bytes(), 1 << 20).unwrap(),
        sample::request()
    );
}

#[test]
#[ignore = "writes files that are missing; run by whoever adds a message"]
fn writes_missing_golden_files() {
    let write = |file: String, content: String| {
        let path = path(&file);
        if !path.exists() {
            fs::write(path, content).unwrap();
        }
    };
    for (name, bytes) in files() {
        let title = format!("{name}, schema_version 1: MessagePack with named fields");
        write(format!("{name}.hex"), annotate::annotate(&title, &bytes));
    }
    let json = String::from_utf8(sample::request().to_json()).unwrap();
    write("infer_request.json".to_owned(), json + "\n");
}
