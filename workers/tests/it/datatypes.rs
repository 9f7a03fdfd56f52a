//! All fourteen datatypes through a graph that changes nothing.

use gristmill_schemas::{Datatype, FailureCode, Tensor};
use gristmill_workers::engine::BatchItem;
use serde_json::json;

use crate::bench::{Small, code};

fn name(side: &str, datatype: Datatype) -> String {
    format!("{side}_{}", datatype.as_str().to_lowercase())
}

/// Rows of two elements, their bytes counted on from `first`; so floats are any bit pattern.
fn tensor(datatype: Datatype, rows: u64, first: u8) -> Tensor {
    let bytes = (0..).map(|step: u8| first.wrapping_add(step.wrapping_mul(37)));
    let data: Vec<u8> = match (datatype, datatype.element_size()) {
        (Datatype::Bool, _) => bytes.take(rows as usize * 2).map(|byte| byte & 1).collect(),
        (_, Some(size)) => bytes.take(rows as usize * 2 * size).collect(),
        (_, None) => {
            let texts: Vec<_> = bytes
                .take(rows as usize * 2)
                .map(|byte| "é".repeat(byte as usize % 5))
                .collect();
            Tensor::from_elements("x", &texts).unwrap().data().to_vec()
        }
    };
    Tensor::new(name("x", datatype), datatype, vec![rows, 2], data).unwrap()
}

fn item(rows: u64, first: u8) -> BatchItem {
    let inputs = Datatype::ALL
        .iter()
        .map(|datatype| tensor(*datatype, rows, first))
        .collect();
    BatchItem { inputs }
}

fn every_datatype() -> Small {
    let mut small = Small::new("every_datatype");
    let spec = |side: &str| -> Vec<_> {
        let spec = |datatype: &Datatype| json!({"name": name(side, *datatype), "datatype": datatype, "shape": [-1, 2]});
        Datatype::ALL.iter().map(spec).collect()
    };
    small.manifest["inputs"] = json!(spec("x"));
    small.manifest["outputs"] = json!(spec("y"));
    small.example = item(1, 0).inputs;
    small
}

#[tokio::test]
async fn every_datatype_comes_back_bit_for_bit() {
    let engine = every_datatype().load().unwrap();
    let items = [item(1, 3), item(5, 200), item(2, 91)];
    let report = engine.run(items.to_vec()).await.unwrap();
    assert_eq!(report.calls, 1);
    for (item, result) in items.iter().zip(&report.results) {
        for (input, output) in item.inputs.iter().zip(result.as_ref().unwrap()) {
            assert_eq!(output.name(), name("y", input.datatype()));
            assert_eq!(output.shape(), input.shape());
            assert_eq!(output.data(), input.data(), "{}", input.datatype());
        }
    }
}

#[tokio::test]
async fn bytes_that_are_no_onnx_string_fail_alone() {
    let engine = every_datatype().load().unwrap();
    let mut items = vec![item(1, 3); 3];
    for (item, bytes) in items.iter_mut().zip([b"\xff\xfe", b"\0a"]) {
        let data = Tensor::from_elements("x", &[bytes, b"ok"]).unwrap().data().clone();
        *item.inputs.last_mut().unwrap() = Tensor::new("x_bytes", Datatype::Bytes, vec![1, 2], data).unwrap();
    }
    let report = engine.run(items).await.unwrap();
    let codes: Vec<_> = report.results.iter().map(code).collect();
    assert_eq!(
        codes,
        [Some(FailureCode::InputInvalid), Some(FailureCode::InputInvalid), None]
    );
}
