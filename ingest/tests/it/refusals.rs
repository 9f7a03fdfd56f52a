//! The table of bad input, sent byte for byte.

use std::time::Duration;

use serde_json::Value;

use crate::{
    bad_input::{Case, Known, cases},
    raw,
    stand::{Stand, minted, signed},
};

fn complaint(case: &Case, answer: &raw::Answer) -> Option<String> {
    let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let told = (
        answer.status,
        problem["code"].as_str().unwrap_or_default(),
        problem["status"].as_u64(),
    );
    let right = told == (case.status, case.code, Some(case.status.into()))
        && (case.field.is_none() || problem["field"].as_str() == case.field)
        && answer.header("content-type") == Some("application/problem+json");
    let text = String::from_utf8_lossy(&answer.body);
    (!right).then(|| {
        format!(
            "{}: wanted {} {} {:?}, got {} {text}",
            case.name, case.status, case.code, case.field, answer.status
        )
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_by_its_own_code_and_never_reaches_the_stream() {
    let stand = Stand::start().await;
    let known = Known {
        key: stand.key.clone(),
        foreign_job: signed("other", Duration::ZERO).to_string(),
        forged_job: minted("acme", Duration::ZERO, [8; 32]).to_string(),
        max_body_bytes: 8 << 20,
    };
    let cases = cases(&known);
    assert!(cases.len() >= 40);
    let address = stand.url.trim_start_matches("http://").parse().unwrap();
    let complaints = tokio::task::spawn_blocking(move || {
        let told = cases.iter().filter_map(|case| {
            let answer = raw::send(address, (case.method, &case.path), &case.headers, &case.body);
            complaint(case, &answer)
        });
        told.collect::<Vec<_>>()
    });
    let complaints = complaints.await.unwrap();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert_eq!(stand.envelopes().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn method_that_is_not_allowed_is_told_which_are() {
    let stand = Stand::start().await;
    let answer = stand
        .http
        .delete(format!("{}/v1/jobs", stand.url))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["allow"], "POST,GET,HEAD");
}
