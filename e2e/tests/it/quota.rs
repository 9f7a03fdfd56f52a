//! One limit for a tenant's waiting jobs, held by two ingests together.

use std::cell::RefCell;

use gristmill_e2e::{Client, Stack, wait::until};
use gristmill_schemas::api::{JobView, Queues};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const LIMIT: usize = 60;

/// Hands in a job; `None` if the tenant has too many.
async fn submit(client: &Client) -> anyhow::Result<Option<String>> {
    let body = json!({"model": "identity", "deadline": "10m",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 8], "data": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]}]});
    let reply = client.request(Method::POST, "/v1/jobs").json(&body).send().await?;
    if reply.status() == StatusCode::ACCEPTED {
        return Ok(Some(reply.json::<JobView>().await?.id.to_string()));
    }
    assert_eq!(reply.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(reply.headers().contains_key("retry-after"));
    let problem: Value = reply.json().await?;
    assert_eq!(problem["code"], "tenant_over_quota", "{problem}");
    assert_eq!(problem["limit"], format!("{LIMIT} jobs"), "{problem}");
    Ok(None)
}

#[tokio::test]
async fn two_ingests_hold_one_limit_and_every_end_frees_a_place() -> anyhow::Result<()> {
    let flags = ["--max-queued-per-tenant".to_owned(), LIMIT.to_string()];
    let mut stack = Stack::start_in(tempfile::tempdir()?, &flags).await?;
    let second = stack.another_ingest("ingest-2").await?;
    let key = stack.api_key("greedy").await?;
    let url = second.at.url.clone().expect("an ingest announces its URL");
    let doors = [stack.client("greedy").await?, Client::new(&url, &key)];
    until("the other ingest to know the key", || async {
        let reply = doors[1].request(Method::GET, "/v1/models").send().await?;
        Ok(reply.status().is_success().then_some(()))
    })
    .await?;

    let mut accepted = Vec::from_iter(submit(&doors[0]).await?);
    // until its ingest has read the count, it refuses nobody; after that, it adds to it
    until("the first job to be counted", || async {
        let reply = doors[0].request(Method::GET, "/v1/queues").send().await?;
        let queues: Queues = reply.error_for_status()?.json().await?;
        Ok((queues.jobs == 1).then_some(()))
    })
    .await?;
    while let Some(id) = submit(&doors[0]).await? {
        accepted.push(id);
        assert!(accepted.len() <= LIMIT, "{} jobs wait", accepted.len());
    }
    assert_eq!(accepted.len(), LIMIT);
    // the other takes some before it hears of these, but fewer than it would take by itself
    let more = RefCell::new(Vec::new());
    until("the other ingest to refuse", || async {
        let id = submit(&doors[1]).await?;
        let is_refused = id.is_none();
        more.borrow_mut().extend(id);
        Ok(is_refused.then_some(()))
    })
    .await?;
    accepted.append(&mut more.into_inner());
    assert!(accepted.len() < 2 * LIMIT, "{} jobs wait", accepted.len());
    // nobody else has to do with it
    let other = stack.client("modest").await?;
    assert!(submit(&other).await?.is_some());

    // an ingest that dies takes no count with it
    stack.ingest.kill().await?;
    assert!(submit(&doors[1]).await?.is_none());
    for id in &accepted {
        let reply = doors[1]
            .request(Method::POST, &format!("/v1/jobs/{id}/cancel"))
            .send()
            .await?;
        assert!(reply.status().is_success());
    }
    for _ in 0..LIMIT / 2 {
        until("a place to be free", || async { submit(&doors[1]).await }).await?;
    }
    Ok(())
}

#[tokio::test]
async fn store_that_is_away_refuses_nobody_and_what_was_taken_meanwhile_counts_afterwards() -> anyhow::Result<()> {
    let flags = ["--max-queued-per-tenant".to_owned(), LIMIT.to_string()];
    let mut stack = Stack::start_in(tempfile::tempdir()?, &flags).await?;
    let client = stack.client("greedy").await?;
    while submit(&client).await?.is_some() {}
    stack.servers.redis.kill().await?;
    until("the figure to be too old", || async { submit(&client).await }).await?;
    for _ in 0..10 {
        assert!(submit(&client).await?.is_some());
    }
    stack.servers.redis.restart().await?;
    until("the figure to be known again", || async {
        Ok(submit(&client).await?.is_none().then_some(()))
    })
    .await
}
