//! The client's side of the bare path.

use gristmill_broker::nats;
use std::{
    collections::HashMap,
    future::IntoFuture,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use async_nats::jetstream;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use futures_util::StreamExt;
use gristmill_schemas::{
    Datatype, JobState, Tensor, Timestamp,
    api::{JobView, Links, Output},
    codec,
};
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};

use super::{CHANNEL, Numbered, Part, SUBJECT, id, pack, say, unpack};

/// The most jobs of a message, as an envelope has.
const MOST: usize = 64;

#[derive(Clone)]
struct Door {
    next: Arc<AtomicU64>,
    lane: mpsc::UnboundedSender<Numbered>,
    waiting: Arc<Mutex<HashMap<u64, oneshot::Sender<Bytes>>>>,
}

pub(super) async fn run(part: Part) -> anyhow::Result<()> {
    let jetstream = jetstream::new(nats::bare(&part.nats_url).await?);
    let mut echoes = redis::Client::open(part.redis_url)?.get_async_pubsub().await?;
    echoes.subscribe(CHANNEL).await?;
    let (lane, jobs) = mpsc::unbounded_channel();
    let door = Door {
        next: Arc::default(),
        lane,
        waiting: Arc::default(),
    };
    let publishing = publish(jetstream, jobs);
    let waiting = Arc::clone(&door.waiting);
    let answering = async move {
        let mut echoes = echoes.into_on_message();
        while let Some(message) = echoes.next().await {
            for (number, echo) in unpack(Bytes::copy_from_slice(message.get_payload_bytes())) {
                let waiter = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
                let _ = waiter.map(|waiter| waiter.send(echo));
            }
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    say(&part.announce, &format!("http://{}", listener.local_addr()?))?;
    let routes = Router::new().route("/v1/jobs", post(submit)).with_state(door);
    // whichever ends first takes the door with it, and nobody waits for an echo that cannot come
    tokio::select! {
        ended = tokio::spawn(publishing) => ended?,
        ended = tokio::spawn(answering) => Ok(ended?),
        ended = axum::serve(listener, routes).into_future() => Ok(ended?),
    }
}

/// One publish in flight; what comes meanwhile goes into the next message.
async fn publish(jetstream: jetstream::Context, mut jobs: mpsc::UnboundedReceiver<Numbered>) -> anyhow::Result<()> {
    let mut taken = Vec::with_capacity(MOST);
    while jobs.recv_many(&mut taken, MOST).await > 0 {
        jetstream.publish(SUBJECT, pack(&taken)).await?.await?;
        taken.clear();
    }
    Ok(())
}

async fn submit(State(door): State<Door>, headers: HeaderMap, body: Bytes) -> Response {
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind == "application/json");
    let number = door.next.fetch_add(1, Ordering::Relaxed);
    let (waiter, echo) = oneshot::channel();
    door.waiting
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(number, waiter);
    let input = if is_json { of_json(&body) } else { of_msgpack(&body) };
    let _ = door.lane.send((number, input));
    let outputs = echo.await.expect("nobody else takes it");
    let view = view(number, outputs);
    let (kind, reply) = if is_json {
        ("application/json", serde_json::to_vec(&view).expect("a view is JSON"))
    } else {
        ("application/msgpack", codec::encode(&view))
    };
    ([(header::CONTENT_TYPE, kind)], reply).into_response()
}

#[derive(Deserialize)]
struct Body<T> {
    inputs: [Input<T>; 1],
}

#[derive(Deserialize)]
struct Input<T> {
    data: T,
}

fn of_msgpack(body: &Bytes) -> Bytes {
    let read: Body<&serde_bytes::Bytes> = codec::decode_part(body).expect("a body of the load tester");
    body.slice_ref(read.inputs[0].data)
}

fn of_json(body: &[u8]) -> Bytes {
    let read: Body<Vec<i32>> = serde_json::from_slice(body).expect("a body of the load tester");
    read.inputs[0]
        .data
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect()
}

fn view(number: u64, outputs: Bytes) -> JobView {
    let (id, now) = (id(number), Timestamp::from(SystemTime::now()));
    let shape = vec![1, outputs.len() as u64 / 4];
    let output = Tensor::new("y", Datatype::Fp32, shape, outputs).expect("so many numbers");
    JobView {
        id,
        status: JobState::Succeeded,
        created_at: now,
        deadline: now.plus(Duration::from_secs(300)),
        position: None,
        estimated_start: None,
        progress: None,
        completed_at: Some(now),
        failure: None,
        outputs: Some(vec![Output(output)]),
        links: Links::of(&id),
    }
}
