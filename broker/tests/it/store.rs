//! The connection to the store while there is none, and after.

use gristmill_broker::StoreError;
use gristmill_servers::{Signal, free_port};

use crate::{
    bench::{StoreBench, store_at, until, within},
    jobs::{id, tenant},
};

#[tokio::test]
async fn store_that_is_not_there_is_said_in_time() {
    let store = store_at(&format!("redis://127.0.0.1:{}", free_port().unwrap()));
    for _ in 0..3 {
        let answer = within("the answer", store.ping()).await;
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    }
    assert!(!within("the answer", store.writable()).await);
}

#[tokio::test]
async fn store_that_was_away_is_found_again() {
    let mut bench = StoreBench::start().await;
    bench.store.ping().await.unwrap();
    bench.server.kill().await.unwrap();
    for _ in 0..3 {
        assert!(within("the answer", bench.store.ping()).await.is_err());
    }
    bench.server.restart().await.unwrap();
    until("the store", async || bench.store.ping().await.is_ok()).await;
}

#[tokio::test]
async fn first_call_after_a_restart_is_answered() {
    let mut bench = StoreBench::start().await;
    bench.store.ping().await.unwrap();
    bench.server.kill().await.unwrap();
    bench.server.restart().await.unwrap();
    assert_eq!(within("the read", bench.store.state(&tenant(), &id())).await, Ok(None));
}

#[tokio::test]
async fn store_that_is_silent_is_said_in_time_and_answers_once_it_speaks() {
    let bench = StoreBench::start().await;
    bench.store.ping().await.unwrap();
    bench.server.signal(Signal::SIGSTOP).unwrap();
    let answer = within("the answer", bench.store.ping()).await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    bench.server.signal(Signal::SIGCONT).unwrap();
    until("the store", async || bench.store.ping().await.is_ok()).await;
}

#[tokio::test]
async fn record_of_another_shape_is_unreadable_and_not_quoted() {
    let bench = StoreBench::start().await;
    let (tenant, id) = (tenant(), id());
    let key = gristmill_schemas::key::job(&tenant, &id);
    bench
        .ask::<()>(&format!(
            "HSET {key} state succeeded outcome secret lineage secret committed_at secret"
        ))
        .await;
    let read = bench.store.read(&tenant, &id).await.unwrap_err();
    assert!(matches!(read, StoreError::Unreadable(_)), "{read:?}");
    assert!(!format!("{read} {read:?}").contains("secret"), "{read:?}");
    bench.ask::<()>(&format!("HSET {key} state ground")).await;
    let state = bench.store.state(&tenant, &id).await.unwrap_err();
    assert!(matches!(state, StoreError::Unreadable(_)), "{state:?}");
}
