//! Inputs held against a model's signature and limits.

use gristmill_schemas::{Datatype, Manifest, RefusalCode as Code, Tensor};
use serde_json::json;

fn manifest() -> Manifest {
    let manifest: Manifest = serde_json::from_value(json!({
        "schema_version": 1,
        "name": "pair",
        "version": "1",
        "description": "Takes two inputs.",
        "artifacts": {"model": {"sha256": "0".repeat(64), "bytes": 1}},
        "inputs": [
            {"name": "a", "datatype": "FP32", "shape": [-1, 2]},
            {"name": "b", "datatype": "BYTES", "shape": [-1], "max_element_bytes": 3},
        ],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1]}],
        "limits": {"max_rows": 3, "max_runtime": "1s", "reject_non_finite": true},
        "batching": {"max_batch_size": 8, "max_queue_delay": "2ms"},
    }))
    .unwrap();
    manifest.check().unwrap();
    manifest
}

fn a(rows: u64, value: f32) -> Tensor {
    Tensor::from_f32("a", vec![rows, 2], &vec![value; 2 * rows as usize]).unwrap()
}

fn b(elements: &[&str]) -> Tensor {
    Tensor::from_elements("b", elements).unwrap()
}

fn refused(inputs: Vec<Tensor>) -> (Code, String) {
    let refusal = manifest().admit(inputs).unwrap_err();
    (refusal.code, refusal.field.unwrap())
}

#[test]
fn inputs_are_put_in_the_signature_s_order() {
    let ordered = manifest().admit(vec![b(&["x"]), a(1, 0.5)]).unwrap();
    assert_eq!(ordered, [a(1, 0.5), b(&["x"])]);
}

#[test]
fn inputs_that_do_not_fit_are_refused_by_their_place_in_the_request() {
    let named = |name: &str| Tensor::from_f32(name, vec![1, 2], &[0.0; 2]).unwrap();
    let shaped = |shape: &[u64], count| Tensor::from_f32("a", shape.to_vec(), &vec![0.0; count]).unwrap();
    let whole = Tensor::new("a", Datatype::Int32, vec![1, 2], vec![0; 8]).unwrap();
    let cases = [
        (vec![b(&["x"])], Code::InputMissing, "inputs"),
        (vec![b(&["x"]), named("c")], Code::InputUnknown, "inputs[1].name"),
        (
            vec![a(1, 0.0), b(&["x"]), a(1, 0.0)],
            Code::InputDuplicate,
            "inputs[2].name",
        ),
        (vec![whole], Code::DatatypeMismatch, "inputs[0].datatype"),
        (vec![shaped(&[2], 2)], Code::ShapeMismatch, "inputs[0].shape"),
        (vec![shaped(&[1, 3], 3)], Code::ShapeMismatch, "inputs[0].shape"),
        (vec![shaped(&[], 1)], Code::ShapeMismatch, "inputs[0].shape"),
        (vec![shaped(&[0, 2], 0)], Code::ShapeMismatch, "inputs[0].shape"),
        (vec![a(2, 0.0), b(&["x"])], Code::ShapeMismatch, "inputs[1].shape[0]"),
        (vec![a(4, 0.0)], Code::TooManyRows, "inputs[0].shape[0]"),
        (vec![b(&["abc", "abcd"])], Code::ElementTooLarge, "inputs[0].data[1]"),
        (vec![a(1, f32::NAN)], Code::NonFinite, "inputs[0].data[0]"),
        (vec![a(1, f32::NEG_INFINITY)], Code::NonFinite, "inputs[0].data[0]"),
    ];
    for (inputs, code, place) in cases {
        assert_eq!(refused(inputs), (code, place.to_owned()));
    }
}

#[test]
fn non_finite_is_found_in_every_floating_point_type() {
    let cases: [(Datatype, &[u8]); 4] = [
        (Datatype::Fp16, &[0, 0x7c]),
        (Datatype::Bf16, &[0x80, 0x7f]),
        (Datatype::Fp32, &[0, 0, 0x80, 0xff]),
        (Datatype::Fp64, &[1, 0, 0, 0, 0, 0, 0xf0, 0x7f]),
    ];
    for (datatype, infinite) in cases {
        let mut manifest = manifest();
        manifest.inputs.truncate(1);
        manifest.inputs[0].datatype = datatype;
        let data = [vec![0; infinite.len()], infinite.to_vec()].concat();
        let input = |data: Vec<u8>| vec![Tensor::new("a", datatype, vec![1, 2], data).unwrap()];
        let refusal = manifest.admit(input(data)).unwrap_err();
        assert_eq!(
            (refusal.code, refusal.field.as_deref()),
            (Code::NonFinite, Some("inputs[0].data[1]"))
        );
        assert!(manifest.admit(input(vec![0x3b; 2 * infinite.len()])).is_ok());
        manifest.limits.reject_non_finite = false;
        assert!(manifest.admit(input([infinite, infinite].concat())).is_ok());
    }
}
