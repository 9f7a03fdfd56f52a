//! API keys and tenants.

use std::collections::{BTreeMap, BTreeSet};

use gristmill_broker::api_keys::{Grant, Scope};
use gristmill_schemas::{Timestamp, api::BulkReply};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::stand::{Stand, job, problem, until};

#[tokio::test]
async fn revoked_key_is_refused_without_a_restart() {
    let stand = Stand::start().await;
    let key = stand.key_of("other").await;
    let asks = || {
        stand
            .http
            .get(format!("{}/v1/models", stand.url))
            .bearer_auth(key.reveal())
    };
    assert_eq!(asks().send().await.unwrap().status(), StatusCode::OK);
    assert!(
        stand
            .store
            .revoke_api_key(&key.id, Timestamp::from_millis(1))
            .await
            .unwrap()
    );
    until("revoked", async || {
        asks().send().await.unwrap().status() == StatusCode::UNAUTHORIZED
    })
    .await;
    let answer = asks().send().await.unwrap();
    assert_eq!(answer.headers()["www-authenticate"], "Bearer");
    problem(answer, 401, "unauthenticated").await;
}

#[tokio::test]
async fn key_may_come_in_the_other_header() {
    let stand = Stand::start().await;
    let asks = stand
        .http
        .get(format!("{}/v1/models", stand.url))
        .header("x-api-key", &stand.key);
    assert_eq!(asks.send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn tenants_cannot_see_or_cancel_each_others_jobs() {
    let stand = Stand::start().await;
    let id = stand.submit(&job()).await;
    let other = stand.key_of("other").await.reveal();
    let url = format!("{}/v1/jobs/{id}", stand.url);
    let read = stand.http.get(&url).bearer_auth(&other).send().await.unwrap();
    let foreign = problem(read, 404, "job_not_found").await;
    let cancel = stand
        .http
        .post(format!("{url}/cancel"))
        .bearer_auth(&other)
        .send()
        .await
        .unwrap();
    problem(cancel, 404, "job_not_found").await;
    let nonsense = stand.get("/v1/jobs/nonsense").send().await.unwrap();
    assert_eq!(problem(nonsense, 404, "job_not_found").await, foreign);
}

/// What a key needs for each route, as the document names them.
fn scopes() -> BTreeMap<(String, String), Option<Scope>> {
    let rows = [
        ("post", "/v1/jobs", Some(Scope::Submit)),
        ("post", "/v1/jobs/bulk", Some(Scope::Submit)),
        ("post", "/v1/jobs/{id}/cancel", Some(Scope::Submit)),
        ("get", "/v1/jobs", Some(Scope::Read)),
        ("get", "/v1/events", Some(Scope::Read)),
        ("get", "/v1/queues", Some(Scope::Read)),
        ("get", "/v1/jobs/{id}", Some(Scope::Read)),
        ("get", "/v1/jobs/{id}/result", Some(Scope::Read)),
        ("get", "/v1/jobs/{id}/lineage", Some(Scope::Read)),
        ("get", "/v1/jobs/{id}/events", Some(Scope::Read)),
        ("get", "/v1/dead-letters", Some(Scope::Read)),
        ("get", "/v1/dead-letters/{id}", Some(Scope::Read)),
        ("delete", "/v1/dead-letters/{id}", Some(Scope::Operate)),
        ("post", "/v1/dead-letters/{id}/redrive", Some(Scope::Operate)),
        ("post", "/v1/dead-letters/redrive", Some(Scope::Operate)),
        ("post", "/v1/dead-letters/drop", Some(Scope::Operate)),
        ("get", "/v1/webhooks/deliveries", Some(Scope::Read)),
        ("get", "/v1/webhooks/deliveries/{id}", Some(Scope::Read)),
        ("post", "/v1/webhooks/deliveries/{id}/redeliver", Some(Scope::Operate)),
        ("get", "/v1/models", None),
        ("get", "/v1/models/{name}", None),
    ];
    let key = |(method, path, scope): (&str, &str, _)| ((method.to_owned(), path.to_owned()), scope);
    rows.map(key).into()
}

#[tokio::test]
async fn key_is_good_for_its_scopes_and_no_other_route() {
    let stand = Stand::start().await;
    let document: Value = stand.get("/openapi.json").send().await.unwrap().json().await.unwrap();
    let paths = document["paths"].as_object().unwrap();
    let routes = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().keys();
        methods.map(|method| (method.clone(), path.clone()))
    });
    let (routes, scopes): (BTreeSet<_>, _) = (routes.collect(), scopes());
    assert_eq!(routes, scopes.keys().cloned().collect(), "the table names every route");
    for scope in Scope::ALL {
        let grant = Grant {
            scopes: [scope].into(),
            ..Grant::default()
        };
        let key = stand.key_for("acme", grant).await.reveal();
        for ((method, path), needed) in &scopes {
            let path = path.replace("{id}", &"0".repeat(56)).replace("{name}", "identity");
            let method: Method = method.to_uppercase().parse().unwrap();
            let call = stand.http.request(method, format!("{}{path}", stand.url));
            let answer = call.bearer_auth(&key).send().await.unwrap();
            let may = needed.is_none_or(|needed| needed == scope);
            assert_eq!(answer.status() != StatusCode::FORBIDDEN, may, "{scope} at {path}");
            if !may {
                let told = problem(answer, 403, "forbidden").await;
                let needed = needed.unwrap().to_string();
                assert!(told["detail"].as_str().unwrap().ends_with(&needed), "{told}");
            }
        }
    }
}

#[tokio::test]
async fn key_for_a_model_submits_for_no_other_whatever_the_door() {
    let stand = Stand::start().await;
    let grant = Grant {
        models: ["light".parse().unwrap(), "minilm".parse().unwrap()].into(),
        ..Grant::default()
    };
    let key = stand.key_for("acme", grant).await.reveal();
    let post = |path: &str| stand.http.post(format!("{}{path}", stand.url)).bearer_auth(&key);
    let told = problem(post("/v1/jobs").json(&job()).send().await.unwrap(), 403, "forbidden").await;
    assert_eq!(
        (&told["field"], &told["limit"]),
        (&"model".into(), &"light, minilm".into())
    );
    let bulk = post("/v1/jobs/bulk").header("content-type", "application/x-ndjson");
    let lines = bulk.body(job().to_string()).send().await.unwrap().text().await.unwrap();
    let reply: BulkReply = serde_json::from_str(lines.trim()).unwrap();
    assert_eq!(reply.error.unwrap().code, "forbidden");
    assert_eq!(stand.envelopes().await, 0);
    // another key of the same tenant may: it is the key that is limited
    stand.submit(&job()).await;
}
