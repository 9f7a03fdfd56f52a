//! Requests that must be refused, each with its own code, and nothing of which may reach the stream. The table knows only
//! the contract, so that it can be sent to an ingest in another process as well.

use std::io::Write;

use gristmill_schemas::{Datatype, InferRequest, Tensor};
use serde_json::{Value, json};

/// What the table needs to know of the ingest it is sent to.
pub(crate) struct Known {
    /// A valid API key.
    pub(crate) key: String,
    /// A job id of another tenant.
    pub(crate) foreign_job: String,
    /// A job id signed by another key.
    pub(crate) forged_job: String,
    /// The most bytes a body may have there.
    pub(crate) max_body_bytes: usize,
}

/// One request and its refusal.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    /// The field that the problem names; not looked at if absent.
    pub(crate) field: Option<&'static str>,
}

impl Case {
    fn submit(name: &'static str, body: impl Into<Vec<u8>>, status: u16, code: &'static str) -> Self {
        Self {
            name,
            method: "POST",
            path: "/v1/jobs".to_owned(),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: body.into(),
            status,
            code,
            field: None,
        }
    }

    fn json(name: &'static str, body: &Value, code: &'static str) -> Self {
        Self::submit(name, body.to_string(), 400, code)
    }

    fn msgpack(name: &'static str, body: Vec<u8>, code: &'static str) -> Self {
        Self::submit(name, body, 400, code).with("content-type", "application/msgpack")
    }

    fn of(name: &'static str, method: &'static str, path: impl Into<String>, status: u16, code: &'static str) -> Self {
        Self {
            method,
            path: path.into(),
            headers: Vec::new(),
            ..Self::submit(name, "", status, code)
        }
    }

    const fn at(mut self, field: &'static str) -> Self {
        self.field = Some(field);
        self
    }

    const fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }
}

/// A request with this input.
fn asks(input: &Value) -> Value {
    json!({ "model": "identity", "inputs": [input] })
}

/// A request that is right but for its shape and data.
fn shaped(shape: &Value, data: &Value) -> Value {
    asks(&json!({ "name": "x", "datatype": "FP32", "shape": shape, "data": data }))
}

/// A request that is right.
fn sound() -> Value {
    shaped(&json!([1, 1]), &json!([1]))
}

/// One that is right but for these fields.
fn sound_but(fields: &Value) -> Value {
    let mut body = sound();
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn floats(values: &[f32]) -> Vec<u8> {
    let tensor = Tensor::from_f32("x", vec![1, values.len() as u64], values).unwrap();
    InferRequest::new("identity".parse().unwrap(), vec![tensor]).to_msgpack()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bodies() -> Vec<Case> {
    let mut twice = sound().to_string();
    twice.insert_str(1, r#""model":"identity","#);
    let deep = format!(r#"{{"model":"identity","metadata":{}"#, r#"{"a":"#.repeat(1000));
    let deep_data = sound()
        .to_string()
        .replace("[1]", &format!("{}1{}", "[".repeat(1000), "]".repeat(1000)));
    let nan = sound().to_string().replace("[1]", "[NaN]");
    let large = sound().to_string().replace("[1]", "[1e39]");
    let not_utf8 = [br#"{"model":"identity","#, &[0xff][..], br#"":1}"#].concat();
    let million = format!(r#"{{"model":"identity","inputs":[{}{{}}]}}"#, "{},".repeat(999_999));
    vec![
        Case::submit("empty body", "", 400, "malformed_body"),
        Case::submit("no JSON", "grain", 400, "malformed_body"),
        Case::submit("half a JSON", r#"{"model":"identity""#, 400, "malformed_body"),
        Case::submit("more than one JSON", format!("{} {{}}", sound()), 400, "malformed_body"),
        Case::submit("NaN as JSON", nan, 400, "malformed_body"),
        Case::submit("text that is no UTF-8", not_utf8, 400, "invalid_utf8"),
        Case::submit("a list for a body", "[]", 400, "wrong_type"),
        Case::submit("a field twice", twice, 400, "duplicate_field").at("model"),
        Case::submit("deep nesting", deep, 400, "nesting_too_deep"),
        Case::submit("deep nesting in data", deep_data, 400, "data_length_mismatch"),
        Case::submit("a million inputs", million, 400, "too_many_values"),
        Case::submit("1e39", large, 400, "value_out_of_range").at("inputs[0].data[0]"),
        Case::msgpack("no MessagePack", vec![0xc1], "malformed_body"),
        Case::msgpack("half a MessagePack", floats(&[1.0])[..20].to_vec(), "malformed_body"),
        Case::msgpack("deep MessagePack", vec![0x91; 2000], "nesting_too_deep"),
        Case::msgpack("NaN", floats(&[1.0, f32::NAN]), "non_finite").at("inputs[0].data[1]"),
        Case::msgpack("infinity", floats(&[f32::INFINITY]), "non_finite").at("inputs[0].data[0]"),
        Case::msgpack("raw data too short", raw(&[0; 7]), "data_length_mismatch").at("inputs[0].data"),
    ]
}

/// A MessagePack request of shape [1, 2] with these bytes for data.
fn raw(data: &[u8]) -> Vec<u8> {
    let fitting = [0x5a; 8];
    let tensor = Tensor::new("x", Datatype::Fp32, vec![1, 2], fitting.to_vec()).unwrap();
    let mut body = InferRequest::new("identity".parse().unwrap(), vec![tensor]).to_msgpack();
    let place = body.windows(8).position(|window| window == fitting).unwrap();
    // the byte before is the length of the byte string
    body[place - 1] = data.len() as u8;
    body.splice(place..place + 8, data.iter().copied());
    body
}

fn fields() -> Vec<Case> {
    let pairs: serde_json::Map<_, _> = (0..17).map(|n| (n.to_string(), json!("v"))).collect();
    vec![
        Case::json("no model", &json!({ "inputs": [] }), "missing_field").at("model"),
        Case::json("a number for a model", &sound_but(&json!({ "model": 7 })), "wrong_type").at("model"),
        Case::json("a model of ..", &sound_but(&json!({ "model": ".." })), "invalid_name").at("model"),
        Case::json("a model of *", &sound_but(&json!({ "model": "*" })), "invalid_name").at("model"),
        Case::json("a model of a.>", &sound_but(&json!({ "model": "a.>" })), "invalid_name").at("model"),
        Case::json(
            "a version of ..",
            &sound_but(&json!({ "version": ".." })),
            "invalid_name",
        )
        .at("version"),
        Case::json(
            "unknown model",
            &sound_but(&json!({ "model": "nothing" })),
            "model_not_found",
        )
        .status(404)
        .at("model"),
        Case::json(
            "unknown version",
            &sound_but(&json!({ "version": "999" })),
            "version_not_found",
        )
        .status(404)
        .at("version"),
        Case::json("unknown field", &sound_but(&json!({ "priority": 1 })), "unknown_field").at("priority"),
        Case::json("unknown lane", &sound_but(&json!({ "lane": "fast" })), "invalid_value").at("lane"),
        Case::json(
            "no deadline at all",
            &sound_but(&json!({ "deadline": "soon" })),
            "deadline_out_of_range",
        ),
        Case::json(
            "deadline too short",
            &sound_but(&json!({ "deadline": "1ms" })),
            "deadline_out_of_range",
        )
        .at("deadline"),
        Case::json(
            "deadline too long",
            &sound_but(&json!({ "deadline": "40d" })),
            "deadline_out_of_range",
        )
        .at("deadline"),
        Case::json(
            "too much metadata",
            &sound_but(&json!({ "metadata": pairs })),
            "metadata_too_large",
        ),
        Case::json(
            "metadata of numbers",
            &sound_but(&json!({ "metadata": {"a": 1} })),
            "wrong_type",
        ),
        Case::json(
            "parents that are no ids",
            &sound_but(&json!({ "provenance": {"parent_jobs": ["x"]} })),
            "invalid_value",
        ),
        Case::json("no inputs field", &json!({ "model": "identity" }), "missing_field").at("inputs"),
        Case::json("no inputs", &sound_but(&json!({ "inputs": [] })), "no_inputs").at("inputs"),
        Case::json(
            "65 inputs",
            &sound_but(&json!({ "inputs": vec![json!({}); 65] })),
            "too_many_inputs",
        )
        .at("inputs"),
    ]
}

fn tensors() -> Vec<Case> {
    let one = json!({ "name": "x", "datatype": "FP32", "shape": [1, 1], "data": [1] });
    let with = |name: &str, value: Value| {
        let mut input = one.clone();
        input[name] = value;
        asks(&input)
    };
    let long = "a".repeat(65_537);
    let texts = |input: Value| json!({ "model": "minilm", "inputs": [input] });
    let side = 1_u64 << 32;
    vec![
        Case::json("a blank in a name", &with("name", json!("x y")), "invalid_name").at("inputs[0].name"),
        Case::json("unknown input", &with("name", json!("z")), "input_unknown").at("inputs[0].name"),
        Case::json(
            "an input twice",
            &json!({ "model": "identity", "inputs": [one, one] }),
            "input_duplicate",
        )
        .at("inputs[1].name"),
        Case::json("unknown field of an input", &with("dims", json!([1])), "unknown_field").at("inputs[0].dims"),
        Case::json("unknown datatype", &with("datatype", json!("FP31")), "datatype_unknown").at("inputs[0].datatype"),
        Case::json("wrong datatype", &with("datatype", json!("INT32")), "datatype_mismatch").at("inputs[0].datatype"),
        Case::json("shape of -1", &shaped(&json!([-1, 1]), &json!([1])), "shape_invalid").at("inputs[0].shape[0]"),
        Case::json(
            "half a dimension",
            &shaped(&json!([1.5, 1]), &json!([1])),
            "shape_invalid",
        )
        .at("inputs[0].shape[0]"),
        Case::json("shape of 0", &shaped(&json!([0, 1]), &json!([])), "shape_mismatch").at("inputs[0].shape"),
        Case::json(
            "2^32 x 2^32",
            &shaped(&json!([side, side]), &json!([1])),
            "shape_invalid",
        )
        .at("inputs[0].shape"),
        Case::json(
            "2^32 x 2^31",
            &shaped(&json!([side, side / 2]), &json!([1])),
            "shape_invalid",
        )
        .at("inputs[0].shape"),
        Case::json(
            "rank 1000",
            &shaped(&json!(vec![1; 1000]), &json!([1])),
            "shape_invalid",
        )
        .at("inputs[0].shape"),
        Case::json("wrong rank", &shaped(&json!([1]), &json!([1])), "shape_mismatch").at("inputs[0].shape"),
        Case::json(
            "a shape of gigabytes",
            &shaped(&json!([100_000, 100_000]), &json!([1])),
            "input_too_large",
        )
        .status(413),
        Case::json(
            "too little data",
            &shaped(&json!([1, 3]), &json!([1, 2])),
            "data_length_mismatch",
        ),
        Case::json(
            "too much data",
            &shaped(&json!([1, 1]), &json!([1, 2])),
            "data_length_mismatch",
        ),
        Case::json(
            "data nested otherwise",
            &shaped(&json!([2, 1]), &json!([[1, 2]])),
            "data_length_mismatch",
        ),
        Case::json(
            "text for a number",
            &shaped(&json!([1, 1]), &json!(["1"])),
            "wrong_type",
        ),
        Case::json(
            "null for a number",
            &shaped(&json!([1, 1]), &json!([null])),
            "wrong_type",
        ),
        Case::json(
            "too many rows",
            &shaped(&json!([4097, 1]), &json!(vec![0; 4097])),
            "too_many_rows",
        )
        .at("inputs[0].shape[0]"),
        Case::json(
            "an element too large",
            &texts(json!({ "name": "text", "datatype": "BYTES", "shape": [2], "data": ["", long] })),
            "element_too_large",
        )
        .at("inputs[0].data[1]"),
        Case::json(
            "no base64",
            &texts(json!({ "name": "text", "datatype": "BYTES", "shape": [1], "data": ["%"], "encoding": "base64" })),
            "invalid_value",
        ),
    ]
}

fn envelopes(known: &Known) -> Vec<Case> {
    let sound = || Case::submit("", sound().to_string(), 400, "");
    let named = |name, status, code, case: Case| Case {
        name,
        status,
        code,
        ..case
    };
    let bomb = gzip(&vec![b' '; 8 * known.max_body_bytes]);
    let over = (known.max_body_bytes + 1).to_string();
    let unsupported = "unsupported_media_type";
    let packed = |body: Vec<u8>| Case {
        body,
        ..sound().with("content-encoding", "gzip")
    };
    vec![
        named("no media type", 415, unsupported, sound().without("content-type")),
        named(
            "text for a media type",
            415,
            unsupported,
            sound().with("content-type", "text/plain"),
        ),
        named(
            "an encoding of br",
            415,
            unsupported,
            sound().with("content-encoding", "br"),
        ),
        named(
            "HTML wanted",
            406,
            "not_acceptable",
            sound().with("accept", "text/html"),
        ),
        named("gzip bomb", 413, "body_too_large", packed(bomb)),
        named("no gzip", 400, "malformed_body", packed(b"grain".to_vec())),
        named(
            "half a gzip",
            400,
            "malformed_body",
            packed(gzip(b"grain")[..12].to_vec()),
        ),
        named(
            "a body announced too large",
            413,
            "body_too_large",
            sound().with("content-length", &over),
        ),
        named(
            "blank in an idempotency key",
            400,
            "invalid_value",
            sound().with("idempotency-key", "a b"),
        )
        .at("Idempotency-Key"),
        named(
            "idempotency key too long",
            400,
            "invalid_value",
            sound().with("idempotency-key", &"k".repeat(256)),
        )
        .at("Idempotency-Key"),
    ]
}

fn callers(known: &Known) -> Vec<Case> {
    let case = |name, authorization: &str| {
        Case::submit(name, sound().to_string(), 401, "unauthenticated").with("authorization", authorization)
    };
    let (id, secret) = known.key.rsplit_once('_').unwrap();
    let other: String = secret.chars().rev().collect();
    vec![
        case("a key of nothing", "Bearer "),
        case("a key that is none", "Bearer grain"),
        case("another scheme", &format!("Basic {}", known.key)),
        case("a wrong secret", &format!("Bearer {id}_{other}")),
        case("an unknown key", &format!("Bearer gm_nobody_{secret}")),
    ]
}

fn paths(known: &Known) -> Vec<Case> {
    let (foreign, forged) = (&known.foreign_job, &known.forged_job);
    let missing = |name, path: String| Case::of(name, "GET", path, 404, "job_not_found");
    vec![
        missing("another tenant's job", format!("/v1/jobs/{foreign}")),
        missing("a forged job", format!("/v1/jobs/{forged}")),
        missing("another tenant's result", format!("/v1/jobs/{foreign}/result")),
        missing("another tenant's lineage", format!("/v1/jobs/{foreign}/lineage")),
        missing("another tenant's events", format!("/v1/jobs/{foreign}/events")),
        missing("a job of ..", "/v1/jobs/..".to_owned()),
        missing("a job of *", "/v1/jobs/*".to_owned()),
        missing("a job of >", "/v1/jobs/%3E".to_owned()),
        missing("a job that is no UTF-8", "/v1/jobs/%ff".to_owned()),
        Case::of(
            "a cancel of another's job",
            "POST",
            format!("/v1/jobs/{foreign}/cancel"),
            404,
            "job_not_found",
        ),
        Case::of(
            "too long a wait",
            "GET",
            format!("/v1/jobs/{foreign}?wait=31"),
            400,
            "invalid_value",
        )
        .at("wait"),
        Case::of(
            "an unknown inclusion",
            "GET",
            format!("/v1/jobs/{foreign}?include=all"),
            400,
            "invalid_value",
        )
        .at("include"),
        Case::of("a model of .. in a path", "GET", "/v1/models/..", 400, "invalid_name").at("name"),
        Case::of(
            "a model of %2e%2e%2f",
            "GET",
            "/v1/models/%2e%2e%2f",
            400,
            "invalid_name",
        )
        .at("name"),
        Case::of("a model that is no UTF-8", "GET", "/v1/models/%ff", 400, "invalid_name").at("name"),
        Case::of(
            "a model that is not there",
            "GET",
            "/v1/models/nothing",
            404,
            "model_not_found",
        )
        .at("name"),
        Case::of("a path that is not there", "GET", "/v2/jobs", 404, "route_not_found"),
        Case::of(
            "a method that is not there",
            "DELETE",
            "/v1/jobs",
            405,
            "method_not_allowed",
        ),
        Case::of(
            "a method nobody knows",
            "GRIND",
            "/v1/models",
            405,
            "method_not_allowed",
        ),
    ]
}

/// The table. Every case carries the valid key unless its key is what is wrong with it.
pub(crate) fn cases(known: &Known) -> Vec<Case> {
    let tables = [
        bodies(),
        fields(),
        tensors(),
        envelopes(known),
        callers(known),
        paths(known),
    ];
    let mut cases: Vec<Case> = tables.into_iter().flatten().collect();
    for case in &mut cases {
        if !case.headers.iter().any(|(name, _)| name == "authorization") {
            case.headers
                .push(("authorization".to_owned(), format!("Bearer {}", known.key)));
        }
    }
    let mut nobody = Case::submit("no key", sound().to_string(), 401, "unauthenticated");
    nobody.headers.retain(|(name, _)| name != "authorization");
    cases.push(nobody);
    cases
}
