//! Submitting and reading, in every representation.

use std::time::Duration;

use gristmill_schemas::{
    InferRequest, JobResult, JobState, Tensor,
    api::{JobView, ModelList, ModelView, ResultView},
    codec,
};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::stand::{Stand, job, problem};

fn outputs() -> Vec<Tensor> {
    vec![
        Tensor::from_f32("y", vec![1, 3], &[1.5, 2.0, 3.0]).unwrap(),
        Tensor::from_elements("label", &["rust"]).unwrap(),
    ]
}

#[tokio::test]
async fn examples_of_every_model_are_accepted_as_they_are_shown() {
    let stand = Stand::start().await;
    let list: ModelList = stand.get("/v1/models").send().await.unwrap().json().await.unwrap();
    let names: Vec<_> = list.models.iter().map(|model| model.name.as_str()).collect();
    assert_eq!(names, ["identity", "light", "magika", "minilm"]);
    for model in &list.models {
        let view: ModelView = stand.get(&model.link).send().await.unwrap().json().await.unwrap();
        let example = view.versions[0].example.as_ref().unwrap();
        assert!(example.curl.contains(&stand.url), "{}", example.curl);
        stand.submit(&example.request).await;
    }
    assert_eq!(stand.envelopes().await, list.models.len() as u64);
}

#[tokio::test]
async fn accepted_job_is_on_the_stream_and_reads_as_queued() {
    let stand = Stand::start().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let answer = stand
        .post("/v1/jobs")
        .header("traceparent", trace)
        .json(&job())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    let view: JobView = answer.json().await.unwrap();
    assert_eq!((view.status, &view.links.this), (JobState::Queued, &location));
    assert_eq!(stand.envelopes().await, 1);
    let read: JobView = stand.get(&location).send().await.unwrap().json().await.unwrap();
    assert_eq!(read, view);
    problem(
        stand.get(&view.links.result).send().await.unwrap(),
        409,
        "no_outcome_yet",
    )
    .await;
    problem(
        stand.get(&view.links.lineage).send().await.unwrap(),
        409,
        "no_outcome_yet",
    )
    .await;
}

#[tokio::test]
async fn wait_without_an_outcome_answers_202_and_says_what_it_granted() {
    let stand = Stand::start().await;
    let answer = stand
        .post("/v1/jobs")
        .header("prefer", "wait=0")
        .json(&job())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    assert_eq!(answer.headers()["preference-applied"], "wait=0");
}

#[tokio::test]
async fn result_is_had_as_json_as_message_pack_and_raw() {
    let stand = Stand::start().await;
    let id = stand.submit(&job()).await;
    stand.settle(id, JobResult::Succeeded(outputs())).await;
    let path = format!("/v1/jobs/{id}/result");

    let json: ResultView = stand.get(&path).send().await.unwrap().json().await.unwrap();
    let tensors: Vec<_> = json.outputs.into_iter().map(|output| output.0).collect();
    assert_eq!(tensors, outputs());

    let packed = stand
        .get(&path)
        .header("accept", "application/msgpack")
        .send()
        .await
        .unwrap();
    assert_eq!(packed.headers()["content-type"], "application/msgpack");
    let packed: ResultView = codec::decode_part(&packed.bytes().await.unwrap()).unwrap();
    assert_eq!(packed.outputs[0].0, outputs()[0]);

    let raw = |query: &str| {
        let request = stand.get(&format!("{path}{query}"));
        request.header("accept", "application/octet-stream")
    };
    problem(raw("").send().await.unwrap(), 400, "invalid_value").await;
    let one = raw("?output=y").send().await.unwrap();
    assert_eq!(one.headers()["gristmill-output-datatype"], "FP32");
    assert_eq!(one.headers()["gristmill-output-shape"], "1,3");
    assert_eq!(one.bytes().await.unwrap(), outputs()[0].data());
    problem(raw("?output=z").send().await.unwrap(), 400, "invalid_value").await;
}

#[tokio::test]
async fn message_pack_goes_in_and_comes_out() {
    let stand = Stand::start().await;
    let input = Tensor::from_f32("x", vec![1, 2], &[0.25, -1.0]).unwrap();
    let body = InferRequest::new("identity".parse().unwrap(), vec![input]).to_msgpack();
    let submit = stand.post("/v1/jobs").header("content-type", "application/x-msgpack");
    let answer = submit
        .header("accept", "application/vnd.msgpack")
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let view: JobView = codec::decode_part(&answer.bytes().await.unwrap()).unwrap();
    assert_eq!(view.status, JobState::Queued);
}

#[tokio::test]
async fn long_poll_answers_when_the_job_ends_and_not_only_at_its_limit() {
    let stand = Stand::start().await;
    let id = stand.submit(&job()).await;
    let path = format!("/v1/jobs/{id}?wait=30s&include=outputs");
    let waiting = tokio::spawn(stand.get(&path).send());
    stand.until_awaited(&id).await;
    stand.settle(id, JobResult::Succeeded(outputs())).await;
    // far below the wait's own limit, and far above what any machine needs for a hint
    let answer = tokio::time::timeout(Duration::from_secs(15), waiting)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let view: JobView = answer.json().await.unwrap();
    assert_eq!(view.status, JobState::Succeeded);
    assert_eq!(view.outputs.unwrap()[0].0, outputs()[0]);
    assert!(view.completed_at.is_some());
}

#[tokio::test]
async fn events_tell_where_the_job_stands_and_end_with_its_outcome() {
    let stand = Stand::start().await;
    let id = stand.submit(&job()).await;
    let path = format!("/v1/jobs/{id}/events");
    let mut stream = stand.get(&path).send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let first = String::from_utf8(stream.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(
        first.contains("event: status") && first.contains(r#""status":"queued""#),
        "{first}"
    );
    stand.settle(id, JobResult::Succeeded(outputs())).await;
    let rest = stream.text().await.unwrap();
    assert!(
        rest.contains("event: outcome") && rest.contains(r#""status":"succeeded""#),
        "{rest}"
    );
    let again = stand
        .get(&path)
        .header("last-event-id", "outcome")
        .send()
        .await
        .unwrap();
    assert_eq!(again.status(), StatusCode::NO_CONTENT);
    let ended = stand
        .get(&format!("{path}?include=outputs"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        ended.contains("event: status") && ended.contains(r#""outputs""#),
        "{ended}"
    );
}

#[tokio::test]
async fn open_event_streams_are_bounded() {
    let stand = Stand::with(&["--max-event-streams", "1"]).await;
    let path = format!("/v1/jobs/{}/events", stand.submit(&job()).await);
    let first = stand.get(&path).send().await.unwrap();
    problem(stand.get(&path).send().await.unwrap(), 429, "overloaded").await;
    drop(first);
}

#[tokio::test]
async fn document_and_page_are_served_to_anybody() {
    let stand = Stand::start().await;
    let get = async |path: &str| reqwest::get(format!("{}{path}", stand.url)).await.unwrap();
    let document: Value = get("/openapi.json").await.json().await.unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    assert_eq!(document["paths"].as_object().unwrap().len(), 19);
    let page = get("/docs").await;
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let page = page.text().await.unwrap();
    assert!(page.contains("<h1>Gristmill") && page.contains(&format!("curl -sS {}/v1/jobs", stand.url)));
}

#[tokio::test]
async fn gzipped_body_is_read() {
    use std::io::Write;

    let stand = Stand::start().await;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(json!(job()).to_string().as_bytes()).unwrap();
    let submit = stand.post("/v1/jobs").header("content-type", "application/json");
    let answer = submit
        .header("content-encoding", "gzip")
        .body(encoder.finish().unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
}
