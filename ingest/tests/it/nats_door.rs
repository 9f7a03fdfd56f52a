//! The door on NATS: the same routes, and what a message cannot carry is said.

use std::time::Duration;

use axum::{
    body::Bytes,
    http::{Request, Response, StatusCode, request::Builder},
};
use gristmill_broker::{AskError, DoorClient, NatsArgs, ServerUrl};
use gristmill_schemas::{
    Datatype, JobResult, JobState, Tensor,
    api::{JobView, Problem},
};
use serde::de::DeserializeOwned;

use crate::stand::{Stand, job, until};

const LIMIT: Duration = Duration::from_secs(40);

struct Bus {
    client: DoorClient,
    key: String,
}

impl Bus {
    /// Comes back once the stand serves there.
    async fn of(stand: &Stand) -> Self {
        let args = NatsArgs {
            nats_url: ServerUrl::new(stand.servers.nats.url()),
        };
        let bus = Self {
            client: DoorClient::connect(&args).await.unwrap(),
            key: stand.key.clone(),
        };
        until("the door on NATS", async || {
            bus.ask(bus.get("/v1/models"), "").await.is_ok()
        })
        .await;
        bus
    }

    fn get(&self, path: &str) -> Builder {
        Request::get(path).header("authorization", format!("Bearer {}", self.key))
    }

    fn post(&self, path: &str) -> Builder {
        let call = Request::post(path).header("authorization", format!("Bearer {}", self.key));
        call.header("content-type", "application/json")
    }

    async fn ask(&self, call: Builder, body: &str) -> Result<Response<Bytes>, AskError> {
        let request = call.body(Bytes::from(body.to_owned())).unwrap();
        self.client.ask(request, LIMIT).await
    }
}

fn read<T: DeserializeOwned>(reply: &Response<Bytes>) -> T {
    serde_json::from_slice(reply.body()).unwrap()
}

/// Holds a problem's status and code against what they should be.
fn refused(reply: &Response<Bytes>, status: u16, code: &str) -> Problem {
    assert_eq!(reply.headers()["content-type"], "application/problem+json");
    let problem: Problem = read(reply);
    assert_eq!((reply.status().as_u16(), problem.code.as_str()), (status, code));
    problem
}

#[tokio::test]
async fn job_is_submitted_waited_for_and_read_over_nats_and_is_the_same_over_http() {
    let stand = Stand::with(&["--nats-door"]).await;
    let bus = Bus::of(&stand).await;
    let accepted = bus.ask(bus.post("/v1/jobs"), &job().to_string()).await.unwrap();
    assert_eq!(accepted.status(), StatusCode::ACCEPTED);
    let JobView { id, links, .. } = read(&accepted);
    assert_eq!(accepted.headers()["location"], links.this);
    let path = format!("/v1/jobs/{id}?wait=30s");
    let (waited, ()) = tokio::join!(bus.ask(bus.get(&path), ""), async {
        stand.until_awaited(&id).await;
        stand.settle(id, JobResult::Succeeded(vec![])).await;
    });
    assert_eq!(read::<JobView>(&waited.unwrap()).status, JobState::Succeeded);
    let over_http = stand.get(&format!("/v1/jobs/{id}")).send().await.unwrap();
    assert_eq!(over_http.json::<JobView>().await.unwrap().status, JobState::Succeeded);
}

#[tokio::test]
async fn bad_requests_get_the_problems_of_http() {
    let stand = Stand::with(&["--nats-door"]).await;
    let bus = Bus::of(&stand).await;
    let unknown = Request::get("/v1/models").header("authorization", "Bearer gm_nobody");
    refused(&bus.ask(unknown, "").await.unwrap(), 401, "unauthenticated");
    refused(
        &bus.ask(bus.post("/v1/jobs"), "{").await.unwrap(),
        400,
        "malformed_body",
    );
    refused(
        &bus.ask(bus.get("/v1/nothing"), "").await.unwrap(),
        404,
        "route_not_found",
    );
    let large = bus.ask(bus.post("/v1/jobs"), &" ".repeat(9 << 20)).await;
    assert!(matches!(large, Err(AskError::Unsendable(_))), "{large:?}");
    let asterisk = refused(&bus.ask(Request::get("*"), "").await.unwrap(), 400, "invalid_value");
    assert_eq!(asterisk.field.as_deref(), Some("headers"));
}

#[tokio::test]
async fn what_no_message_can_carry_is_refused_and_points_to_http() {
    let stand = Stand::with(&["--nats-door"]).await;
    let bus = Bus::of(&stand).await;
    let id = stand.submit(&job()).await;
    let events = bus.ask(bus.get(&format!("/v1/jobs/{id}/events")), "").await.unwrap();
    refused(&events, 406, "not_acceptable");
    let long = Tensor::new("x", Datatype::Uint8, vec![9 << 20], vec![7; 9 << 20]).unwrap();
    stand.settle(id, JobResult::Succeeded(vec![long])).await;
    let wants = bus
        .get(&format!("/v1/jobs/{id}/result"))
        .header("accept", "application/msgpack");
    let told = refused(&bus.ask(wants, "").await.unwrap(), 406, "not_acceptable");
    assert_eq!(
        told.limit.as_deref(),
        Some("8384512 bytes"),
        "the broker's 8 MB less the headers"
    );
    let view = bus.ask(bus.get(&format!("/v1/jobs/{id}")), "").await.unwrap();
    assert_eq!(read::<JobView>(&view).status, JobState::Succeeded);
}

#[tokio::test]
async fn at_shutdown_who_waits_is_answered_and_nobody_serves_any_more() {
    let stand = Stand::with(&["--nats-door"]).await;
    let bus = Bus::of(&stand).await;
    let id = stand.submit(&job()).await;
    let path = format!("/v1/jobs/{id}?wait=30s");
    let (waited, ()) = tokio::join!(bus.ask(bus.get(&path), ""), async {
        stand.until_awaited(&id).await;
        stand.shutdown.request();
    });
    assert_eq!(read::<JobView>(&waited.unwrap()).status, JobState::Queued);
    stand.running.await.unwrap().unwrap();
    let asked = bus.ask(bus.get("/v1/models"), "").await;
    assert_eq!(asked.unwrap_err(), AskError::NobodyThere);
}

#[tokio::test]
async fn without_the_flag_nobody_serves_there() {
    let stand = Stand::start().await;
    let args = NatsArgs {
        nats_url: ServerUrl::new(stand.servers.nats.url()),
    };
    let client = DoorClient::connect(&args).await.unwrap();
    let request = Request::get("/v1/models").body(Bytes::new()).unwrap();
    assert_eq!(client.ask(request, LIMIT).await.unwrap_err(), AskError::NobodyThere);
}
