//! Names on the broker and in the store: safe, and never two things under one name.

use std::collections::BTreeSet;

use gristmill_schemas::{
    Lane, ModelName, TenantId, VersionName, key,
    subject::{self, Queue, TenantGroup},
};
use proptest::prelude::*;

use crate::sample;

/// Models and versions out of few characters, so that near misses are frequent.
fn name() -> impl Strategy<Value = String> {
    "[a1][a1_-]{0,3}"
}

fn queue() -> impl Strategy<Value = Queue> {
    (name(), name(), any::<bool>(), any::<prop::sample::Index>()).prop_map(|(model, version, batch, group)| Queue {
        model: model.parse().unwrap(),
        version: version.parse().unwrap(),
        lane: if batch { Lane::Batch } else { Lane::Interactive },
        group: TenantGroup::all()
            .nth(group.index(subject::TENANT_GROUPS.into()))
            .unwrap(),
    })
}

proptest! {
    #[test]
    fn queues_differ_in_subject_and_consumer(one in queue(), other in queue()) {
        prop_assert_eq!(one == other, one.subject() == other.subject());
        prop_assert_eq!(one == other, one.consumer() == other.consumer());
    }

    #[test]
    fn subject_has_five_tokens_and_no_wildcard(queue in queue()) {
        let subject = queue.subject();
        let tokens: Vec<&str> = subject.split('.').collect();
        prop_assert_eq!(tokens.len(), 5);
        prop_assert_eq!(tokens[0], "jobs");
        prop_assert!(tokens.iter().all(|token| !token.is_empty() && !token.contains(['*', '>', ' '])));
    }

    #[test]
    fn consumer_has_no_character_that_the_broker_refuses(queue in queue()) {
        prop_assert!(!queue.consumer().contains(['.', '*', '>', '/', '\\', ' ', '\t']));
    }

    #[test]
    fn keys_of_one_tenant_are_never_anothers(tenants in ("[a1_-]{1,6}", "[a1_-]{1,6}"), random: u8) {
        let parsed = (format!("a{}", tenants.0).parse::<TenantId>(), format!("a{}", tenants.1).parse::<TenantId>());
        let (one, other) = (parsed.0.unwrap(), parsed.1.unwrap());
        prop_assume!(one != other);
        let id = sample::job_id(random);
        prop_assert_ne!(key::job(&one, &id), key::job(&other, &id));
        prop_assert_ne!(key::events(&one, 3), key::events(&other, 3));
        prop_assert_ne!(key::hints(&one, 3), key::hints(&other, 3));
        prop_assert_ne!(key::idempotency(&one, "k"), key::idempotency(&other, "k"));
    }
}

#[test]
fn version_has_one_queue_a_lane_and_group() {
    let (model, version): (ModelName, VersionName) = ("minilm".parse().unwrap(), "1".parse().unwrap());
    let subjects: BTreeSet<String> = Queue::of_version(&model, &version)
        .map(|queue| queue.subject())
        .collect();
    assert_eq!(subjects.len(), 2 * usize::from(subject::TENANT_GROUPS));
    assert!(subjects.contains("jobs.minilm.1.interactive.0"));
    assert!(subjects.contains("jobs.minilm.1.batch.3"));
}

#[test]
fn tenants_spread_over_all_groups() {
    let groups: BTreeSet<u8> = (0..100)
        .map(|n| TenantGroup::of(&format!("tenant-{n}").parse().unwrap()).number())
        .collect();
    assert_eq!(groups, (0..subject::TENANT_GROUPS).collect());
}

/// The part of a key between braces, by which a Redis Cluster chooses its slot.
fn hash_tag(key: &str) -> &str {
    let (_, rest) = key.split_once('{').unwrap();
    rest.split_once('}').unwrap().0
}

#[test]
fn keys_of_one_job_share_a_hash_tag() {
    let (tenant, id) = (sample::tenant(), sample::job_id(5));
    let bucket = id.bucket(key::BUCKETS);
    let keys = [
        key::job(&tenant, &id),
        key::events(&tenant, bucket),
        key::events_window(&tenant, bucket),
        key::hints(&tenant, bucket),
        key::queued(&tenant, bucket),
        key::dead_letters(&tenant, bucket),
    ];
    for key in &keys {
        assert_eq!(hash_tag(key), hash_tag(&keys[0]));
    }
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), 6);
    assert_eq!(hash_tag(&keys[0]), format!("acme:{bucket}"));
}

#[test]
fn idempotency_key_is_not_in_its_record_s_name() {
    let name = key::idempotency(&sample::tenant(), "secret-order-17");
    assert!(!name.contains("secret"), "{name}");
}
