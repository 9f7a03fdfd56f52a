//! `POST /v1/jobs/bulk`: a request a line in, a reply a line out, in order and of any length. Lines are submitted as they arrive, as
//! many at once as fill envelopes; how many there are changes nothing about the memory it takes.

mod lines;
mod spool;

use std::{future::Future, pin::Pin, time::Duration};

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, Response, header},
};
use futures_util::{StreamExt, stream::FuturesOrdered};
use gristmill_schemas::{
    Refusal, RefusalCode, TraceParent,
    api::{BulkReply, Problem},
    bulk::BulkLine,
};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use crate::{
    auth::{May, Submit},
    http::{App, body, bulk::lines::Lines, problem::Reply},
    keys::Caller,
    metrics,
    submit::Submission,
};

/// The media type of both bodies.
const NDJSON: &str = "application/x-ndjson";
/// What else it is called.
const ALSO_NDJSON: [&str; 3] = ["application/ndjson", "application/jsonl", "application/x-jsonlines"];
/// Lines of one request that are on their way to the stream at once: several full envelopes.
const MOST_LINES: usize = 1024;
/// Their bytes; one line may have more.
const MOST_BYTES: usize = 8 << 20;
/// Larger lines are decoded on a thread for it.
const DECODE_APART_FROM: usize = 128 << 10;
/// The pauses before a line is tried again for which this process had no room.
const PAUSE: Duration = Duration::from_millis(20);

/// Submit jobs in bulk
///
/// One request a line, each as the body of a single submission, with `idempotency_key` as one more field. One reply a line, in
/// order, as soon as the job is kept or refused: a bad line spoils nothing. Clients may send everything before they read:
/// replies wait on disk. Where an upload breaks off, send it again with the same keys: what was kept is not doubled.
#[utoipa::path(
    post,
    path = "/v1/jobs/bulk",
    operation_id = "submit_jobs",
    tag = "jobs",
    request_body(content((BulkLine = "application/x-ndjson")), description = "Lines of JSON of at most `max-body-bytes` each. May be gzipped."),
    responses(
        (status = 200, description = "A line for each line; blank lines have none. `id` says that the job is kept, `error` why not. If the body breaks off, the last line says so.", content((BulkReply = "application/x-ndjson"))),
        (status = 415, description = "The body is no NDJSON.", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many bulk requests are in progress.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn submit(
    State(app): State<App>,
    May { caller, .. }: May<Submit>,
    Extension(trace): Extension<TraceParent>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response<Body>, Reply> {
    check_media(&headers)?;
    let encoding = body::encoding(&headers)?;
    let permit = app.admission.bulk()?;
    let (limits, http) = (&app.limits, &app.http);
    let lines = Lines::of(body, encoding, limits.max_body_bytes, http.body_timeout);
    let (spool, replies) = spool::spool(limits.bulk_spool_bytes, http.body_timeout.into());
    let bulk = Bulk {
        app: app.clone(),
        caller,
        trace,
        spool,
        _permit: permit,
        _counted: metrics::InGauge::new(metrics::bulk_requests()),
    };
    // the reply begins while the request goes on
    tokio::spawn(bulk.run(lines));
    let mut response = Response::new(Body::from_stream(replies));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(NDJSON));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn check_media(headers: &HeaderMap) -> Result<(), Refusal> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let name = given.and_then(|given| given.split(';').next()).map(str::trim);
    let known = |name: &str| {
        std::iter::once(NDJSON)
            .chain(ALSO_NDJSON)
            .any(|known| known.eq_ignore_ascii_case(name))
    };
    if name.is_some_and(known) {
        return Ok(());
    }
    let detail = format!("send the body as {NDJSON}");
    Err(Refusal::new(RefusalCode::UnsupportedMediaType, detail).at("Content-Type"))
}

/// One bulk request.
struct Bulk {
    app: App,
    caller: Caller,
    trace: TraceParent,
    spool: spool::Spool,
    _permit: OwnedSemaphorePermit,
    _counted: metrics::InGauge,
}

/// A line on its way: its bytes, and what becomes of it.
type OnItsWay = Pin<Box<dyn Future<Output = (usize, BulkReply)> + Send>>;

impl Bulk {
    /// Takes lines until they end, nobody reads the replies any more, or the server shuts down.
    async fn run(self, mut lines: Lines) {
        let (mut on_their_way, mut bytes, mut index) = (FuturesOrdered::<OnItsWay>::new(), 0, 0);
        let shutdown = self.app.submitter.shutdown.token().clone();
        let mut goes_on = true;
        while goes_on || !on_their_way.is_empty() {
            let has_room = goes_on && on_their_way.len() < MOST_LINES && bytes < MOST_BYTES;
            tokio::select! {
                Some((freed, reply)) = on_their_way.next() => {
                    bytes -= freed;
                    if self.reply(&reply).await.is_err() {
                        // what is on its way gets there, only nobody hears of it
                        goes_on = false;
                    }
                }
                line = lines.next(), if has_room => match line {
                    Some(Ok(line)) => {
                        if !line.trim_ascii().is_empty() {
                            bytes += line.len();
                            on_their_way.push_back(self.take(index, line));
                        }
                        index += 1;
                    }
                    Some(Err(refusal)) => {
                        let reply = refused(index, refusal.into());
                        on_their_way.push_back(Box::pin(std::future::ready((0, reply))));
                        index += 1;
                    }
                    None => goes_on = false,
                },
                () = shutdown.cancelled(), if goes_on => {
                    let detail = "this server is shutting down; send this line and those behind it to another one, or in a moment";
                    let reply = refused(index, Refusal::new(RefusalCode::Draining, detail).into());
                    on_their_way.push_back(Box::pin(std::future::ready((0, reply))));
                    goes_on = false;
                }
            }
        }
    }

    fn take(&self, index: u64, line: Bytes) -> OnItsWay {
        let (app, caller, trace) = (self.app.clone(), self.caller.clone(), self.trace);
        Box::pin(async move {
            let length = line.len();
            let until = Instant::now() + app.http.body_timeout.as_duration();
            let reply = loop {
                match submitted(&app, &caller, trace, line.clone()).await {
                    // there is room as soon as what is on its way has arrived
                    Err(reply) if reply.code() == RefusalCode::Overloaded && Instant::now() < until => {
                        tokio::time::sleep(PAUSE).await;
                    }
                    Ok((id, replayed)) => {
                        break BulkReply {
                            index,
                            id: Some(id),
                            replayed,
                            error: None,
                        };
                    }
                    Err(reply) => break refused(index, reply),
                }
            };
            (length, reply)
        })
    }

    async fn reply(&self, reply: &BulkReply) -> Result<(), spool::NobodyReads> {
        let mut line = serde_json::to_vec(reply).expect("a reply holds no maps");
        line.push(b'\n');
        self.spool.write(&line).await
    }
}

async fn submitted(
    app: &App,
    caller: &Caller,
    trace: TraceParent,
    line: Bytes,
) -> Result<(gristmill_schemas::JobId, bool), Reply> {
    let BulkLine {
        request,
        idempotency_key,
    } = decoded(line, app.limits.max_input_bytes).await?;
    let submission = Submission {
        request,
        caller: caller.clone(),
        idempotency_key: idempotency_key.map(|key| key.parse()).transpose()?,
        trace,
        is_awaited: false,
    };
    let accepted = app.submitter.submit(submission).await?;
    Ok((accepted.id, accepted.replayed))
}

async fn decoded(line: Bytes, max_input_bytes: usize) -> Result<BulkLine, Refusal> {
    if line.len() < DECODE_APART_FROM {
        return BulkLine::from_json(&line, max_input_bytes);
    }
    let decoding = tokio::task::spawn_blocking(move || BulkLine::from_json(&line, max_input_bytes));
    decoding.await.unwrap_or_else(|error| {
        tracing::error!(%error, "decoding a line failed");
        Err(Refusal::new(RefusalCode::Internal, "the line could not be decoded"))
    })
}

fn refused(index: u64, reply: Reply) -> BulkReply {
    metrics::refused(reply.code().row().word).increment(1);
    BulkReply {
        index,
        id: None,
        replayed: false,
        error: Some(Box::new(reply.problem())),
    }
}
