//! Alerts are of metrics that there are, and each of them is explained; what an operator may do to a running process.

use std::{collections::BTreeSet, fs};

use gristmill_e2e::{Process, Stack, binary, wait};
use reqwest::{Method, StatusCode};

use crate::identity;

/// The words of a text that begin so.
fn words(text: &str, prefix: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| word.starts_with(prefix))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_alert_is_explained_and_asks_for_metrics_that_there_are() -> anyhow::Result<()> {
    let read = |name: &str| fs::read_to_string(binary::repository().join(name));
    let (rules, explained) = (read("deploy/alerts.yml")?, read("docs/OPERATIONS.md")?);
    let alerts = words(&rules, "Gristmill");
    assert!(alerts.len() > 10);
    assert_eq!(words(&explained, "Gristmill"), alerts);
    let mut known = BTreeSet::new();
    for room in ["broker", "ingest", "workers", "webhooks", "telemetry"] {
        known.extend(words(&read(&format!("{room}/src/metrics.rs"))?, "gristmill_"));
    }
    let asked = words(&rules, "gristmill_");
    let unknown: Vec<&String> = asked.difference(&known).collect();
    assert!(asked.len() > 10 && unknown.is_empty(), "{unknown:?}");
    Ok(())
}

const TOKEN: &str = "the-token-of-an-operator-0123456789";

async fn operator(
    process: &Process,
    method: Method,
    path: &str,
    (token, body): (&str, &str),
) -> anyhow::Result<StatusCode> {
    let call = reqwest::Client::new().request(method, format!("{}{path}", process.at.admin_url));
    Ok(call.bearer_auth(token).body(body.to_owned()).send().await?.status())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operator_changes_what_a_process_logs_and_ends_it_and_no_api_key_does() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let mut worker = stack.worker("worker", &["--operator-token", TOKEN]).await?;
    let key = stack.api_key("acme").await?;
    let client = stack.client("acme").await?;
    let (put, log, drain) = (Method::PUT, "/operator/log", "/operator/drain");
    for token in [key.as_str(), "nobody's"] {
        for path in [log, drain] {
            let status = operator(&worker, Method::POST, path, (token, "debug")).await?;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
        }
    }
    // where there is no token there is no operator
    assert_eq!(
        operator(&stack.ingest, put.clone(), log, (TOKEN, "debug")).await?,
        StatusCode::NOT_FOUND
    );
    client.infer(&identity(&[1.0])).await?;
    assert!(!worker.log().contains("committed"));
    let changed = operator(&worker, put, log, (TOKEN, "warn,gristmill_workers=debug")).await?;
    assert_eq!(changed, StatusCode::NO_CONTENT);
    client.infer(&identity(&[2.0])).await?;
    wait::until("the commit to be logged", || {
        let said = worker.log().contains("committed");
        async move { Ok(said.then_some(())) }
    })
    .await?;
    let told = operator(&worker, Method::POST, drain, (TOKEN, "")).await?;
    assert_eq!(told, StatusCode::ACCEPTED);
    wait::until("the worker to end", || {
        let ended = worker.has_ended();
        async move { Ok(ended.then_some(())) }
    })
    .await?;
    assert!(worker.terminate().await?, "it ended well:\n{}", worker.log());
    assert!(!worker.log().contains(TOKEN));
    Ok(())
}
