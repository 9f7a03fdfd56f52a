//! What the store remembers besides jobs: API keys, keys of job ids, idempotency keys.

use std::collections::BTreeMap;

use gristmill_broker::{
    Begun, StoreError, Watch,
    api_keys::{ApiKeyRecord, Grant, Scope},
};
use gristmill_schemas::{Digest, JobIdKeys, KeyId, Timestamp, key};
use gristmill_telemetry::Shutdown;

use crate::{
    bench::{StoreBench, within},
    jobs::{id, tenant},
};

fn record() -> ApiKeyRecord {
    ApiKeyRecord {
        tenant: tenant(),
        secret_digest: Digest::of(b"secret"),
        name: "the mill's own".to_owned(),
        grant: Grant::default(),
        created_at: Timestamp::from_millis(1_700_000_000_000),
        revoked_at: None,
    }
}

fn keys(keys: &[(u8, u8)]) -> JobIdKeys {
    JobIdKeys::new(keys.iter().map(|(number, byte)| (*number, [*byte; 32])).collect()).unwrap()
}

#[tokio::test]
async fn api_keys_are_read_as_written_and_revoked_once() {
    let bench = StoreBench::start().await;
    let (one, two): (KeyId, KeyId) = ("one".parse().unwrap(), "two".parse().unwrap());
    assert_eq!(bench.store.api_keys().await, Ok(BTreeMap::new()));
    bench.store.put_api_key(&one, &record()).await.unwrap();
    bench.store.put_api_key(&two, &record()).await.unwrap();
    let (first, second) = (Timestamp::from_millis(1), Timestamp::from_millis(2));
    assert_eq!(bench.store.revoke_api_key(&one, first).await, Ok(true));
    assert_eq!(bench.store.revoke_api_key(&one, second).await, Ok(true));
    assert_eq!(
        bench.store.revoke_api_key(&"three".parse().unwrap(), first).await,
        Ok(false)
    );
    let revoked = ApiKeyRecord {
        revoked_at: Some(first),
        ..record()
    };
    assert_eq!(
        bench.store.api_keys().await,
        Ok([(one, revoked), (two, record())].into())
    );
}

#[tokio::test]
async fn key_whose_record_says_nothing_of_its_use_may_be_used_for_all() {
    let mut json = serde_json::to_value(record()).unwrap();
    assert_eq!(json["scopes"].as_array().unwrap().len(), Scope::ALL.len());
    json.as_object_mut().unwrap().remove("scopes");
    let read: ApiKeyRecord = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(read, record());
    json["scopes"] = serde_json::json!(["submit", "a scope of tomorrow"]);
    assert!(
        serde_json::from_value::<ApiKeyRecord>(json).is_err(),
        "never more than it says"
    );
}

#[tokio::test]
async fn change_of_the_api_keys_is_hinted_also_after_a_lost_connection() {
    let bench = StoreBench::start().await;
    let watch = Watch::start(&bench.store, &Shutdown::new());
    let mut changes = watch.access_changed();
    within("the connection", changes.changed()).await.unwrap();
    changes.borrow_and_update();
    bench
        .store
        .put_api_key(&"one".parse().unwrap(), &record())
        .await
        .unwrap();
    within("the hint", changes.changed()).await.unwrap();
    changes.borrow_and_update();
    bench.ask::<u64>("CLIENT KILL TYPE pubsub").await;
    within("a hint that one may have been missed", changes.changed())
        .await
        .unwrap();
}

#[tokio::test]
async fn lost_or_changed_job_id_key_is_refused_until_it_is_retired() {
    let bench = StoreBench::start().await;
    let store = &bench.store;
    assert_eq!(store.register_job_id_keys(&keys(&[(1, 1)])).await, Ok(()));
    assert_eq!(store.register_job_id_keys(&keys(&[(1, 1), (2, 2)])).await, Ok(()));
    assert_eq!(
        store.register_job_id_keys(&keys(&[(2, 2)])).await,
        Err(StoreError::LostKey(1))
    );
    let changed = keys(&[(1, 1), (2, 9)]);
    assert_eq!(store.register_job_id_keys(&changed).await, Err(StoreError::LostKey(2)));
    store.retire_job_id_key(1).await.unwrap();
    assert_eq!(store.register_job_id_keys(&keys(&[(2, 2)])).await, Ok(()));
}

#[tokio::test]
async fn refused_job_id_keys_do_not_lock_out_those_in_use() {
    let bench = StoreBench::start().await;
    let store = &bench.store;
    let in_use = keys(&[(1, 1)]);
    store.register_job_id_keys(&in_use).await.unwrap();
    assert_eq!(
        store.register_job_id_keys(&keys(&[(7, 7)])).await,
        Err(StoreError::LostKey(1))
    );
    assert_eq!(store.register_job_id_keys(&in_use).await, Ok(()));
}

#[tokio::test]
async fn idempotency_key_stands_for_one_job_until_it_is_forgotten() {
    let bench = StoreBench::start().await;
    let (store, tenant, first, second) = (&bench.store, tenant(), id(), id());
    let (body, other) = (Digest::of(b"body"), Digest::of(b"other"));
    let begin = async |body, id| store.idempotency_begin(&tenant, "order 7", (body, id)).await.unwrap();
    assert_eq!(begin(body, first).await, Begun::New);
    assert_eq!(begin(body, second).await, Begun::Pending(first));
    assert_eq!(begin(other, second).await, Begun::Mismatch);
    store
        .idempotency_confirm(&tenant, "order 7", (body, first))
        .await
        .unwrap();
    assert_eq!(begin(body, second).await, Begun::Confirmed(first));
    assert_eq!(begin(other, second).await, Begun::Mismatch);
    let name = key::idempotency(&tenant, "order 7");
    assert!(
        bench.ask::<i64>(&format!("PTTL {name}")).await > 0,
        "confirming keeps the expiry"
    );
    let stranger = "stranger".parse().unwrap();
    let theirs = store.idempotency_begin(&stranger, "order 7", (body, second)).await;
    assert_eq!(theirs, Ok(Begun::New), "a key is its tenant's own");
    store
        .idempotency_forget(&tenant, "order 7", (body, first))
        .await
        .unwrap();
    assert_eq!(
        begin(body, second).await,
        Begun::Confirmed(first),
        "what somebody has confirmed stays"
    );
}

#[tokio::test]
async fn a_forgotten_idempotency_key_is_free_again() {
    let bench = StoreBench::start().await;
    let (store, job) = (&bench.store, (Digest::of(b"body"), id()));
    let begun = store.idempotency_begin(&tenant(), "once", job).await;
    assert_eq!(begun, Ok(Begun::New));
    store.idempotency_forget(&tenant(), "once", job).await.unwrap();
    assert_eq!(bench.ask::<u64>("DBSIZE").await, 0);
}

#[tokio::test]
async fn confirming_a_forgotten_idempotency_key_brings_it_back() {
    let bench = StoreBench::start().await;
    let job = (Digest::of(b"body"), id());
    let confirmed = bench.store.idempotency_confirm(&tenant(), "back", job).await;
    assert_eq!(confirmed, Ok(()));
    let begun = bench.store.idempotency_begin(&tenant(), "back", job).await;
    assert_eq!(begun, Ok(Begun::Confirmed(job.1)));
}
