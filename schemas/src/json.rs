//! Tensor data as JSON: read straight into its bytes once datatype and shape are known, and written element by element.

mod whole_numbers;

use std::{fmt, str::FromStr};

use data_encoding::BASE64;
use half::{bf16, f16};
use serde::{
    Serialize, Serializer,
    de::{DeserializeSeed, Deserializer, SeqAccess, Visitor},
    ser::{SerializeMap, SerializeSeq},
};
use serde_json::value::RawValue;
use std::cell::RefCell;

use crate::{
    datatype::Datatype,
    node,
    refusal::{Refusal, RefusalCode},
    tensor::Tensor,
};

/// How BYTES elements stand in JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Encoding {
    /// As text: only UTF-8 can.
    #[default]
    Text,
    /// As base64 (RFC 4648 section 4, padded).
    Base64,
}

impl Encoding {
    /// The bytes an element's text stands for; for text that is no base64, about as many.
    fn decoded_length(self, text: &str) -> usize {
        match self {
            Self::Text => text.len(),
            Self::Base64 => {
                let padding = text.bytes().rev().take(2).filter(|byte| *byte == b'=').count();
                (text.len() / 4 * 3).saturating_sub(padding)
            }
        }
    }
}

/// Text that names no encoding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected \"text\" or \"base64\"")]
pub struct UnknownEncoding;

impl FromStr for Encoding {
    type Err = UnknownEncoding;

    fn from_str(text: &str) -> Result<Self, UnknownEncoding> {
        match text {
            "text" => Ok(Self::Text),
            "base64" => Ok(Self::Base64),
            _ => Err(UnknownEncoding),
        }
    }
}

/// What JSON data is to become.
pub(crate) struct Target<'a> {
    pub(crate) datatype: Datatype,
    pub(crate) shape: &'a [u64],
    pub(crate) encoding: Encoding,
    /// Bytes there may be; for fixed-size elements the caller has checked it already.
    pub(crate) room: usize,
}

impl Target<'_> {
    /// The data's bytes; `None` if they do not fit in the room. A refusal's field is the place within the data.
    pub(crate) fn read(&self, raw: &RawValue) -> Result<Option<Vec<u8>>, Refusal> {
        let count: u64 = self.shape.iter().product();
        let size = self.datatype.element_size().map_or(0, |size| size * count as usize);
        let sink = Sink {
            target: self,
            count,
            bytes: Vec::with_capacity(size),
            elements: 0,
            full: false,
            refusal: None,
        };
        if !raw.get().starts_with('[') {
            return Err(Refusal::new(RefusalCode::WrongType, "data is a list of elements"));
        }
        if let Some(bytes) = whole_numbers::read(raw.get(), self.datatype, count as usize) {
            return Ok(Some(bytes));
        }
        let sink = RefCell::new(sink);
        let mut decoder = serde_json::Deserializer::from_str(raw.get());
        let read = Level { sink: &sink, level: 0 }.deserialize(&mut decoder);
        let sink = sink.into_inner();
        match (read, sink.refusal, sink.full) {
            (Ok(_), _, _) => Ok(Some(sink.bytes)),
            (Err(_), _, true) => Ok(None),
            (Err(_), Some(refusal), _) => Err(refusal),
            (Err(error), None, _) => Err(self.explain(&error.to_string()).at(format!("[{}]", sink.elements))),
        }
    }

    /// The refusal of an element that the JSON decoder itself could not read.
    fn explain(&self, words: &str) -> Refusal {
        if words.contains("out of range") {
            return Refusal::new(
                RefusalCode::ValueOutOfRange,
                format!("a number is no {}", self.datatype),
            );
        }
        if node::is_lone_surrogate(words) {
            return Refusal::new(RefusalCode::InvalidUtf8, "the text has half of a surrogate pair");
        }
        Refusal::new(RefusalCode::WrongType, words)
    }
}

/// 2^63. The decoder hands over a whole number beyond its own integers as a floating-point one of at least this size.
const WHOLE: f64 = 9_223_372_036_854_775_808.0;

/// Where elements go.
struct Sink<'t> {
    target: &'t Target<'t>,
    count: u64,
    bytes: Vec<u8>,
    elements: u64,
    full: bool,
    refusal: Option<Refusal>,
}

impl Sink<'_> {
    fn refuse<E: serde::de::Error>(&mut self, refusal: Refusal) -> E {
        let error = E::custom(&refusal.detail);
        self.refusal = Some(refusal);
        error
    }

    fn refuse_element<E: serde::de::Error>(&mut self, code: RefusalCode, detail: String) -> E {
        let place = format!("[{}]", self.elements);
        self.refuse(Refusal::new(code, detail).at(place))
    }

    /// Counts one element in before its bytes are appended.
    fn begin<E: serde::de::Error>(&mut self) -> Result<(), E> {
        if self.elements == self.count {
            let detail = format!("the shape needs {} elements, the data has more", self.count);
            return Err(self.refuse(Refusal::new(RefusalCode::DataLengthMismatch, detail)));
        }
        Ok(())
    }

    fn put<E: serde::de::Error>(&mut self, bytes: &[u8]) -> Result<Scalar, E> {
        self.begin()?;
        self.bytes.extend_from_slice(bytes);
        self.elements += 1;
        Ok(Scalar::Element)
    }

    fn out_of_range<E: serde::de::Error>(&mut self, value: impl fmt::Display) -> E {
        let datatype = self.target.datatype;
        self.refuse_element(RefusalCode::ValueOutOfRange, format!("{value} is no {datatype}"))
    }

    fn integer<E: serde::de::Error>(&mut self, value: i128) -> Result<Scalar, E> {
        macro_rules! put {
            ($type:ty) => {
                match <$type>::try_from(value) {
                    Ok(value) => self.put(&value.to_le_bytes()),
                    Err(_) => Err(self.out_of_range(value)),
                }
            };
        }
        match self.target.datatype {
            Datatype::Uint8 => put!(u8),
            Datatype::Uint16 => put!(u16),
            Datatype::Uint32 => put!(u32),
            Datatype::Uint64 => put!(u64),
            Datatype::Int8 => put!(i8),
            Datatype::Int16 => put!(i16),
            Datatype::Int32 => put!(i32),
            Datatype::Int64 => put!(i64),
            Datatype::Fp16 | Datatype::Bf16 | Datatype::Fp32 | Datatype::Fp64 => self.float(value as f64),
            Datatype::Bool => Err(self.wrong("true or false")),
            Datatype::Bytes => Err(self.wrong("a string")),
        }
    }

    /// A number for a floating-point tensor. One too large for the datatype is refused, not made infinite.
    fn float<E: serde::de::Error>(&mut self, value: f64) -> Result<Scalar, E> {
        match self.target.datatype {
            Datatype::Fp64 => self.put(&value.to_le_bytes()),
            Datatype::Fp32 if (value as f32).is_finite() => self.put(&(value as f32).to_le_bytes()),
            Datatype::Fp16 if f16::from_f64(value).is_finite() => self.put(&f16::from_f64(value).to_le_bytes()),
            Datatype::Bf16 if bf16::from_f64(value).is_finite() => self.put(&bf16::from_f64(value).to_le_bytes()),
            Datatype::Fp32 | Datatype::Fp16 | Datatype::Bf16 => Err(self.out_of_range(value)),
            Datatype::Bool => Err(self.wrong("true or false")),
            Datatype::Bytes => Err(self.wrong("a string")),
            Datatype::Uint8
            | Datatype::Uint16
            | Datatype::Uint32
            | Datatype::Uint64
            | Datatype::Int8
            | Datatype::Int16
            | Datatype::Int32
            | Datatype::Int64
                if value.abs() >= WHOLE =>
            {
                Err(self.out_of_range(value))
            }
            Datatype::Uint8
            | Datatype::Uint16
            | Datatype::Uint32
            | Datatype::Uint64
            | Datatype::Int8
            | Datatype::Int16
            | Datatype::Int32
            | Datatype::Int64 => Err(self.wrong("a whole number")),
        }
    }

    fn text<E: serde::de::Error>(&mut self, value: &str) -> Result<Scalar, E> {
        if self.target.datatype != Datatype::Bytes {
            return Err(self.wrong("a number"));
        }
        self.begin()?;
        if self.bytes.len() + 4 + self.target.encoding.decoded_length(value) > self.target.room {
            self.full = true;
            return Err(E::custom("no room"));
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        match self.target.encoding {
            Encoding::Text => self.bytes.extend_from_slice(value.as_bytes()),
            Encoding::Base64 => match BASE64.decode(value.as_bytes()) {
                Ok(bytes) => self.bytes.extend_from_slice(&bytes),
                Err(_) => return Err(self.refuse_element(RefusalCode::InvalidValue, "expected base64".to_owned())),
            },
        }
        let length = u32::try_from(self.bytes.len() - start - 4).expect("bounded by the room");
        self.bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
        self.elements += 1;
        Ok(Scalar::Element)
    }

    fn wrong<E: serde::de::Error>(&mut self, expected: &str) -> E {
        let datatype = self.target.datatype;
        self.refuse_element(
            RefusalCode::WrongType,
            format!("an element of {datatype} data is {expected}"),
        )
    }

    /// Holds a finished list of `length` entries at `level` (1 = outermost) against the shape.
    fn close<E: serde::de::Error>(&mut self, level: usize, length: u64, inner: Option<Scalar>) -> Result<(), E> {
        let shape = self.target.shape;
        let dim = shape.get(level - 1).copied();
        let fits = match inner {
            None | Some(Scalar::Element) if level == 1 => {
                length == self.count || (shape.len() == 1 && dim == Some(length))
            }
            Some(Scalar::Element) => level == shape.len() && dim == Some(length),
            Some(Scalar::List) => level < shape.len() && dim == Some(length),
            None => dim == Some(length),
        };
        if fits {
            return Ok(());
        }
        let detail = if level == 1 && inner != Some(Scalar::List) {
            format!("the shape needs {} elements, the data has {length}", self.count)
        } else {
            format!("a list of {length} at nesting level {level} does not fit the shape {shape:?}")
        };
        Err(self.refuse(Refusal::new(RefusalCode::DataLengthMismatch, detail)))
    }
}

/// What an entry of a list was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scalar {
    Element,
    List,
}

#[derive(Clone, Copy)]
struct Level<'s, 't> {
    sink: &'s RefCell<Sink<'t>>,
    /// Lists around this value.
    level: usize,
}

impl<'de> DeserializeSeed<'de> for Level<'_, '_> {
    type Value = Scalar;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Scalar, D::Error> {
        if self.level == 0 {
            deserializer.deserialize_seq(self)
        } else {
            deserializer.deserialize_any(self)
        }
    }
}

impl<'de> Visitor<'de> for Level<'_, '_> {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of elements, flat or nested as the shape")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Scalar, E> {
        let mut sink = self.sink.borrow_mut();
        match sink.target.datatype {
            Datatype::Bool => sink.put(&[u8::from(value)]),
            Datatype::Bytes => Err(sink.wrong("a string")),
            _ => Err(sink.wrong("a number")),
        }
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Scalar, E> {
        self.sink.borrow_mut().integer(value.into())
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Scalar, E> {
        self.sink.borrow_mut().integer(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Scalar, E> {
        self.sink.borrow_mut().float(value)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Scalar, E> {
        self.sink.borrow_mut().text(value)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Scalar, E> {
        Err(self.sink.borrow_mut().wrong("not null"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar, A::Error> {
        let level = self.level + 1;
        if level > self.sink.borrow().target.shape.len().max(1) {
            let detail = "the data nests deeper than the shape has dimensions";
            let refusal = Refusal::new(RefusalCode::DataLengthMismatch, detail);
            return Err(self.sink.borrow_mut().refuse(refusal));
        }
        let (mut length, mut inner) = (0, None);
        while let Some(entry) = seq.next_element_seed(Level { level, ..self })? {
            if inner.is_some_and(|inner| inner != entry) {
                let detail = format!("nesting level {level} mixes elements and lists");
                let refusal = Refusal::new(RefusalCode::DataLengthMismatch, detail);
                return Err(self.sink.borrow_mut().refuse(refusal));
            }
            (length, inner) = (length + 1, Some(entry));
        }
        self.sink.borrow_mut().close(level, length, inner)?;
        Ok(Scalar::List)
    }
}

/// A tensor as a client sees it: in JSON `data` is a flat list of elements (NaN and infinities become null, BYTES that
/// are not all UTF-8 become base64 with `encoding` saying so); in MessagePack it is the raw bytes.
#[derive(Debug, Clone, Copy)]
pub struct TensorView<'a>(pub &'a Tensor);

impl Serialize for TensorView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let tensor = self.0;
        if !serializer.is_human_readable() {
            return tensor.serialize(serializer);
        }
        let text = tensor.elements().all(|element| std::str::from_utf8(&element).is_ok());
        let encoding = if text { Encoding::Text } else { Encoding::Base64 };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", tensor.name())?;
        map.serialize_entry("datatype", &tensor.datatype())?;
        map.serialize_entry("shape", tensor.shape())?;
        if encoding == Encoding::Base64 {
            map.serialize_entry("encoding", "base64")?;
        }
        map.serialize_entry("data", &Data { tensor, encoding })?;
        map.end()
    }
}

struct Data<'a> {
    tensor: &'a Tensor,
    encoding: Encoding,
}

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(None)?;
        let data = self.tensor.data();
        macro_rules! numbers {
            ($type:ty, $map:expr) => {
                for chunk in data.chunks_exact(size_of::<$type>()) {
                    let value = <$type>::from_le_bytes(chunk.try_into().expect("chunks of that size"));
                    seq.serialize_element(&$map(value))?;
                }
            };
        }
        match self.tensor.datatype() {
            Datatype::Bool => data.iter().try_for_each(|byte| seq.serialize_element(&(*byte != 0)))?,
            Datatype::Uint8 => numbers!(u8, u8::from),
            Datatype::Uint16 => numbers!(u16, u16::from),
            Datatype::Uint32 => numbers!(u32, u32::from),
            Datatype::Uint64 => numbers!(u64, u64::from),
            Datatype::Int8 => numbers!(i8, i8::from),
            Datatype::Int16 => numbers!(i16, i16::from),
            Datatype::Int32 => numbers!(i32, i32::from),
            Datatype::Int64 => numbers!(i64, i64::from),
            Datatype::Fp16 => numbers!(f16, f16::to_f32),
            Datatype::Bf16 => numbers!(bf16, bf16::to_f32),
            Datatype::Fp32 => numbers!(f32, f32::from),
            Datatype::Fp64 => numbers!(f64, f64::from),
            Datatype::Bytes => {
                for element in self.tensor.elements() {
                    match self.encoding {
                        Encoding::Text => seq.serialize_element(&String::from_utf8_lossy(&element))?,
                        Encoding::Base64 => seq.serialize_element(&BASE64.encode(&element))?,
                    }
                }
            }
        }
        seq.end()
    }
}

/// A value whose readable form is wanted in every encoding: clients write ids and times as text in MessagePack too.
pub struct Readable<'a, T>(pub &'a T);

impl<T: Serialize> Serialize for Readable<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = serde_json::to_value(self.0).map_err(serde::ser::Error::custom)?;
        value.serialize(serializer)
    }
}
