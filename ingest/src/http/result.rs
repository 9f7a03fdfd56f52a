//! `GET /v1/jobs/{id}/result`: the outputs of a success, as JSON, as MessagePack, or one of them raw.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Uri, header},
    response::IntoResponse,
};
use gristmill_schemas::{
    JobResult, Refusal, RefusalCode, Tensor,
    api::{Output, Problem, ResultView},
};
use serde::Deserialize;

use crate::{
    auth::{May, Read},
    http::{
        App,
        jobs::no_outcome_yet,
        negotiate::{Media, encoded},
        problem::Reply,
        query,
        view::{self, JobPath},
    },
    jobs::Standing,
};

#[derive(Debug, Default, Deserialize)]
struct Parameters {
    output: Option<String>,
}

/// One output's bytes.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "describes a body that is no JSON")]
struct RawOutput(Vec<u8>);

/// Read a job's outputs
///
/// JSON holds elements, MessagePack raw bytes. `application/octet-stream` is one output's raw little-endian bytes and
/// nothing else (BYTES elements each behind their length as u32); its name, datatype and shape stand in the headers.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}/result",
    operation_id = "read_result",
    tag = "jobs",
    params(
        ("id" = String, Path, description = "The job's id."),
        ("output" = Option<String>, Query, description = "Only the output of this name."),
    ),
    responses(
        (status = 200, description = "The outputs.", content((ResultView = "application/json"), (ResultView = "application/msgpack"), (RawOutput = "application/octet-stream")), headers(
            ("Gristmill-Output-Name" = String, description = "Of a raw output."),
            ("Gristmill-Output-Datatype" = String, description = "Of a raw output."),
            ("Gristmill-Output-Shape" = String, description = "Of a raw output: `2,384`."),
        )),
        (status = 409, description = "The job has no outcome yet, or did not succeed.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn read(
    State(app): State<App>,
    May { caller, .. }: May<Read>,
    JobPath(id): JobPath,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response<Body>, Reply> {
    let media = Media::accepted(&headers, &[Media::Json, Media::MsgPack, Media::Octets])?;
    let Parameters { output } = query::read::<Parameters>(&uri)?;
    let Standing::Ended(record) = app.jobs.standing(&caller.tenant, &id).await? else {
        return Err(no_outcome_yet().into());
    };
    let JobResult::Succeeded(outputs) = view::outcome(&record)?.result else {
        let detail = format!("the job ended as {}", record.state);
        return Err(Refusal::new(RefusalCode::NotSucceeded, detail).into());
    };
    let outputs = named(outputs, output.as_deref())?;
    if media == Media::Octets {
        return raw(outputs);
    }
    let view = ResultView {
        id,
        outputs: outputs.into_iter().map(Output).collect(),
    };
    Ok(encoded(StatusCode::OK, media, &view))
}

/// All outputs, or the one of a name.
fn named(mut outputs: Vec<Tensor>, name: Option<&str>) -> Result<Vec<Tensor>, Refusal> {
    if let Some(name) = name {
        let names: Vec<_> = outputs.iter().map(Tensor::name).collect();
        let refusal = Refusal::new(
            RefusalCode::InvalidValue,
            format!("the outputs are {}", names.join(", ")),
        );
        outputs.retain(|output| output.name() == name);
        if outputs.is_empty() {
            return Err(refusal.at("output"));
        }
    }
    Ok(outputs)
}

fn raw(outputs: Vec<Tensor>) -> Result<Response<Body>, Reply> {
    let [output] = outputs.as_slice() else {
        let names: Vec<_> = outputs.iter().map(Tensor::name).collect();
        let detail = format!(
            "raw bytes are of one output; name one with ?output=: {}",
            names.join(", ")
        );
        return Err(Refusal::new(RefusalCode::InvalidValue, detail).at("output").into());
    };
    let shape: Vec<_> = output.shape().iter().map(u64::to_string).collect();
    let words = [
        ("gristmill-output-name", output.name().to_owned()),
        ("gristmill-output-datatype", output.datatype().to_string()),
        ("gristmill-output-shape", shape.join(",")),
    ];
    let mut response = output.data().clone().into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(Media::Octets.content_type()),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, value) in words {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    Ok(response)
}
