//! Tensor data in JSON: every value that a datatype has comes back, and every one that it has not is refused.

use gristmill_schemas::{Datatype, InferRequest, Refusal, RefusalCode, Tensor};
use proptest::prelude::*;
use serde_json::json;

use crate::sample;

const ROOM: usize = 1 << 20;

fn read(input: &str) -> Result<Tensor, Refusal> {
    let body = format!(r#"{{"model":"minilm","inputs":[{input}]}}"#);
    InferRequest::from_json(body.as_bytes(), ROOM).map(|mut request| request.inputs.remove(0))
}

fn input(datatype: &str, shape: &str, data: &str) -> Result<Tensor, Refusal> {
    read(&format!(
        r#"{{"name":"x","datatype":"{datatype}","shape":{shape},"data":{data}}}"#
    ))
}

fn base64(shape: &str, data: &str) -> Result<Tensor, Refusal> {
    read(&format!(
        r#"{{"name":"x","datatype":"BYTES","shape":{shape},"encoding":"base64","data":{data}}}"#
    ))
}

/// Code and field of what must be refused.
fn refused(result: Result<Tensor, Refusal>) -> (RefusalCode, String) {
    let refusal = result.unwrap_err();
    (refusal.code, refusal.field.unwrap_or_default())
}

fn at(code: RefusalCode, place: &str) -> (RefusalCode, String) {
    (code, format!("inputs[0].data{place}"))
}

/// Data of `count` elements: any bits, but only finite numbers and true bools, since JSON has no others.
fn data(datatype: Datatype, count: usize) -> impl Strategy<Value = Vec<u8>> {
    let size = datatype.element_size().unwrap();
    prop::collection::vec(any::<u8>(), count * size).prop_map(move |mut bytes| {
        for element in bytes.chunks_exact_mut(size) {
            match datatype {
                Datatype::Bool => element[0] &= 1,
                Datatype::Fp16 if element[1] & 0x7c == 0x7c => element[1] = 0,
                Datatype::Bf16 | Datatype::Fp32 if element[size - 1] & 0x7f == 0x7f => element[size - 1] = 0,
                Datatype::Fp64 if element[7] & 0x7f == 0x7f => element[7] = 0,
                _ => {}
            }
        }
        bytes
    })
}

fn tensor() -> impl Strategy<Value = Tensor> {
    let fixed = Datatype::ALL
        .into_iter()
        .filter(|datatype| *datatype != Datatype::Bytes);
    let fixed = (prop::sample::select(fixed.collect::<Vec<_>>()), 0_u64..4, 0_u64..4).prop_flat_map(
        |(datatype, rows, columns)| {
            data(datatype, (rows * columns) as usize)
                .prop_map(move |data| Tensor::new("x", datatype, vec![rows, columns], data).unwrap())
        },
    );
    let text = prop::collection::vec(any::<String>(), 0..5);
    let text = text.prop_map(|elements| Tensor::from_elements("x", &elements).unwrap());
    let bytes = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..5);
    let bytes = bytes.prop_map(|elements| Tensor::from_elements("x", &elements).unwrap());
    prop_oneof![6 => fixed, 1 => text, 1 => bytes]
}

/// Flat elements as nested lists of `shape`.
fn nested(elements: &[serde_json::Value], shape: &[u64]) -> serde_json::Value {
    let [_, inner @ ..] = shape else {
        return elements[0].clone();
    };
    let size = inner.iter().product::<u64>() as usize;
    elements.chunks(size).map(|chunk| nested(chunk, inner)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_datatype_comes_back_through_json(tensor in tensor()) {
        let request = InferRequest::new(sample::minilm(), vec![tensor]);
        prop_assert_eq!(InferRequest::from_json(&request.to_json(), ROOM).unwrap(), request);
    }

    #[test]
    fn every_datatype_comes_back_through_msgpack(tensor in tensor()) {
        let request = InferRequest::new(sample::minilm(), vec![tensor]);
        prop_assert_eq!(InferRequest::from_msgpack(&request.to_msgpack(), ROOM).unwrap(), request);
    }

    #[test]
    fn nested_data_is_flat_data(values in prop::collection::vec(any::<i16>(), 24), shape in prop::sample::select(vec![vec![24], vec![2, 12], vec![2, 3, 4], vec![24, 1], vec![1, 2, 3, 4, 1]])) {
        let values: Vec<_> = values.into_iter().map(serde_json::Value::from).collect();
        let shape_text = json!(shape).to_string();
        let flat = input("INT16", &shape_text, &json!(values).to_string()).unwrap();
        let nested = input("INT16", &shape_text, &nested(&values, &shape).to_string()).unwrap();
        prop_assert_eq!(flat, nested);
    }

    #[test]
    fn any_json_as_data_is_read_or_refused_but_never_panics(data in "[\\[\\]{}0-9a-z\",.:eE+-]{0,40}", datatype in prop::sample::select(Datatype::ALL.to_vec())) {
        let _ = input(datatype.as_str(), "[2,2]", &data);
    }
}

#[test]
fn ends_of_every_whole_datatype_are_read_and_no_step_further() {
    let ends = [
        ("UINT8", "0", "255", "-1", "256"),
        ("UINT16", "0", "65535", "-1", "65536"),
        ("UINT32", "0", "4294967295", "-1", "4294967296"),
        ("UINT64", "0", "18446744073709551615", "-1", "18446744073709551616"),
        ("INT8", "-128", "127", "-129", "128"),
        ("INT16", "-32768", "32767", "-32769", "32768"),
        ("INT32", "-2147483648", "2147483647", "-2147483649", "2147483648"),
        (
            "INT64",
            "-9223372036854775808",
            "9223372036854775807",
            "-9223372036854775809",
            "9223372036854775808",
        ),
    ];
    for (datatype, low, high, below, above) in ends {
        assert!(input(datatype, "[2]", &format!("[{low},{high}]")).is_ok(), "{datatype}");
        for value in [below, above] {
            let refused = refused(input(datatype, "[2]", &format!("[0,{value}]")));
            assert_eq!(
                refused,
                at(RefusalCode::ValueOutOfRange, "[1]"),
                "{value} in {datatype}"
            );
        }
    }
}

#[test]
fn number_too_large_for_its_float_is_refused_and_not_made_infinite() {
    let too_large = [
        ("FP16", "65520"),
        ("BF16", "3.4e38"),
        ("FP32", "1e39"),
        ("FP32", "-1e39"),
        ("FP64", "1e400"),
        ("FP32", "1e400"),
        ("FP16", "100000"),
    ];
    for (datatype, value) in too_large {
        let refused = refused(input(datatype, "[2]", &format!("[0.5,{value}]")));
        assert_eq!(
            refused,
            at(RefusalCode::ValueOutOfRange, "[1]"),
            "{value} in {datatype}"
        );
    }
    assert!(input("FP16", "[1]", "[65504]").is_ok());
    assert!(input("FP32", "[1]", "[3.4028235e38]").is_ok());
    assert!(input("FP64", "[1]", "[1.7976931348623157e308]").is_ok());
}

#[test]
fn number_too_small_for_its_float_is_zero() {
    assert_eq!(
        input("FP32", "[2]", "[1e-60,-1e-400]").unwrap().data()[..],
        [0, 0, 0, 0, 0, 0, 0, 0x80]
    );
}

#[test]
fn element_of_another_kind_is_refused() {
    let wrong = [
        ("INT32", "1.5"),
        ("UINT8", "1e2"),
        ("FP32", "true"),
        ("INT8", "false"),
        ("FP32", "null"),
        ("BYTES", "null"),
        ("BOOL", "null"),
        ("BOOL", "1"),
        ("BOOL", "0.0"),
        ("BOOL", "\"true\""),
        ("FP32", "\"1\""),
        ("FP32", "\"NaN\""),
        ("BYTES", "1"),
        ("BYTES", "1.5"),
        ("BYTES", "true"),
        ("FP32", "{}"),
        ("BYTES", "{\"a\":1}"),
    ];
    for (datatype, value) in wrong {
        for (before, place) in [("", "[0]"), ("0,", "[1]")] {
            let shape = if before.is_empty() { "[1]" } else { "[2]" };
            let before = match datatype {
                _ if before.is_empty() => "",
                "BYTES" => "\"\",",
                "BOOL" => "true,",
                _ => before,
            };
            let refused = refused(input(datatype, shape, &format!("[{before}{value}]")));
            assert_eq!(refused, at(RefusalCode::WrongType, place), "{value} in {datatype}");
        }
    }
}

#[test]
fn data_that_is_no_list_is_refused() {
    for data in ["1", "true", "\"AAAA\"", "{}"] {
        let refused = refused(input("FP32", "[1]", data));
        assert_eq!(refused, at(RefusalCode::WrongType, ""), "{data}");
    }
    assert_eq!(refused(input("FP32", "[1]", "null")), at(RefusalCode::WrongType, ""));
}

#[test]
fn data_that_does_not_fill_the_shape_is_refused() {
    let wrong = [
        ("[2]", "[1]"),
        ("[2]", "[1,2,3]"),
        ("[2]", "[]"),
        ("[]", "[]"),
        ("[]", "[1,2]"),
        ("[0]", "[1]"),
        ("[2,2]", "[1,2,3]"),
        ("[2,2]", "[1,2,3,4,5]"),
        ("[1000]", "[1]"),
    ];
    for (shape, data) in wrong {
        for datatype in ["FP32", "INT64"] {
            let refused = refused(input(datatype, shape, data));
            assert_eq!(refused, at(RefusalCode::DataLengthMismatch, ""), "{data} in {shape}");
        }
    }
    let refused = refused(input("BYTES", "[2]", r#"["a"]"#));
    assert_eq!(refused, at(RefusalCode::DataLengthMismatch, ""));
}

#[test]
fn nesting_that_is_not_the_shape_s_is_refused() {
    let wrong = [
        ("[4]", "[[1,2],[3,4]]"),
        ("[4]", "[[1,2,3,4]]"),
        ("[2,2]", "[[1,2,3,4]]"),
        ("[2,2]", "[[1],[2],[3],[4]]"),
        ("[2,2]", "[[1,2],[3]]"),
        ("[2,2]", "[[1,2,3],[4]]"),
        ("[2,2]", "[[1,2],3,4]"),
        ("[2,2]", "[1,2,[3,4]]"),
        ("[2,2]", "[[[1],[2]],[[3],[4]]]"),
        ("[2,2]", "[[1,2],[3,4],[]]"),
        ("[2,2,1]", "[[1,2],[3,4]]"),
        ("[2,0]", "[[]]"),
        ("[]", "[[1]]"),
    ];
    for (shape, data) in wrong {
        let refused = refused(input("FP32", shape, data));
        assert_eq!(refused, at(RefusalCode::DataLengthMismatch, ""), "{data} in {shape}");
    }
}

#[test]
fn empty_and_scalar_shapes_are_read() {
    for (shape, data) in [
        ("[0]", "[]"),
        ("[2,0]", "[[],[]]"),
        ("[2,0]", "[]"),
        ("[0,3]", "[]"),
        ("[]", "[7]"),
    ] {
        assert!(input("FP32", shape, data).is_ok(), "{data} in {shape}");
    }
}

#[test]
fn base64_is_read_strictly() {
    let tensor = base64("[3]", r#"["", "/wA=", "YWJj"]"#).unwrap();
    let elements: Vec<Vec<u8>> = tensor.elements().map(Vec::from).collect();
    assert_eq!(elements, [vec![], vec![0xff, 0], b"abc".to_vec()]);
    for wrong in ["/wA", "_wA=", "/wB=", "YW Jj", "YWJj\\n", "====", "=", "ä"] {
        let refused = refused(base64("[2]", &format!(r#"["","{wrong}"]"#)));
        assert_eq!(refused, at(RefusalCode::InvalidValue, "[1]"), "{wrong:?}");
    }
}

#[test]
fn encoding_is_one_that_there_is() {
    let body = r#"{"name":"x","datatype":"BYTES","shape":[1],"encoding":"hex","data":["00"]}"#;
    let (code, field) = refused(read(body));
    assert_eq!(
        (code, field.as_str()),
        (RefusalCode::InvalidValue, "inputs[0].encoding")
    );
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    let body = br#"{"model":"m","inputs":[{"name":"x","datatype":"BYTES","shape":[1],"data":["#;
    for text in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf"] {
        let body = [body, &b"\""[..], text, b"\"]}]}"].concat();
        let refusal = InferRequest::from_json(&body, ROOM).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::InvalidUtf8, "{text:x?}");
    }
}

#[test]
fn half_of_a_surrogate_pair_is_refused_and_a_whole_one_read() {
    for text in [r"\ud800", r"\ud800x", r"\udc00", r"\ud800\ud800", r"\ud800\n"] {
        let refused = refused(input("BYTES", "[2]", &format!(r#"["","{text}"]"#)));
        assert_eq!(refused, at(RefusalCode::InvalidUtf8, "[1]"), "{text}");
    }
    let grain = input("BYTES", "[1]", r#"["\ud83c\udf3e"]"#).unwrap();
    assert_eq!(grain.elements().next().unwrap(), "🌾".as_bytes());
}

#[test]
fn room_is_what_the_tensor_takes_not_its_text() {
    let body = |data: &str, more: &str| {
        format!(r#"{{"model":"m","inputs":[{{"name":"x","datatype":"BYTES","shape":[2],{more}"data":{data}}}]}}"#)
    };
    // two prefixes of four bytes, and six bytes
    let text = body(r#"["abc","def"]"#, "");
    let base64 = body(r#"["YWJj","ZGVm"]"#, r#""encoding":"base64","#);
    for body in [text, base64] {
        assert!(InferRequest::from_json(body.as_bytes(), 14).is_ok(), "{body}");
        let refusal = InferRequest::from_json(body.as_bytes(), 13).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::InputTooLarge, "{body}");
    }
}
