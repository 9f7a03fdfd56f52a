//! A server of the identity model that keeps nothing on disk and treats one job in a way that no job may be treated.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use gristmill_schemas::{InferRequest, JobId, Tensor, api::Output, job_id::TEXT_LENGTH};
use serde_json::{Value, json};

/// Which fault befalls the job [`VICTIM`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    None,
    /// It is there no more once it was accepted.
    Forgets,
    /// It stays queued.
    NeverEnds,
    /// It gets the id of the job before.
    GivesAnIdTwice,
    /// `publish_unknown` under one id, then accepted under another.
    GivesTwoIds,
    /// It gets the reference's answer.
    MixesUp,
    /// Reading it shows another job.
    AnswersForAnother,
    Fails,
    Refuses,
    /// 429, then accepted.
    IsBusyFirst,
    /// `publish_unknown`, then accepted under the same id.
    DoesNotKnowFirst,
    /// Accepted, but the connection ends before the reply does; then accepted again.
    HangsUpFirst,
}

const VICTIM: &str = "7";

/// Serves on a free port; tells the URL.
pub(crate) async fn serve(lie: Lie) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let routes = Router::new()
        .route("/v1/jobs", post(submit))
        .route("/v1/jobs/{id}", get(read))
        .route("/v1/jobs/{id}/events", get(events))
        .with_state(Arc::new(Liar {
            lie,
            known: Mutex::default(),
        }));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

#[derive(Debug)]
struct Liar {
    lie: Lie,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Ids by idempotency key.
    ids: BTreeMap<String, JobId>,
    rows: HashMap<JobId, Tensor>,
    victim: Option<JobId>,
    victim_seen: u32,
}

impl Known {
    fn fresh(&self) -> JobId {
        format!("{:0TEXT_LENGTH$}", self.rows.len() + 1).parse().unwrap()
    }

    /// The job of a key; a key that comes again gets the same one.
    fn job(&mut self, key: &str, rows: &Tensor) -> JobId {
        let fresh = self.fresh();
        let id = *self.ids.entry(key.to_owned()).or_insert(fresh);
        self.rows.insert(id, rows.clone());
        id
    }
}

async fn submit(State(liar): State<Arc<Liar>>, headers: HeaderMap, body: Bytes) -> Response {
    let request = InferRequest::from_json(&body, 1 << 20).unwrap();
    let mut known = liar.known.lock().unwrap();
    let key = headers
        .get("idempotency-key")
        .map(|key| key.to_str().unwrap().to_owned());
    // where there are no keys, the reference is the first
    let key = key.unwrap_or_else(|| match known.ids.len() {
        0 => "reference".to_owned(),
        submitted => format!("keyless-{submitted}"),
    });
    let previous = known.ids.values().max().copied();
    let id = known.job(&key, &request.inputs[0]);
    let is_victim = !key.contains("reference") && key.rsplit('-').next() == Some(VICTIM);
    if is_victim {
        known.victim = Some(id);
        known.victim_seen += 1;
        if let Some(reply) = liar.lie.reply(&mut known, (id, previous)) {
            return reply;
        }
    }
    let waits = headers.contains_key("prefer") && !(is_victim && liar.lie == Lie::NeverEnds);
    let status = if waits { StatusCode::OK } else { StatusCode::ACCEPTED };
    let view = if waits {
        ended(&id, &known.rows[&id])
    } else {
        view(&id, "queued")
    };
    (status, Json(view)).into_response()
}

impl Lie {
    /// What the victim's submission is answered, if not the truth.
    fn reply(self, known: &mut Known, (id, previous): (JobId, Option<JobId>)) -> Option<Response> {
        let first = known.victim_seen == 1;
        match self {
            Self::GivesAnIdTwice => Some((StatusCode::ACCEPTED, Json(view(&previous?, "queued"))).into_response()),
            Self::GivesTwoIds if first => {
                let other = "v".repeat(TEXT_LENGTH);
                Some(problem(503, ("publish_unknown", Some(other.parse().unwrap()))))
            }
            Self::DoesNotKnowFirst if first => Some(problem(503, ("publish_unknown", Some(id)))),
            Self::IsBusyFirst if first => Some(problem(429, ("overloaded", None))),
            Self::Refuses => Some(problem(400, ("shape_mismatch", None))),
            Self::HangsUpFirst if first => {
                let mut reply = Response::new(Body::from("{"));
                reply
                    .headers_mut()
                    .insert("content-type", "application/json".parse().unwrap());
                Some(reply)
            }
            _ => None,
        }
    }
}

async fn read(State(liar): State<Arc<Liar>>, Path(id): Path<String>) -> Response {
    let known = liar.known.lock().unwrap();
    let id: JobId = id.parse().unwrap();
    let rows = &known.rows[&id];
    if known.victim != Some(id) {
        return Json(ended(&id, rows)).into_response();
    }
    let (reference, of_reference) = known.rows.iter().min_by_key(|(id, _)| **id).unwrap();
    match liar.lie {
        Lie::Forgets => problem(404, ("job_not_found", None)),
        Lie::NeverEnds => Json(view(&id, "queued")).into_response(),
        Lie::MixesUp => Json(ended(&id, of_reference)).into_response(),
        Lie::AnswersForAnother => Json(ended(reference, of_reference)).into_response(),
        Lie::Fails => {
            let mut failed = view(&id, "failed");
            failed["failure"] = json!({"code": "inference_failed", "message": "it failed"});
            Json(failed).into_response()
        }
        _ => Json(ended(&id, rows)).into_response(),
    }
}

/// What a read shows, as the last event; before it one that says nothing new.
async fn events(liar: State<Arc<Liar>>, path: Path<String>) -> Response {
    let id: JobId = path.0.parse().unwrap();
    let shown = read(liar, path).await;
    if shown.status() != StatusCode::OK {
        return shown;
    }
    let shown = axum::body::to_bytes(shown.into_body(), 1 << 20).await.unwrap();
    let event = |data: &str| format!("event: job\ndata: {data}\n\n");
    let queued = event(&view(&id, "queued").to_string());
    let last = event(str::from_utf8(&shown).unwrap());
    (
        [("content-type", "text/event-stream")],
        queued + ": a sign of life\n\n" + &last,
    )
        .into_response()
}

fn ended(id: &JobId, rows: &Tensor) -> Value {
    let output = Tensor::new("y", rows.datatype(), rows.shape().to_vec(), rows.data().clone()).unwrap();
    let mut view = view(id, "succeeded");
    view["outputs"] = json!([Output(output)]);
    view
}

fn view(id: &JobId, status: &str) -> Value {
    let links = gristmill_schemas::api::Links::of(id);
    let (created_at, deadline) = ("2024-01-01T00:00:00Z", "2024-01-01T00:05:00Z");
    json!({"id": id, "status": status, "created_at": created_at, "deadline": deadline, "links": links})
}

fn problem(status: u16, (code, id): (&str, Option<JobId>)) -> Response {
    let kind = format!("urn:gristmill:problem:{code}");
    let body = json!({"type": kind, "title": code, "status": status, "detail": "so it is", "code": code, "id": id});
    let status = StatusCode::from_u16(status).unwrap();
    (
        status,
        [("retry-after", "0"), ("content-type", "application/problem+json")],
        body.to_string(),
    )
        .into_response()
}
