//! The table of bad input, sent to an ingest process of its own: refused by name, nothing on the stream, memory bounded.

use std::net::SocketAddr;

use gristmill_e2e::Stack;

use crate::identity;

#[path = "../../../ingest/tests/it/bad_input.rs"]
mod table;

#[expect(dead_code, reason = "the ingest's own tests look at the answers' headers too")]
#[path = "../../../ingest/tests/it/raw.rs"]
mod raw;

/// As `--max-body-bytes` is by default.
const MAX_BODY_BYTES: usize = 8 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_is_refused_by_name_and_costs_little_memory() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let stranger = stack.client("stranger").await?;
    let foreign_job = stranger.submit(&identity(&[1.0]), 0).await?.id.to_string();
    let known = table::Known {
        key: stack.api_key("sender").await?,
        forged_job: "0".repeat(gristmill_schemas::job_id::TEXT_LENGTH),
        foreign_job,
        max_body_bytes: MAX_BODY_BYTES,
    };
    let url = stack.url()?;
    let to: SocketAddr = url.trim_start_matches("http://").parse()?;
    let cases = table::cases(&known);
    assert!(cases.len() >= 40, "{} cases", cases.len());
    let before = stack.ingest.rss_bytes()?;
    let mut most = before;
    for case in cases {
        let headers = case.headers.clone();
        let (method, path, body) = (case.method, case.path.clone(), case.body.clone());
        let answer = tokio::task::spawn_blocking(move || raw::send(to, (method, &path), &headers, &body)).await?;
        most = most.max(stack.ingest.rss_bytes()?);
        assert!((400..500).contains(&answer.status), "{}: {}", case.name, answer.status);
        assert_eq!(answer.status, case.status, "{}", case.name);
        let problem: serde_json::Value = serde_json::from_slice(&answer.body)?;
        assert_eq!(problem["code"], case.code, "{}: {problem}", case.name);
    }
    let grown = most - before;
    assert!(grown < 2 * MAX_BODY_BYTES as u64, "the ingest grew by {grown} bytes");
    // the stranger's job is all there is
    assert_eq!(stack.stream_envelopes().await?, 1);
    Ok(())
}
