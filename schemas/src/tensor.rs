//! A tensor: name, datatype, shape and raw little-endian bytes that are known to fit each other.

use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::datatype::Datatype;

/// No tensor has more dimensions.
pub const MAX_RANK: usize = 8;
/// The longest tensor name, in bytes.
pub const MAX_NAME: usize = 128;

/// Why name, datatype, shape and data do not make a tensor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorError {
    /// The name is empty, too long, or has characters that are not printable ASCII.
    #[error("a tensor's name has 1 to {MAX_NAME} printable ASCII characters")]
    Name,
    /// More than [`MAX_RANK`] dimensions.
    #[error("rank {0} is above the limit of {MAX_RANK}")]
    Rank(usize),
    /// The product of the dimensions, times the element's size, is no 64-bit number.
    #[error("shape × element size overflows 64 bits")]
    Overflow,
    /// The data is longer or shorter than the shape says (bytes, or elements for BYTES).
    #[error("the shape needs {expected} {unit}, the data has {actual}")]
    Length {
        /// What shape and datatype ask for.
        expected: u64,
        /// What is there.
        actual: u64,
        /// `bytes` or `elements`.
        unit: &'static str,
    },
    /// A BYTES element's length prefix reaches past the end of the data.
    #[error("BYTES element {0} reaches past the end of the data")]
    Framing(u64),
    /// A BOOL element's byte is neither 0 nor 1.
    #[error("BOOL element {0} is neither 0 nor 1")]
    Bool(usize),
}

/// A tensor whose parts fit: whoever holds one need not check again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Parts")]
pub struct Tensor {
    name: String,
    datatype: Datatype,
    shape: Vec<u64>,
    data: Bytes,
}

#[derive(Deserialize)]
struct Parts {
    name: String,
    datatype: Datatype,
    shape: Vec<u64>,
    data: Bytes,
}

impl TryFrom<Parts> for Tensor {
    type Error = TensorError;

    fn try_from(parts: Parts) -> Result<Self, TensorError> {
        Self::new(parts.name, parts.datatype, parts.shape, parts.data)
    }
}

/// The number of elements of a shape, before anything is allocated for it.
///
/// # Errors
/// [`TensorError::Rank`], [`TensorError::Overflow`].
pub fn element_count(shape: &[u64]) -> Result<u64, TensorError> {
    if shape.len() > MAX_RANK {
        return Err(TensorError::Rank(shape.len()));
    }
    shape
        .iter()
        .try_fold(1_u64, |count, dim| count.checked_mul(*dim))
        .ok_or(TensorError::Overflow)
}

/// The bytes of a shape's elements; `None` for BYTES, whose elements have lengths of their own.
///
/// # Errors
/// [`TensorError::Rank`], [`TensorError::Overflow`].
pub fn byte_count(datatype: Datatype, shape: &[u64]) -> Result<Option<u64>, TensorError> {
    let count = element_count(shape)?;
    match datatype.element_size() {
        None => Ok(None),
        Some(size) => count.checked_mul(size as u64).map(Some).ok_or(TensorError::Overflow),
    }
}

/// Checks a tensor's name.
///
/// # Errors
/// [`TensorError::Name`].
pub fn check_name(name: &str) -> Result<(), TensorError> {
    let sound = (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
    sound.then_some(()).ok_or(TensorError::Name)
}

impl Tensor {
    /// Puts the parts together after checking that they fit; allocates nothing.
    ///
    /// # Errors
    /// [`TensorError`] names what does not fit.
    pub fn new(
        name: impl Into<String>,
        datatype: Datatype,
        shape: Vec<u64>,
        data: impl Into<Bytes>,
    ) -> Result<Self, TensorError> {
        let (name, data) = (name.into(), data.into());
        check_name(&name)?;
        match byte_count(datatype, &shape)? {
            Some(expected) if expected == data.len() as u64 => {}
            Some(expected) => {
                return Err(TensorError::Length {
                    expected,
                    actual: data.len() as u64,
                    unit: "bytes",
                });
            }
            None => check_framing(&data, element_count(&shape)?)?,
        }
        if datatype == Datatype::Bool
            && let Some(element) = data.iter().position(|byte| *byte > 1)
        {
            return Err(TensorError::Bool(element));
        }
        Ok(Self {
            name,
            datatype,
            shape,
            data,
        })
    }

    /// A BYTES tensor of shape `[elements]`.
    ///
    /// # Errors
    /// [`TensorError::Name`].
    ///
    /// # Panics
    /// If an element has 4 GiB or more.
    pub fn from_elements<E: AsRef<[u8]>>(name: &str, elements: &[E]) -> Result<Self, TensorError> {
        let size = elements.iter().map(|element| 4 + element.as_ref().len()).sum();
        let mut data = Vec::with_capacity(size);
        for element in elements {
            let element = element.as_ref();
            let length = u32::try_from(element.len()).expect("an element is far below 4 GiB");
            data.extend_from_slice(&length.to_le_bytes());
            data.extend_from_slice(element);
        }
        Self::new(name, Datatype::Bytes, vec![elements.len() as u64], data)
    }

    /// An FP32 tensor.
    ///
    /// # Errors
    /// [`TensorError`] if the values do not fill the shape.
    pub fn from_f32(name: &str, shape: Vec<u64>, values: &[f32]) -> Result<Self, TensorError> {
        let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self::new(name, Datatype::Fp32, shape, data)
    }

    /// The tensor's name in its model's signature.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The elements' type.
    #[must_use]
    pub const fn datatype(&self) -> Datatype {
        self.datatype
    }

    /// The dimensions, rows first.
    #[must_use]
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// The elements, little-endian, row-major; BYTES elements each behind their u32 length.
    #[must_use]
    pub const fn data(&self) -> &Bytes {
        &self.data
    }

    /// The first dimension; 1 for a scalar.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.shape.first().copied().unwrap_or(1)
    }

    /// The elements of a BYTES tensor, each sharing this tensor's memory; nothing for other datatypes.
    pub fn elements(&self) -> impl Iterator<Item = Bytes> + '_ {
        let framed = if self.datatype == Datatype::Bytes {
            self.data.clone()
        } else {
            Bytes::new()
        };
        framed_elements(framed)
    }

    /// An FP32 tensor's values; nothing for other datatypes.
    pub fn f32_values(&self) -> impl Iterator<Item = f32> + '_ {
        let data: &[u8] = if self.datatype == Datatype::Fp32 {
            &self.data
        } else {
            &[]
        };
        data.chunks_exact(4)
            .map(|chunk| f32::from_le_bytes(chunk.try_into().expect("chunks of four")))
    }

    /// Some of the rows as a tensor that shares this one's memory.
    ///
    /// # Panics
    /// If the range reaches past [`Self::rows`] or the tensor is a scalar.
    #[must_use]
    pub fn slice_rows(&self, rows: Range<u64>) -> Self {
        assert!(
            !self.shape.is_empty() && rows.end <= self.rows(),
            "rows {rows:?} of {:?}",
            self.shape
        );
        // without rows the other dimensions may be of any size: their product counts for nothing then
        let per_row = self.shape[1..].iter().fold(1_u64, |n, dim| n.saturating_mul(*dim));
        let data = match self.datatype.element_size() {
            Some(size) => {
                let stride = (per_row as usize).saturating_mul(size);
                self.data
                    .slice(rows.start as usize * stride..rows.end as usize * stride)
            }
            None => {
                let start = framed_offset(&self.data, rows.start * per_row);
                let end = start + framed_offset(&self.data[start..], (rows.end - rows.start) * per_row);
                self.data.slice(start..end)
            }
        };
        let mut shape = self.shape.clone();
        shape[0] = rows.end - rows.start;
        Self {
            name: self.name.clone(),
            datatype: self.datatype,
            shape,
            data,
        }
    }

    /// Tensors of one name, datatype and row shape, put together along the rows.
    ///
    /// # Panics
    /// If there is none, or they differ in more than their rows.
    #[must_use]
    pub fn concat_rows(parts: &[Self]) -> Self {
        let first = parts.first().expect("at least one part");
        if let [only] = parts {
            return only.clone();
        }
        let mut data = Vec::with_capacity(parts.iter().map(|part| part.data.len()).sum());
        let mut shape = first.shape.clone();
        shape[0] = 0;
        for part in parts {
            let fits = part.datatype == first.datatype && part.shape[1..] == first.shape[1..];
            assert!(
                fits,
                "parts of one tensor differ: {:?} and {:?}",
                first.shape, part.shape
            );
            shape[0] += part.shape[0];
            data.extend_from_slice(&part.data);
        }
        Self {
            name: first.name.clone(),
            datatype: first.datatype,
            shape,
            data: data.into(),
        }
    }
}

/// Walks BYTES framing: exactly `count` elements and not a byte more.
fn check_framing(data: &[u8], count: u64) -> Result<(), TensorError> {
    let (mut rest, mut seen) = (data, 0_u64);
    while !rest.is_empty() {
        let (prefix, tail) = rest.split_at_checked(4).ok_or(TensorError::Framing(seen))?;
        let length = u32::from_le_bytes(prefix.try_into().expect("four bytes")) as usize;
        rest = tail.get(length..).ok_or(TensorError::Framing(seen))?;
        seen += 1;
    }
    if seen == count {
        Ok(())
    } else {
        Err(TensorError::Length {
            expected: count,
            actual: seen,
            unit: "elements",
        })
    }
}

/// Where element `count` begins in checked framing.
fn framed_offset(data: &[u8], count: u64) -> usize {
    (0..count).fold(0, |offset, _| {
        let prefix = data[offset..offset + 4].try_into().expect("four bytes");
        offset + 4 + u32::from_le_bytes(prefix) as usize
    })
}

fn framed_elements(mut framed: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        if framed.is_empty() {
            return None;
        }
        let prefix = framed.split_to(4);
        let length = u32::from_le_bytes(prefix[..].try_into().expect("four bytes")) as usize;
        Some(framed.split_to(length))
    })
}
