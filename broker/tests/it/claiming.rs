//! Who may run a job, and as which attempt.

use std::sync::atomic::{AtomicU64, Ordering};

use gristmill_broker::{Claim, ClaimRequest};
use gristmill_schemas::{JobId, JobState, key};

use crate::{
    bench::{StoreBench, within},
    jobs::{id, success, tenant},
};

/// A claim with a token of its own.
async fn claim(bench: &StoreBench, id: &JobId, redelivered: bool) -> Claim {
    static TOKENS: AtomicU64 = AtomicU64::new(0);
    claim_as(bench, id, redelivered.then(|| TOKENS.fetch_add(1, Ordering::Relaxed))).await
}

async fn claim_as(bench: &StoreBench, id: &JobId, redelivered: Option<u64>) -> Claim {
    let tenant = tenant();
    let request = ClaimRequest {
        tenant: &tenant,
        id,
        redelivered,
    };
    let mut claims = within("a claim", bench.store.claim(&[request])).await.unwrap();
    claims.remove(0).unwrap()
}

#[tokio::test]
async fn a_claim_made_again_is_the_same_attempt() {
    let bench = StoreBench::start().await;
    let id = id();
    for _ in 0..3 {
        assert_eq!(claim_as(&bench, &id, Some(7)).await, Claim::Run { attempt: 2 });
    }
    assert_eq!(claim_as(&bench, &id, Some(8)).await, Claim::Run { attempt: 3 });
}

#[tokio::test]
async fn first_claim_writes_nothing() {
    let bench = StoreBench::start().await;
    assert_eq!(claim(&bench, &id(), false).await, Claim::Run { attempt: 1 });
    assert_eq!(bench.ask::<u64>("DBSIZE").await, 0);
}

#[tokio::test]
async fn later_claims_count_attempts_from_two_and_do_not_stay_for_ever() {
    let bench = StoreBench::start().await;
    let id = id();
    claim(&bench, &id, false).await;
    for attempt in 2..5 {
        assert_eq!(claim(&bench, &id, true).await, Claim::Run { attempt });
    }
    assert!(bench.ask::<i64>(&format!("PTTL {}", key::job(&tenant(), &id))).await > 0);
    assert_eq!(bench.store.state(&tenant(), &id).await, Ok(None));
    assert!(bench.store.read(&tenant(), &id).await.unwrap().is_none());
}

#[tokio::test]
async fn claim_of_an_ended_job_tells_how_it_ended_whether_redelivered_or_not() {
    let bench = StoreBench::start().await;
    let id = id();
    let (outcome, lineage) = success(id);
    bench.store.settle(&tenant(), &outcome, &lineage).await.unwrap();
    for redelivered in [false, true] {
        assert_eq!(claim(&bench, &id, redelivered).await, Claim::Ended(JobState::Succeeded));
    }
}

#[tokio::test]
async fn answers_stand_in_the_order_of_the_requests() {
    let bench = StoreBench::start().await;
    let (tenant, ids) = (tenant(), [id(), id(), id()]);
    let (outcome, lineage) = success(ids[1]);
    bench.store.settle(&tenant, &outcome, &lineage).await.unwrap();
    claim(&bench, &ids[2], true).await;
    let requests = [(0, None), (1, Some(100)), (2, Some(101))].map(|(index, redelivered)| ClaimRequest {
        tenant: &tenant,
        id: &ids[index],
        redelivered,
    });
    let claims = within("the claims", bench.store.claim(&requests)).await.unwrap();
    let expected = [
        Ok(Claim::Run { attempt: 1 }),
        Ok(Claim::Ended(JobState::Succeeded)),
        Ok(Claim::Run { attempt: 3 }),
    ];
    assert_eq!(claims, expected);
    assert_eq!(bench.store.claim(&[]).await, Ok(vec![]));
}
