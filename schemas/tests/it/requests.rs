//! Requests that are refused: each by its own code, at the field that is wrong, in both encodings where both can say it.

use std::process::Command;

use gristmill_schemas::{InferRequest, Refusal, RefusalCode as Code, codec};
use serde_json::{Value, json};

use crate::sample;

const ROOM: usize = 1 << 20;

fn read(body: &[u8]) -> Result<InferRequest, Refusal> {
    InferRequest::from_json(body, ROOM)
}

fn refused(result: Result<InferRequest, Refusal>) -> (Code, String) {
    let refusal = result.unwrap_err();
    (refusal.code, refusal.field.unwrap_or_default())
}

/// A request that is right, with `field` set to `value` at the pointer, or taken away.
fn with(pointer: &str, field: &str, value: Option<Value>) -> Value {
    let mut body = json!({
        "model": "identity",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}],
        "provenance": {},
        "metadata": {},
    });
    let object = body.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => drop(object.insert(field.to_owned(), value)),
        None => drop(object.remove(field)),
    }
    body
}

/// `whole` with the one place that holds `part` holding `other`.
fn replaced(whole: &[u8], part: &[u8], other: &[u8]) -> Vec<u8> {
    let at = whole.windows(part.len()).position(|window| window == part);
    at.map_or(whole.to_vec(), |at| {
        [&whole[..at], other, &whole[at + part.len()..]].concat()
    })
}

/// The body in MessagePack, in which data is a byte string.
fn msgpack(body: &Value) -> Vec<u8> {
    let key = codec::encode(&"data");
    let list = [&key[..], &[0x92, 1, 2]].concat();
    let bytes = [&key[..], &[0xc4, 8], &[0; 8]].concat();
    replaced(&codec::encode(body), &list, &bytes)
}

fn many(count: usize) -> Value {
    (0..count)
        .map(|n| (format!("k{n}"), json!("v")))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_wrong_field_is_refused_by_its_own_code() {
    let input = json!({"name": "x", "datatype": "FP32", "shape": [0], "data": []});
    let long = "x".repeat(257);
    let cases = [
        ("", "model", None, Code::MissingField, "model"),
        ("", "model", Some(json!(null)), Code::MissingField, "model"),
        ("", "model", Some(json!(7)), Code::WrongType, "model"),
        ("", "model", Some(json!("..")), Code::InvalidName, "model"),
        ("", "model", Some(json!("*")), Code::InvalidName, "model"),
        ("", "version", Some(json!(">")), Code::InvalidName, "version"),
        ("", "version", Some(json!(1)), Code::WrongType, "version"),
        ("", "inputs", None, Code::MissingField, "inputs"),
        ("", "inputs", Some(json!({})), Code::WrongType, "inputs"),
        ("", "inputs", Some(json!([])), Code::NoInputs, "inputs"),
        ("", "inputs", Some(json!([7])), Code::WrongType, "inputs[0]"),
        (
            "",
            "inputs",
            Some(vec![input; 65].into()),
            Code::TooManyInputs,
            "inputs",
        ),
        ("", "lane", Some(json!("fast")), Code::InvalidValue, "lane"),
        (
            "",
            "deadline",
            Some(json!("soon")),
            Code::DeadlineOutOfRange,
            "deadline",
        ),
        ("", "deadline", Some(json!(30)), Code::WrongType, "deadline"),
        ("", "later", Some(json!(1)), Code::UnknownField, "later"),
        ("", "provenance", Some(json!([])), Code::WrongType, "provenance"),
        ("", "metadata", Some(json!("a")), Code::WrongType, "metadata"),
        ("", "metadata", Some(many(17)), Code::MetadataTooLarge, "metadata"),
        ("/metadata", "k", Some(json!(1)), Code::WrongType, "metadata.k"),
        (
            "/metadata",
            "k",
            Some(json!(long)),
            Code::MetadataTooLarge,
            "metadata.k",
        ),
        (
            "/provenance",
            "later",
            Some(json!(1)),
            Code::UnknownField,
            "provenance.later",
        ),
        (
            "/provenance",
            "dataset",
            Some(json!(1)),
            Code::WrongType,
            "provenance.dataset",
        ),
        (
            "/provenance",
            "dataset",
            Some(json!(long)),
            Code::MetadataTooLarge,
            "provenance.dataset",
        ),
        (
            "/provenance",
            "parent_jobs",
            Some(json!("a")),
            Code::WrongType,
            "provenance.parent_jobs",
        ),
        (
            "/provenance",
            "parent_jobs",
            Some(json!(["a"])),
            Code::InvalidValue,
            "provenance.parent_jobs[0]",
        ),
        (
            "/provenance",
            "parent_jobs",
            Some(json!(vec!["a"; 65])),
            Code::MetadataTooLarge,
            "provenance.parent_jobs",
        ),
        ("/inputs/0", "name", None, Code::MissingField, "inputs[0].name"),
        (
            "/inputs/0",
            "name",
            Some(json!("a b")),
            Code::InvalidName,
            "inputs[0].name",
        ),
        ("/inputs/0", "name", Some(json!([])), Code::WrongType, "inputs[0].name"),
        ("/inputs/0", "datatype", None, Code::MissingField, "inputs[0].datatype"),
        (
            "/inputs/0",
            "datatype",
            Some(json!("fp32")),
            Code::DatatypeUnknown,
            "inputs[0].datatype",
        ),
        ("/inputs/0", "shape", None, Code::MissingField, "inputs[0].shape"),
        (
            "/inputs/0",
            "shape",
            Some(json!("2")),
            Code::WrongType,
            "inputs[0].shape",
        ),
        (
            "/inputs/0",
            "shape",
            Some(json!([1, -1])),
            Code::ShapeInvalid,
            "inputs[0].shape[1]",
        ),
        (
            "/inputs/0",
            "shape",
            Some(json!([1.5])),
            Code::ShapeInvalid,
            "inputs[0].shape[0]",
        ),
        (
            "/inputs/0",
            "shape",
            Some(json!(["2"])),
            Code::ShapeInvalid,
            "inputs[0].shape[0]",
        ),
        (
            "/inputs/0",
            "shape",
            Some(json!(vec![1; 1000])),
            Code::ShapeInvalid,
            "inputs[0].shape",
        ),
        (
            "/inputs/0",
            "shape",
            Some(json!(vec![1; 100_000])),
            Code::TooManyValues,
            "",
        ),
        (
            "/inputs/0",
            "shape",
            Some(json!([1_u64 << 32, 1_u64 << 32])),
            Code::ShapeInvalid,
            "inputs[0].shape",
        ),
        (
            "/inputs/0",
            "shape",
            Some(json!([1_u64 << 40])),
            Code::InputTooLarge,
            "inputs[0]",
        ),
        ("/inputs/0", "data", None, Code::MissingField, "inputs[0].data"),
        (
            "/inputs/0",
            "later",
            Some(json!(1)),
            Code::UnknownField,
            "inputs[0].later",
        ),
    ];
    assert!(read(with("", "lane", None).to_string().as_bytes()).is_ok());
    for (pointer, field, value, code, place) in cases {
        let body = with(pointer, field, value);
        let shown = format!("{pointer}/{field}: {place}");
        assert_eq!(
            refused(read(body.to_string().as_bytes())),
            (code, place.to_owned()),
            "{shown}"
        );
        let msgpack = msgpack(&body);
        assert_eq!(
            refused(InferRequest::from_msgpack(&msgpack, ROOM)),
            (code, place.to_owned()),
            "{shown}"
        );
    }
}

#[test]
fn field_that_stands_there_twice_is_refused() {
    let bodies = [
        r#"{"model":"a","model":"a"}"#,
        r#"{"model":"a","inputs":[{"name":"x","name":"y"}]}"#,
        r#"{"model":"a","inputs":[{"data":[],"data":[]}]}"#,
        r#"{"metadata":{"k":"v","k":"v"}}"#,
        r#"{"metadata":{"k":"v","\u006b":"v"}}"#,
        r#"{"provenance":{"dataset":"a","dataset":"a"}}"#,
    ];
    for body in bodies {
        assert_eq!(refused(read(body.as_bytes())).0, Code::DuplicateField, "{body}");
    }
    let twice = [&[0x82][..], &codec::encode(&"k"), &[1], &codec::encode(&"k"), &[1]].concat();
    assert_eq!(
        refused(InferRequest::from_msgpack(&twice, ROOM)).0,
        Code::DuplicateField
    );
}

#[test]
fn body_that_is_not_json_is_malformed() {
    for body in [
        "",
        "{",
        "nul",
        "{'a':1}",
        "{}{}",
        "{} x",
        r#"{"a":1,}"#,
        "\u{feff}{}",
        r#"{"model":"a"#,
        "[1e999]",
    ] {
        assert_eq!(refused(read(body.as_bytes())).0, Code::MalformedBody, "{body:?}");
    }
    for body in ["[]", "7", "\"a\"", "null"] {
        assert_eq!(
            refused(read(body.as_bytes())),
            (Code::WrongType, "body".to_owned()),
            "{body:?}"
        );
    }
}

#[test]
fn body_that_is_not_msgpack_is_malformed() {
    let whole = sample::request().to_msgpack();
    for length in 0..whole.len() {
        let refused = refused(InferRequest::from_msgpack(&whole[..length], ROOM));
        assert_eq!(refused.0, Code::MalformedBody, "{length}");
    }
    for rest in [0x00, 0x91, 0xc1] {
        let body = [&whole[..], &[rest]].concat();
        assert_eq!(refused(InferRequest::from_msgpack(&body, ROOM)).0, Code::MalformedBody);
    }
    let number_as_key = [0x81, 0x01, 0x01];
    assert_eq!(
        refused(InferRequest::from_msgpack(&number_as_key, ROOM)).0,
        Code::MalformedBody
    );
}

#[test]
fn json_cut_off_anywhere_is_malformed() {
    let whole = sample::request().to_json();
    for length in 0..whole.len() {
        let code = refused(read(&whole[..length])).0;
        let within_a_character = std::str::from_utf8(&whole[..length]).is_err();
        let expected = if within_a_character {
            Code::InvalidUtf8
        } else {
            Code::MalformedBody
        };
        assert_eq!(code, expected, "{length}");
    }
}

#[test]
fn text_that_is_not_utf8_is_refused_in_every_place() {
    for body in [
        &b"{\"model\":\"\xff\"}"[..],
        b"{\"\xff\":1}",
        b"{\"metadata\":{\"k\":\"\xc3(\"}}",
    ] {
        assert_eq!(refused(read(body)).0, Code::InvalidUtf8, "{body:x?}");
    }
    for body in [
        r#"{"model":"\ud800"}"#,
        r#"{"\udc00":1}"#,
        r#"{"metadata":{"k":"\ud800\ud800"}}"#,
    ] {
        assert_eq!(refused(read(body.as_bytes())).0, Code::InvalidUtf8, "{body}");
    }
    let broken = &[0xa1, 0xff];
    let request = |body: &[u8]| refused(InferRequest::from_msgpack(body, ROOM)).0;
    assert_eq!(request(&[&[0x81][..], broken, &[1]].concat()), Code::InvalidUtf8);
    assert_eq!(
        request(&[&[0x81][..], &codec::encode(&"model"), broken].concat()),
        Code::InvalidUtf8
    );
    let body = with("/metadata", "k", Some(json!("v")));
    let broken_value = replaced(
        &msgpack(&body),
        &[0xa1, b'k', 0xa1, b'v'],
        &[&[0xa1, b'k'][..], broken].concat(),
    );
    assert_eq!(request(&broken_value), Code::InvalidUtf8);
}

#[test]
fn msgpack_data_is_a_byte_string_that_fits() {
    let whole = msgpack(&with("", "lane", None));
    let body = |data: &[u8]| replaced(&whole, &[&[0xc4, 8][..], &[0; 8]].concat(), data);
    let code = |data: &[u8]| refused(InferRequest::from_msgpack(&body(data), ROOM));
    let place = "inputs[0].data".to_owned();
    assert_eq!(code(&[0xc4, 0]), (Code::DataLengthMismatch, place.clone()));
    assert_eq!(code(&[0xc4, 3, 0, 0, 0]), (Code::DataLengthMismatch, place.clone()));
    assert_eq!(code(&[0x91, 1]), (Code::WrongType, place.clone()));
    assert_eq!(code(&[0xa1, b'a']), (Code::WrongType, place));
    let small = InferRequest::from_msgpack(&sample::request().to_msgpack(), 25).unwrap_err();
    assert_eq!(
        (small.code, small.limit.as_deref()),
        (Code::InputTooLarge, Some("25 bytes"))
    );
}

/// Set where the test runs alone in a process of its own.
const ALONE: &str = "GRISTMILL_TEST_ALONE";

#[test]
#[cfg(target_os = "linux")]
fn a_million_inputs_are_refused_without_the_memory_for_them() {
    if std::env::var_os(ALONE).is_some() {
        return million_inputs();
    }
    let test = "requests::a_million_inputs_are_refused_without_the_memory_for_them";
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--exact", test]).env(ALONE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[cfg(target_os = "linux")]
fn million_inputs() {
    let json = format!(r#"{{"model":"m","inputs":[{}{{}}]}}"#, "{},".repeat(1_000_000));
    let head = [vec![0x81], codec::encode(&"inputs"), vec![0xdd, 0, 0x0f, 0x42, 0x40]].concat();
    let msgpack = [head, vec![0x80; 1_000_000]].concat();
    let before = peak_kib();
    assert_eq!(refused(read(json.as_bytes())).0, Code::TooManyValues);
    assert_eq!(
        refused(InferRequest::from_msgpack(&msgpack, ROOM)).0,
        Code::TooManyValues
    );
    let grown = peak_kib() - before;
    assert!(grown < 2048, "{grown} KiB for bodies that are refused");
}

/// The most memory this process has had so far.
#[cfg(target_os = "linux")]
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
