//! What a reader of messages tolerates and what it refuses: fields it does not know, other majors, broken bytes.

use gristmill_schemas::{
    Envelope, Lineage, Outcome,
    codec::{self, DecodeError},
};
use proptest::prelude::*;

use crate::{golden, sample};

const MESSAGES: [&str; 7] = [
    "envelope",
    "outcome_succeeded",
    "outcome_failed",
    "outcome_expired",
    "outcome_cancelled",
    "lineage",
    "lineage_of_id",
];

/// Decodes as the message that the golden file's name says.
fn decode(name: &str, bytes: &[u8]) -> Result<(), DecodeError> {
    match name.split('_').next().unwrap() {
        "envelope" => Envelope::decode(bytes).map(drop),
        "outcome" => Outcome::decode(bytes).map(drop),
        "lineage" => Lineage::decode(bytes).map(drop),
        _ => panic!("{name} is no message"),
    }
}

/// A map with one field more.
fn with_field(map: &[u8], key: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = map.to_vec();
    match bytes[0] {
        0x80..=0x8e => bytes[0] += 1,
        0x8f => drop(bytes.splice(0..1, [0xde, 0, 16])),
        0xde => bytes[2] += 1,
        marker => panic!("{marker:#x} begins no map"),
    }
    bytes.extend(codec::encode(&key));
    bytes.extend(value);
    bytes
}

/// The message cut off behind its version, which is replaced.
fn head_with_version(message: &[u8], version: u64) -> (Vec<u8>, usize) {
    let field = codec::encode(&"schema_version");
    let start = message.windows(field.len()).position(|part| part == field).unwrap() + field.len();
    let head = [&message[..start], &codec::encode(&version)].concat();
    (head, start + 1)
}

#[test]
fn unknown_field_is_tolerated() {
    for name in MESSAGES {
        for value in [
            codec::encode(&7),
            codec::encode(&vec!["a", "b"]),
            codec::encode(&sample::job()),
        ] {
            let bytes = with_field(&golden::bytes(name), "later", &value);
            assert_eq!(decode(name, &bytes), Ok(()), "{name}");
        }
    }
}

#[test]
fn unknown_field_of_a_part_is_tolerated() {
    let job = with_field(&codec::encode(&sample::job()), "later", &codec::encode(&7));
    let mut bytes = vec![0x82];
    bytes.extend(codec::encode(&"schema_version"));
    bytes.push(1);
    bytes.extend(codec::encode(&"jobs"));
    bytes.push(0x91);
    bytes.extend(job);
    assert_eq!(Envelope::decode(&bytes).unwrap().jobs, [sample::job()]);
}

#[test]
fn unknown_major_is_refused_by_its_own_error() {
    for name in MESSAGES {
        let message = golden::bytes(name);
        for version in [0, 2, 300, 65_535, 65_536, u64::MAX] {
            let (head, rest) = head_with_version(&message, version);
            let whole = [&head, &message[rest..]].concat();
            assert_eq!(decode(name, &whole), Err(DecodeError::UnknownMajor(version)), "{name}");
        }
    }
}

#[test]
fn unknown_major_is_refused_by_its_own_error_when_the_rest_cannot_be_read() {
    let deep = [0x91; 1000];
    for name in MESSAGES {
        let (head, _) = head_with_version(&golden::bytes(name), 2);
        for rest in [&[][..], &[0xc1; 40], &[0xdb, 0xff, 0xff, 0xff, 0xff], &deep] {
            let bytes = [&head, rest].concat();
            assert_eq!(decode(name, &bytes), Err(DecodeError::UnknownMajor(2)), "{name}");
        }
    }
}

#[test]
fn version_that_is_no_number_is_malformed() {
    for name in MESSAGES {
        let (head, rest) = head_with_version(&golden::bytes(name), 0);
        let bytes = [&head[..head.len() - 1], &[0xa1, b'1'], &golden::bytes(name)[rest..]].concat();
        let refused = decode(name, &bytes);
        assert!(matches!(refused, Err(DecodeError::Malformed(_))), "{name}: {refused:?}");
    }
}

#[test]
fn message_cut_off_anywhere_is_malformed() {
    for name in MESSAGES {
        let message = golden::bytes(name);
        for length in 0..message.len() {
            let refused = decode(name, &message[..length]);
            assert!(matches!(refused, Err(DecodeError::Malformed(_))), "{name} at {length}");
        }
    }
}

#[test]
fn bytes_behind_a_message_are_refused() {
    for name in MESSAGES {
        for rest in [
            &[0x00][..],
            &[0xc0],
            &[0xc1],
            &[0x91],
            &[0x81],
            &[0xd9],
            &[0xd9, 0xff],
            &[0xc7],
            &[0xd4],
            &[0xcd],
        ] {
            let refused = decode(name, &[&golden::bytes(name), rest].concat());
            assert!(matches!(refused, Err(DecodeError::Malformed(_))), "{name}: {refused:?}");
        }
    }
}

#[test]
fn lengths_that_promise_gigabytes_are_refused() {
    // an array, a map, a string and a byte string of 2^32 - 1, as the value of `jobs`
    for marker in [0xdd, 0xdf, 0xdb, 0xc6] {
        let mut bytes = vec![0x82];
        bytes.extend(codec::encode(&"schema_version"));
        bytes.push(1);
        bytes.extend(codec::encode(&"jobs"));
        bytes.extend([marker, 0xff, 0xff, 0xff, 0xff]);
        assert!(matches!(Envelope::decode(&bytes), Err(DecodeError::Malformed(_))));
    }
}

proptest! {
    #[test]
    fn changed_bytes_never_panic(name in prop::sample::select(MESSAGES.to_vec()), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut message = golden::bytes(name);
        for (index, byte) in changes {
            let index = index.index(message.len());
            message[index] = byte;
        }
        let _ = decode(name, &message);
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for name in ["envelope", "outcome", "lineage"] {
            let _ = decode(name, &bytes);
        }
    }
}
