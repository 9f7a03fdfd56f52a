//! Tensors as ONNX Runtime's values and back, all fourteen datatypes.
//!
//! Numbers are copied once each way: a job's bytes are not aligned for their type, and the parts of a batch are joined in
//! the same pass. BYTES are ONNX's strings, so they must be UTF-8 without NUL here.

use gristmill_schemas::{Datatype, Tensor};
use half::{bf16, f16};
use ort::value::{DynValue, Tensor as Value, TensorElementType};

/// ONNX Runtime's name for a datatype.
pub(super) const fn element_type(datatype: Datatype) -> TensorElementType {
    match datatype {
        Datatype::Bool => TensorElementType::Bool,
        Datatype::Uint8 => TensorElementType::Uint8,
        Datatype::Uint16 => TensorElementType::Uint16,
        Datatype::Uint32 => TensorElementType::Uint32,
        Datatype::Uint64 => TensorElementType::Uint64,
        Datatype::Int8 => TensorElementType::Int8,
        Datatype::Int16 => TensorElementType::Int16,
        Datatype::Int32 => TensorElementType::Int32,
        Datatype::Int64 => TensorElementType::Int64,
        Datatype::Fp16 => TensorElementType::Float16,
        Datatype::Fp32 => TensorElementType::Float32,
        Datatype::Fp64 => TensorElementType::Float64,
        Datatype::Bf16 => TensorElementType::Bfloat16,
        Datatype::Bytes => TensorElementType::String,
    }
}

/// Joins tensors of one datatype and row shape along their rows; at least one.
pub(super) fn join(parts: &[&Tensor]) -> ort::Result<DynValue> {
    let mut shape = parts[0].shape().to_vec();
    shape[0] = parts.iter().map(|part| part.rows()).sum();
    let shape: Vec<i64> = shape.into_iter().map(u64::cast_signed).collect();
    macro_rules! numbers {
        ($type:ty) => {{
            let size = parts.iter().map(|part| part.data().len()).sum::<usize>();
            let mut values: Vec<$type> = Vec::with_capacity(size / size_of::<$type>());
            for part in parts {
                let chunks = part.data().chunks_exact(size_of::<$type>());
                values.extend(chunks.map(|chunk| <$type>::from_le_bytes(chunk.try_into().expect("of that size"))));
            }
            Ok(Value::from_array((shape, values))?.into_dyn())
        }};
    }
    match parts[0].datatype() {
        Datatype::Bool => {
            let values: Vec<bool> = parts
                .iter()
                .flat_map(|part| part.data())
                .map(|byte| *byte != 0)
                .collect();
            Ok(Value::from_array((shape, values))?.into_dyn())
        }
        Datatype::Uint8 => numbers!(u8),
        Datatype::Uint16 => numbers!(u16),
        Datatype::Uint32 => numbers!(u32),
        Datatype::Uint64 => numbers!(u64),
        Datatype::Int8 => numbers!(i8),
        Datatype::Int16 => numbers!(i16),
        Datatype::Int32 => numbers!(i32),
        Datatype::Int64 => numbers!(i64),
        Datatype::Fp16 => numbers!(f16),
        Datatype::Fp32 => numbers!(f32),
        Datatype::Fp64 => numbers!(f64),
        Datatype::Bf16 => numbers!(bf16),
        Datatype::Bytes => {
            let elements = parts.iter().flat_map(|part| part.elements());
            let texts: Vec<_> = elements
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                .collect();
            Ok(Value::from_string_array((shape, &texts[..]))?.into_dyn())
        }
    }
}

/// A value as a tensor.
///
/// # Errors
/// What does not fit, for people: the value is of another type.
pub(super) fn read(name: &str, datatype: Datatype, value: &DynValue) -> Result<Tensor, String> {
    macro_rules! numbers {
        ($type:ty) => {{
            let (shape, values) = value.try_extract_tensor::<$type>().map_err(|error| error.to_string())?;
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (shape.to_vec(), bytes)
        }};
    }
    let (shape, bytes) = match datatype {
        Datatype::Bool => {
            let (shape, values) = value.try_extract_tensor::<bool>().map_err(|error| error.to_string())?;
            (shape.to_vec(), values.iter().map(|value| u8::from(*value)).collect())
        }
        Datatype::Uint8 => numbers!(u8),
        Datatype::Uint16 => numbers!(u16),
        Datatype::Uint32 => numbers!(u32),
        Datatype::Uint64 => numbers!(u64),
        Datatype::Int8 => numbers!(i8),
        Datatype::Int16 => numbers!(i16),
        Datatype::Int32 => numbers!(i32),
        Datatype::Int64 => numbers!(i64),
        Datatype::Fp16 => numbers!(f16),
        Datatype::Fp32 => numbers!(f32),
        Datatype::Fp64 => numbers!(f64),
        Datatype::Bf16 => numbers!(bf16),
        Datatype::Bytes => {
            let (shape, texts) = value.try_extract_strings().map_err(|error| error.to_string())?;
            let framed = Tensor::from_elements(name, &texts).map_err(|error| error.to_string())?;
            (shape.to_vec(), framed.data().to_vec())
        }
    };
    let shape = shape.into_iter().map(i64::cast_unsigned).collect();
    Tensor::new(name, datatype, shape, bytes).map_err(|error| error.to_string())
}
