//! Submissions in bulk: each line by itself, in order, whatever the client does and however many there are.

use std::{io::Write, time::Duration};

use axum::body::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures_util::{StreamExt, stream};
use gristmill_schemas::{JobId, api::BulkReply};
use reqwest::{Body, Response, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};

use crate::stand::{Stand, job, problem, until};

fn lines(jobs: &[Value]) -> String {
    jobs.iter().map(|job| format!("{job}\n")).collect()
}

fn with_key(key: &str) -> Value {
    let mut job = job();
    job["idempotency_key"] = json!(key);
    job
}

async fn bulk(stand: &Stand, body: impl Into<Body>) -> Response {
    let call = stand
        .post("/v1/jobs/bulk")
        .header("content-type", "application/x-ndjson");
    call.body(body).send().await.unwrap()
}

/// A body that goes on as the test says.
fn going_on() -> (mpsc::Sender<Result<Bytes, std::io::Error>>, Body) {
    let (more, body) = mpsc::channel(1);
    let body = stream::unfold(body, async |mut body: mpsc::Receiver<_>| {
        Some((body.recv().await?, body))
    });
    (more, Body::wrap_stream(body))
}

fn read(text: &str) -> Vec<BulkReply> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn replies(answer: Response) -> Vec<BulkReply> {
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
    read(&answer.text().await.unwrap())
}

fn code(reply: &BulkReply) -> &str {
    reply.error.as_ref().map_or("", |problem| &problem.code)
}

#[tokio::test]
async fn each_line_has_its_reply_and_a_bad_one_spoils_nothing() {
    let stand = Stand::start().await;
    let mut nowhere = job();
    nowhere["model"] = json!("nowhere");
    let body = format!("{}\n\nno json\r\n{nowhere}\n{{}}\n{}", job(), job());
    let replies = replies(bulk(&stand, body).await).await;
    let told: Vec<_> = replies.iter().map(|reply| (reply.index, code(reply))).collect();
    let expected = [
        (0, ""),
        (2, "malformed_body"),
        (3, "model_not_found"),
        (4, "missing_field"),
        (5, ""),
    ];
    assert_eq!(told, expected);
    assert_eq!(replies[2].error.as_ref().unwrap().field.as_deref(), Some("model"));
    for reply in [&replies[0], &replies[4]] {
        let path = format!("/v1/jobs/{}", reply.id.unwrap());
        assert_eq!(stand.get(&path).send().await.unwrap().status(), StatusCode::OK);
    }
    assert!(stand.envelopes().await >= 1);
}

#[tokio::test]
async fn broken_upload_is_resumed_by_its_keys() {
    let stand = Stand::start().await;
    let jobs: Vec<_> = (0..300).map(|index| with_key(&format!("row-{index}"))).collect();
    let whole = lines(&jobs);
    let (sent, _) = whole.split_at(whole.len() / 2);
    let (more, body) = going_on();
    more.send(Ok(sent.to_owned().into())).await.unwrap();
    let mut chunks = bulk(&stand, body).await.bytes_stream();
    assert!(chunks.next().await.unwrap().is_ok());
    // the client dies in the middle of a line, with some of the replies unread
    drop((chunks, more));
    let first = replies(bulk(&stand, whole.clone()).await).await;
    assert_eq!(first.len(), 300);
    assert!(first.iter().any(|reply| reply.replayed) && first.iter().any(|reply| !reply.replayed));
    let again = replies(bulk(&stand, whole).await).await;
    let ids = |replies: &[BulkReply]| replies.iter().map(|reply| reply.id.unwrap()).collect::<Vec<JobId>>();
    assert_eq!(ids(&again), ids(&first));
    assert!(again.iter().all(|reply| reply.replayed));
    let mut other = with_key("row-7");
    other["lane"] = json!("batch");
    assert_eq!(
        code(&replies(bulk(&stand, lines(&[other])).await).await[0]),
        "idempotency_mismatch"
    );
}

#[tokio::test]
async fn gzipped_lines_are_read_and_other_bodies_refused() {
    let stand = Stand::start().await;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(lines(&[job(), job()]).as_bytes()).unwrap();
    let call = stand.post("/v1/jobs/bulk").header("content-type", "application/jsonl");
    let call = call.header("content-encoding", "gzip").body(encoder.finish().unwrap());
    let told = replies(call.send().await.unwrap()).await;
    assert!(told.len() == 2 && told.iter().all(|reply| reply.id.is_some()));
    let json = stand.post("/v1/jobs/bulk").json(&job()).send().await.unwrap();
    problem(json, 415, "unsupported_media_type").await;
    assert_eq!(replies(bulk(&stand, "").await).await, []);
}

#[tokio::test]
async fn more_bulk_requests_than_may_be_are_refused_and_their_end_makes_room() {
    let stand = Stand::with(&["--max-bulk-requests", "1"]).await;
    let (more, body) = going_on();
    let open = bulk(&stand, body).await;
    problem(bulk(&stand, "").await, 429, "overloaded").await;
    more.send(Ok(lines(&[job()]).into())).await.unwrap();
    drop(more);
    assert_eq!(replies(open).await.len(), 1);
    until("room", async || bulk(&stand, "").await.status() == StatusCode::OK).await;
}

#[tokio::test]
async fn first_replies_come_while_the_request_goes_on() {
    let stand = Stand::start().await;
    let (more, body) = going_on();
    more.send(Ok(lines(&[job()]).into())).await.unwrap();
    let mut chunks = bulk(&stand, body).await.bytes_stream();
    let first = chunks.next().await.unwrap().unwrap();
    assert!(read(std::str::from_utf8(&first).unwrap())[0].id.is_some());
    more.send(Ok("no json".into())).await.unwrap();
    drop(more);
    let rest: Vec<_> = chunks.map(Result::unwrap).collect().await;
    let rest = read(std::str::from_utf8(&rest.concat()).unwrap());
    assert_eq!((rest[0].index, code(&rest[0])), (1, "malformed_body"));
}

/// A client as simple as there is: everything is sent before anything is read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_that_sends_everything_before_it_reads_gets_every_reply() {
    const LINES: usize = 60_000;
    let stand = Stand::start().await;
    let mut connection = tokio::net::TcpStream::connect(stand.url.trim_start_matches("http://"))
        .await
        .unwrap();
    let line = lines(&[json!({"model": "nowhere", "inputs": []})]);
    let head = format!(
        "POST /v1/jobs/bulk HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {}\r\nContent-Type: application/x-ndjson\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        stand.key,
        line.len() * LINES
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    let all = line.repeat(LINES);
    let sent = tokio::time::timeout(Duration::from_secs(60), connection.write_all(all.as_bytes()));
    sent.await.expect("the server reads on").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.len() > 8 << 20, "more than sockets hold: {}", answer.len());
    let told = answer.lines().filter(|line| line.starts_with("{\"index\":")).count();
    assert_eq!(told, LINES);
}

#[tokio::test]
async fn at_shutdown_the_last_line_says_where_to_go_on() {
    let stand = Stand::start().await;
    let (more, body) = going_on();
    more.send(Ok(lines(&[job()]).into())).await.unwrap();
    let mut chunks = bulk(&stand, body).await.bytes_stream();
    let first = chunks.next().await.unwrap().unwrap();
    assert!(read(std::str::from_utf8(&first).unwrap())[0].id.is_some());
    stand.shutdown.request();
    let rest: Vec<_> = chunks.filter_map(async |chunk| chunk.ok()).collect().await;
    let rest = read(std::str::from_utf8(&rest.concat()).unwrap());
    assert_eq!((rest[0].index, code(&rest[0])), (1, "draining"));
}
