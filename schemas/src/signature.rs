//! Holding a job's inputs against its model's signature and limits.

use std::collections::BTreeMap;

use crate::{
    datatype::Datatype,
    manifest::{Manifest, TensorSpec},
    refusal::{Refusal, RefusalCode},
    tensor::Tensor,
};

impl Manifest {
    /// Checks a request's inputs and puts them in the signature's order.
    ///
    /// # Errors
    /// A [`Refusal`] that names the input by its place in the request, and the limit.
    pub fn admit(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, Refusal> {
        let mut given = BTreeMap::new();
        for (index, input) in inputs.into_iter().enumerate() {
            let spec = self
                .inputs
                .iter()
                .find(|spec| spec.name == input.name())
                .ok_or_else(|| self.unknown(index))?;
            check_spec(spec, &input, index)?;
            self.check_limits(spec, &input, index)?;
            if given.insert(spec.name.as_str(), (index, input)).is_some() {
                let detail = format!("input {:?} stands there twice", spec.name);
                return Err(Refusal::new(RefusalCode::InputDuplicate, detail).at(format!("inputs[{index}].name")));
            }
        }
        self.in_order(given)
    }

    fn unknown(&self, index: usize) -> Refusal {
        let names: Vec<_> = self.inputs.iter().map(|spec| spec.name.as_str()).collect();
        let detail = format!("model {} has no such input; it has {}", self.name, names.join(", "));
        Refusal::new(RefusalCode::InputUnknown, detail).at(format!("inputs[{index}].name"))
    }

    fn in_order(&self, mut given: BTreeMap<&str, (usize, Tensor)>) -> Result<Vec<Tensor>, Refusal> {
        let mut ordered: Vec<Tensor> = Vec::with_capacity(self.inputs.len());
        for spec in &self.inputs {
            let (index, input) = given.remove(spec.name.as_str()).ok_or_else(|| {
                let detail = format!("input {:?} ({}) is missing", spec.name, spec.datatype);
                Refusal::new(RefusalCode::InputMissing, detail).at("inputs")
            })?;
            if let Some(first) = ordered.first().filter(|first| first.rows() != input.rows()) {
                let detail = format!("all inputs need the same rows; {:?} has {}", first.name(), first.rows());
                return Err(Refusal::new(RefusalCode::ShapeMismatch, detail).at(format!("inputs[{index}].shape[0]")));
            }
            ordered.push(input);
        }
        Ok(ordered)
    }

    fn check_limits(&self, spec: &TensorSpec, input: &Tensor, index: usize) -> Result<(), Refusal> {
        let max_rows = self.limits.max_rows;
        if input.rows() > u64::from(max_rows) {
            let detail = format!("{} rows are more than one job may have", input.rows());
            let refusal = Refusal::new(RefusalCode::TooManyRows, detail).at(format!("inputs[{index}].shape[0]"));
            return Err(refusal.limit(format_args!("{max_rows} rows")));
        }
        if let Some(max) = spec.max_element_bytes {
            let long = input
                .elements()
                .enumerate()
                .find(|(_, element)| element.len() > max as usize);
            if let Some((element, bytes)) = long {
                let detail = format!("the element has {} bytes", bytes.len());
                let refusal = Refusal::new(RefusalCode::ElementTooLarge, detail);
                return Err(refusal
                    .at(format!("inputs[{index}].data[{element}]"))
                    .limit(format_args!("{max} bytes")));
            }
        }
        if self.limits.reject_non_finite
            && let Some(element) = first_non_finite(input)
        {
            let detail = "the model refuses NaN and infinities";
            return Err(Refusal::new(RefusalCode::NonFinite, detail).at(format!("inputs[{index}].data[{element}]")));
        }
        Ok(())
    }
}

fn check_spec(spec: &TensorSpec, input: &Tensor, index: usize) -> Result<(), Refusal> {
    if input.datatype() != spec.datatype {
        let detail = format!("input {:?} is {}, not {}", spec.name, spec.datatype, input.datatype());
        return Err(Refusal::new(RefusalCode::DatatypeMismatch, detail).at(format!("inputs[{index}].datatype")));
    }
    let mismatch = |detail: String| {
        Err(Refusal::new(RefusalCode::ShapeMismatch, detail)
            .at(format!("inputs[{index}].shape"))
            .limit(format_args!("{:?}", spec.shape)))
    };
    if input.shape().len() != spec.shape.len() {
        return mismatch(format!(
            "expected {} dimensions, not {}",
            spec.shape.len(),
            input.shape().len()
        ));
    }
    let fits = |(want, have): (&i64, &u64)| u64::try_from(*want).map_or(*have > 0, |want| want == *have);
    if !spec.shape.iter().zip(input.shape()).all(fits) {
        return mismatch(format!("{:?} does not fit; -1 is any size from 1", input.shape()));
    }
    Ok(())
}

/// The first element that is NaN or infinite, by looking at the exponent bits alone.
fn first_non_finite(input: &Tensor) -> Option<usize> {
    let data = input.data();
    let all_set = |bits: u64, mask: u64| bits & mask == mask;
    let wide = |chunk: &[u8]| {
        let mut bytes = [0; 8];
        bytes[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(bytes)
    };
    let mask = match input.datatype() {
        Datatype::Fp16 => 0x7c00,
        Datatype::Bf16 => 0x7f80,
        Datatype::Fp32 => 0x7f80_0000,
        Datatype::Fp64 => 0x7ff0_0000_0000_0000,
        Datatype::Bool
        | Datatype::Uint8
        | Datatype::Uint16
        | Datatype::Uint32
        | Datatype::Uint64
        | Datatype::Int8
        | Datatype::Int16
        | Datatype::Int32
        | Datatype::Int64
        | Datatype::Bytes => return None,
    };
    data.chunks_exact(input.datatype().element_size()?)
        .position(|chunk| all_set(wide(chunk), mask))
}
