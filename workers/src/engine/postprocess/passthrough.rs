//! No postprocessing: the graph's outputs are the job's, by name; each item has its rows of them.

use gristmill_schemas::{Failure, Tensor, manifest::TensorSpec};
use ort::session::SessionOutputs;

use super::{Prepared, invalid};
use crate::engine::values;

pub(super) fn finish(
    specs: &[TensorSpec],
    items: &[&Prepared],
    outputs: &SessionOutputs<'_>,
) -> Result<Vec<Vec<Tensor>>, Failure> {
    let rows: u64 = items.iter().map(|item| item.rows() as u64).sum();
    let whole: Vec<_> = specs
        .iter()
        .map(|spec| {
            let name = spec.name.as_str();
            let value = outputs
                .get(name)
                .ok_or_else(|| invalid(format!("the graph has no output {name:?}")))?;
            let tensor = values::read(name, spec.datatype, value).map_err(invalid)?;
            if tensor.shape().first() == Some(&rows) {
                Ok(tensor)
            } else {
                let shape = tensor.shape();
                Err(invalid(format!("output {name:?} is {shape:?} for {rows} rows")))
            }
        })
        .collect::<Result<_, _>>()?;
    let mut start = 0;
    let share = |item: &&Prepared| {
        let rows = start..start + item.rows() as u64;
        start = rows.end;
        whole.iter().map(|tensor| tensor.slice_rows(rows.clone())).collect()
    };
    Ok(items.iter().map(share).collect())
}
