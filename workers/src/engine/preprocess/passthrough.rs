//! No preprocessing: a job's inputs are the graph's, by name.

use gristmill_schemas::{Datatype, Failure, Tensor};

use super::{Feed, Prepared, invalid};
use crate::engine::values;

/// ONNX's strings are UTF-8 and end at a NUL.
pub(super) fn prepare(inputs: Vec<Tensor>) -> Result<Vec<Tensor>, Failure> {
    for input in inputs.iter().filter(|input| input.datatype() == Datatype::Bytes) {
        let text = |bytes: &[u8]| !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok();
        if let Some(element) = input.elements().position(|bytes| !text(&bytes)) {
            let problem = format!("element {element} of input {:?} is not UTF-8 without NUL", input.name());
            return Err(invalid(problem));
        }
    }
    Ok(inputs)
}

pub(super) fn feed(items: &[&Prepared]) -> ort::Result<Feed> {
    let first = items.first().map_or(&[][..], |item| item.tensors());
    first
        .iter()
        .enumerate()
        .map(|(place, input)| {
            let parts: Vec<_> = items.iter().filter_map(|item| item.tensors().get(place)).collect();
            Ok((input.name().to_owned().into(), values::join(&parts)?.into()))
        })
        .collect()
}
