//! Job ids: what they carry, and that nobody but the holder of a key can make one.

use std::collections::BTreeMap;

use gristmill_schemas::{
    JobId, JobIdKeys, Lane, Retention, Span, TenantId, Timestamp, codec, job_id::Mint, subject::QueueTag,
};
use proptest::prelude::*;

use crate::sample;

fn keys(numbers: &[u8]) -> JobIdKeys {
    JobIdKeys::new(numbers.iter().map(|number| (*number, [*number; 32])).collect()).unwrap()
}

fn mint(accepted_millis: u64, time_to_live: u32, random: [u8; 8]) -> Mint {
    Mint {
        accepted_at: Timestamp::from_millis(accepted_millis),
        time_to_live: Span::from_millis(time_to_live),
        retention: Retention::MAX,
        queue: QueueTag::of(&"magika".parse().unwrap(), &"1".parse().unwrap(), Lane::Interactive),
        random,
    }
}

/// The id with one of its 280 bits turned over.
fn flipped(id: JobId, bit: usize) -> JobId {
    let mut bytes = codec::encode(&id);
    let start = bytes.len() - 35;
    bytes[start + bit / 8] ^= 1 << (bit % 8);
    codec::decode_part(&bytes).unwrap()
}

#[test]
fn id_signed_here_for_this_tenant_verifies() {
    assert_eq!(sample::keys().verify(&sample::job_id(9), &sample::tenant()), Ok(()));
}

#[test]
fn id_with_any_bit_flipped_is_refused() {
    let (id, tenant) = (sample::job_id(9), sample::tenant());
    for bit in 0..280 {
        let forged = flipped(id, bit);
        assert_ne!(forged, id);
        assert!(sample::keys().verify(&forged, &tenant).is_err(), "bit {bit}");
    }
}

#[test]
fn id_of_another_tenant_is_refused() {
    let other: TenantId = "acme-2".parse().unwrap();
    assert!(sample::keys().verify(&sample::job_id(9), &other).is_err());
}

#[test]
fn id_of_an_unknown_key_number_is_refused() {
    let id = keys(&[1, 2]).mint(&sample::tenant(), mint(1, 1, [0; 8]));
    assert_eq!(id.key_number(), 2);
    assert!(keys(&[1, 3]).verify(&id, &sample::tenant()).is_err());
}

#[test]
fn id_of_another_key_with_the_same_number_is_refused() {
    let other = JobIdKeys::new(BTreeMap::from([(3, [8; 32])])).unwrap();
    assert!(other.verify(&sample::job_id(9), &sample::tenant()).is_err());
}

#[test]
fn old_key_still_verifies_after_a_rotation() {
    let tenant = sample::tenant();
    let old = keys(&[1]).mint(&tenant, mint(1, 1, [0; 8]));
    let rotated = keys(&[1, 2]);
    let new = rotated.mint(&tenant, mint(1, 1, [0; 8]));
    assert_eq!((old.key_number(), new.key_number()), (1, 2));
    assert_eq!(rotated.verify(&old, &tenant), Ok(()));
    assert_eq!(rotated.verify(&new, &tenant), Ok(()));
}

#[test]
fn keys_without_a_key_are_none() {
    assert!(JobIdKeys::new(BTreeMap::new()).is_none());
}

#[test]
fn secrets_are_in_neither_debug_nor_fingerprint() {
    let keys = keys(&[0xab]);
    let shown = format!("{keys:?} {:?}", keys.fingerprints().collect::<Vec<_>>());
    assert!(!shown.contains("abab") && !shown.contains("171, 171"), "{shown}");
}

#[test]
fn fingerprint_tells_keys_of_one_number_apart() {
    let other = JobIdKeys::new(BTreeMap::from([(3, [8; 32])])).unwrap();
    assert!(other.fingerprints().ne(sample::keys().fingerprints()));
}

#[test]
fn text_that_is_no_id_is_refused() {
    let text = sample::job_id(9).to_string();
    let wrong = [
        String::new(),
        text[1..].to_owned(),
        format!("{text}a"),
        text.to_uppercase(),
        text.replacen(&text[..1], "w", 1),
        text.replacen(&text[..1], "=", 1),
        format!("ä{}", &text[2..]),
    ];
    for text in wrong {
        assert!(text.parse::<JobId>().is_err(), "{text:?}");
    }
}

proptest! {
    #[test]
    fn id_carries_what_it_was_minted_with(accepted in 0_u64..1 << 48, time_to_live: u32, random: [u8; 8]) {
        let id = sample::keys().mint(&sample::tenant(), mint(accepted, time_to_live, random));
        prop_assert_eq!(id.accepted_at(), Timestamp::from_millis(accepted));
        prop_assert_eq!(id.time_to_live(), Span::from_millis(time_to_live));
        prop_assert_eq!(id.deadline(), Timestamp::from_millis(accepted + u64::from(time_to_live)));
        prop_assert_eq!(id.retention(), Retention::MAX);
        prop_assert_eq!(id.queue_tag(), mint(accepted, time_to_live, random).queue);
        prop_assert!(id.bucket(16) < 16);
        prop_assert_eq!(sample::keys().verify(&id, &sample::tenant()), Ok(()));
    }

    #[test]
    fn text_and_bytes_come_back(accepted in 0_u64..1 << 48, random: [u8; 8]) {
        let id = sample::keys().mint(&sample::tenant(), mint(accepted, 1, random));
        let text = id.to_string();
        prop_assert_eq!(text.len(), 56);
        prop_assert!(text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'v')));
        prop_assert_eq!(text.parse::<JobId>().unwrap(), id);
        prop_assert_eq!(codec::decode_part::<JobId>(&codec::encode(&id)).unwrap(), id);
    }

    #[test]
    fn ids_sort_by_accept_time(earlier in 0_u64..1 << 48, later in 0_u64..1 << 48, randoms: [[u8; 8]; 2]) {
        prop_assume!(earlier < later);
        let id = |accepted, random| sample::keys().mint(&sample::tenant(), mint(accepted, 1, random));
        let (first, second) = (id(earlier, randoms[0]), id(later, randoms[1]));
        prop_assert!(first < second);
        prop_assert!(first.to_string() < second.to_string());
    }
}
