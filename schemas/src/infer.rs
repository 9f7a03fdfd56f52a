//! A client's request in its own words, from JSON or MessagePack, by one set of rules.

use std::{borrow::Cow, collections::BTreeMap};

use bytes::Bytes;
use serde::{Serialize, Serializer, ser::SerializeSeq};

use crate::{
    datatype::Datatype,
    fields::{Fields, text, wrong_type},
    json,
    lane::Lane,
    name::{ModelName, VersionName},
    node::{self, Node, shortened},
    provenance::Provenance,
    refusal::{Refusal, RefusalCode},
    span::Span,
    tensor::{self, Tensor, TensorError},
    webhook::WebhookUrl,
};

/// The most inputs of a request.
pub const MAX_INPUTS: usize = 64;
/// The most metadata pairs.
pub const MAX_METADATA: usize = 16;
/// The longest metadata key and value, in characters.
pub const MAX_METADATA_TEXT: usize = 256;

/// What a tensor takes besides its data, and a request besides its tensors, mostly.
const TENSOR_BYTES: usize = 128;

/// A request to run a model.
#[derive(Debug, Clone, PartialEq)]
pub struct InferRequest {
    /// The model's name.
    pub model: ModelName,
    /// A version or an alias; the model's default alias if absent.
    pub version: Option<VersionName>,
    /// The inputs, in any order.
    pub inputs: Vec<Tensor>,
    /// Where to wait.
    pub lane: Lane,
    /// How long the job may wait for its outcome.
    pub deadline: Option<Span>,
    /// Where the input came from.
    pub provenance: Provenance,
    /// The caller's own labels.
    pub metadata: BTreeMap<String, String>,
    /// Where the end of the job is to be told.
    pub webhook: Option<WebhookUrl>,
}

impl InferRequest {
    /// A request for a model with nothing but inputs.
    #[must_use]
    pub fn new(model: ModelName, inputs: Vec<Tensor>) -> Self {
        Self {
            model,
            version: None,
            inputs,
            lane: Lane::default(),
            deadline: None,
            provenance: Provenance::default(),
            metadata: BTreeMap::new(),
            webhook: None,
        }
    }

    /// Reads a JSON body: `{model, version?, inputs: [{name, shape, datatype, data, encoding?}], lane?, deadline?,
    /// provenance?, metadata?, webhook?}`. `data` is flat or nested; `encoding: "base64"` makes BYTES elements base64.
    /// `max_input_bytes` bounds what the inputs may come to as tensors; it is checked before they are allocated.
    ///
    /// # Errors
    /// A [`Refusal`] that names the field and the limit.
    pub fn from_json(body: &[u8], max_input_bytes: usize) -> Result<Self, Refusal> {
        Self::from_fields(Fields::of(node::from_json(body)?, "")?, max_input_bytes)
    }

    /// Reads a MessagePack body: the same fields, `data` a byte string of raw little-endian elements (BYTES: each
    /// behind its length as u32).
    ///
    /// # Errors
    /// A [`Refusal`] that names the field and the limit.
    pub fn from_msgpack(body: &[u8], max_input_bytes: usize) -> Result<Self, Refusal> {
        Self::from_fields(Fields::of(node::from_msgpack(body)?, "")?, max_input_bytes)
    }

    pub(crate) fn from_fields(mut fields: Fields<'_>, max_input_bytes: usize) -> Result<Self, Refusal> {
        let request = Self {
            model: fields
                .parsed("model", RefusalCode::InvalidName)?
                .ok_or_else(|| fields.missing("model"))?,
            version: fields.parsed("version", RefusalCode::InvalidName)?,
            inputs: inputs(
                fields.take("inputs").ok_or_else(|| fields.missing("inputs"))?,
                max_input_bytes,
            )?,
            lane: fields.parsed("lane", RefusalCode::InvalidValue)?.unwrap_or_default(),
            deadline: fields.parsed("deadline", RefusalCode::DeadlineOutOfRange)?,
            provenance: fields
                .take("provenance")
                .map(provenance)
                .transpose()?
                .unwrap_or_default(),
            metadata: fields.take("metadata").map(metadata).transpose()?.unwrap_or_default(),
            webhook: fields.parsed("webhook", RefusalCode::InvalidValue)?,
        };
        fields.end()?;
        Ok(request)
    }

    /// The request as a MessagePack body.
    #[must_use]
    pub fn to_msgpack(&self) -> Vec<u8> {
        let bytes: usize = self.inputs.iter().map(|input| input.data().len() + TENSOR_BYTES).sum();
        crate::codec::encode_sized(self, bytes + TENSOR_BYTES)
    }

    /// The request as a JSON body.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a request holds no maps with keys other than text")
    }
}

impl Serialize for InferRequest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Body<'a> {
            model: &'a ModelName,
            #[serde(skip_serializing_if = "Option::is_none")]
            version: &'a Option<VersionName>,
            inputs: Inputs<'a>,
            lane: Lane,
            #[serde(skip_serializing_if = "Option::is_none")]
            deadline: Option<String>,
            provenance: json::Readable<'a, Provenance>,
            metadata: &'a BTreeMap<String, String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            webhook: &'a Option<WebhookUrl>,
        }
        let body = Body {
            model: &self.model,
            version: &self.version,
            inputs: Inputs(&self.inputs),
            lane: self.lane,
            deadline: self.deadline.map(|span| span.to_string()),
            provenance: json::Readable(&self.provenance),
            metadata: &self.metadata,
            webhook: &self.webhook,
        };
        body.serialize(serializer)
    }
}

struct Inputs<'a>(&'a [Tensor]);

impl Serialize for Inputs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.0.len()))?;
        self.0
            .iter()
            .try_for_each(|tensor| seq.serialize_element(&json::TensorView(tensor)))?;
        seq.end()
    }
}

fn inputs(node: Node<'_>, max_input_bytes: usize) -> Result<Vec<Tensor>, Refusal> {
    let Node::List(nodes) = node else {
        return Err(wrong_type("inputs", "a list"));
    };
    if nodes.is_empty() {
        return Err(Refusal::new(RefusalCode::NoInputs, "at least one input is needed").at("inputs"));
    }
    if nodes.len() > MAX_INPUTS {
        let detail = format!("{} inputs are more than a request may have", nodes.len());
        let refusal = Refusal::new(RefusalCode::TooManyInputs, detail).at("inputs");
        return Err(refusal.limit(format_args!("{MAX_INPUTS} inputs")));
    }
    let mut room = max_input_bytes;
    let mut tensors = Vec::with_capacity(nodes.len());
    for (index, node) in nodes.into_iter().enumerate() {
        let too_large = || {
            let detail = "the inputs come to more bytes than a job may have";
            let refusal = Refusal::new(RefusalCode::InputTooLarge, detail).at(format!("inputs[{index}]"));
            refusal.limit(format_args!("{max_input_bytes} bytes"))
        };
        let tensor = input(node, index, room)?.ok_or_else(too_large)?;
        room -= tensor.data().len();
        tensors.push(tensor);
    }
    Ok(tensors)
}

/// One input; `None` if it does not fit in the room left.
fn input(node: Node<'_>, index: usize, room: usize) -> Result<Option<Tensor>, Refusal> {
    let path = format!("inputs[{index}]");
    let mut fields = Fields::of(node, &path)?;
    let name = fields.text("name")?.ok_or_else(|| fields.missing("name"))?;
    tensor::check_name(&name)
        .map_err(|error| Refusal::new(RefusalCode::InvalidName, error.to_string()).at(format!("{path}.name")))?;
    let datatype: Datatype = fields
        .parsed("datatype", RefusalCode::DatatypeUnknown)?
        .ok_or_else(|| fields.missing("datatype"))?;
    let shape = shape(fields.take("shape").ok_or_else(|| fields.missing("shape"))?, &path)?;
    let refuse = |error: TensorError| refuse_tensor(&error, &path);
    let size = tensor::byte_count(datatype, &shape)
        .map_err(refuse)?
        .unwrap_or_default();
    let encoding = fields
        .parsed("encoding", RefusalCode::InvalidValue)?
        .unwrap_or_default();
    let data = fields.take("data").ok_or_else(|| fields.missing("data"))?;
    fields.end()?;
    if size > room as u64 {
        return Ok(None);
    }
    let data = match data {
        Node::Raw(raw) => {
            let target = json::Target {
                datatype,
                shape: &shape,
                encoding,
                room,
            };
            match target.read(raw).map_err(|refusal| at_data(refusal, &path))? {
                Some(data) => Bytes::from(data),
                None => return Ok(None),
            }
        }
        Node::Bytes(bytes) if bytes.len() <= room => Bytes::copy_from_slice(bytes),
        Node::Bytes(_) => return Ok(None),
        _ => return Err(wrong_type(&format!("{path}.data"), "a byte string")),
    };
    Tensor::new(name, datatype, shape, data).map(Some).map_err(refuse)
}

fn at_data(refusal: Refusal, path: &str) -> Refusal {
    let place = format!("{path}.data{}", refusal.field.as_deref().unwrap_or_default());
    refusal.at(place)
}

fn shape(node: Node<'_>, path: &str) -> Result<Vec<u64>, Refusal> {
    let path = format!("{path}.shape");
    let Node::List(dims) = node else {
        return Err(wrong_type(&path, "a list of whole numbers"));
    };
    if dims.len() > tensor::MAX_RANK {
        return Err(refuse_rank(dims.len(), &path));
    }
    let dim = |(index, node)| match node {
        Node::Unsigned(dim) => Ok(dim),
        _ => {
            let detail = "a dimension is a whole number from 0";
            Err(Refusal::new(RefusalCode::ShapeInvalid, detail).at(format!("{path}[{index}]")))
        }
    };
    dims.into_iter().enumerate().map(dim).collect()
}

fn refuse_rank(rank: usize, path: &str) -> Refusal {
    let detail = format!("rank {rank} is more than a tensor may have");
    Refusal::new(RefusalCode::ShapeInvalid, detail)
        .at(path)
        .limit(format_args!("{} dimensions", tensor::MAX_RANK))
}

fn refuse_tensor(error: &TensorError, path: &str) -> Refusal {
    let (code, field) = match error {
        TensorError::Name => (RefusalCode::InvalidName, "name"),
        TensorError::Rank(_) | TensorError::Overflow => (RefusalCode::ShapeInvalid, "shape"),
        TensorError::Length { .. } | TensorError::Framing(_) => (RefusalCode::DataLengthMismatch, "data"),
        TensorError::Bool(_) => (RefusalCode::ValueOutOfRange, "data"),
    };
    Refusal::new(code, error.to_string()).at(format!("{path}.{field}"))
}

fn provenance(node: Node<'_>) -> Result<Provenance, Refusal> {
    let mut fields = Fields::of(node, "provenance")?;
    let mut text = |name: &str| -> Result<Option<String>, Refusal> {
        let Some(text) = fields.text(name)? else {
            return Ok(None);
        };
        check_text(&text, Provenance::MAX_TEXT, &format!("provenance.{name}"))?;
        Ok(Some(text.into_owned()))
    };
    let (dataset, feature_version) = (text("dataset")?, text("feature_version")?);
    let parent_jobs = fields.take("parent_jobs").map(parents).transpose()?.unwrap_or_default();
    fields.end()?;
    Ok(Provenance {
        dataset,
        feature_version,
        parent_jobs,
    })
}

fn parents(node: Node<'_>) -> Result<Vec<crate::job_id::JobId>, Refusal> {
    let path = "provenance.parent_jobs";
    let Node::List(nodes) = node else {
        return Err(wrong_type(path, "a list of job ids"));
    };
    if nodes.len() > Provenance::MAX_PARENTS {
        let refusal = Refusal::new(RefusalCode::MetadataTooLarge, "too many parent jobs").at(path);
        return Err(refusal.limit(format_args!("{} jobs", Provenance::MAX_PARENTS)));
    }
    let parse = |(index, node)| match node {
        Node::Text(text) => text.parse().map_err(|error: crate::job_id::NotAJobId| {
            Refusal::new(RefusalCode::InvalidValue, error.to_string()).at(format!("{path}[{index}]"))
        }),
        _ => Err(wrong_type(&format!("{path}[{index}]"), "a job id")),
    };
    nodes.into_iter().enumerate().map(parse).collect()
}

fn metadata(node: Node<'_>) -> Result<BTreeMap<String, String>, Refusal> {
    let Node::Map(entries) = node else {
        return Err(wrong_type("metadata", "an object of strings"));
    };
    if entries.len() > MAX_METADATA {
        let refusal = Refusal::new(RefusalCode::MetadataTooLarge, "too many metadata pairs").at("metadata");
        return Err(refusal.limit(format_args!("{MAX_METADATA} pairs")));
    }
    let pair = |(key, node): (Cow<'_, str>, Node<'_>)| {
        let path = format!("metadata.{}", shortened(&key));
        check_text(&key, MAX_METADATA_TEXT, &path)?;
        let value = text(node, &path)?;
        check_text(&value, MAX_METADATA_TEXT, &path)?;
        Ok((key.into_owned(), value.into_owned()))
    };
    entries.into_iter().map(pair).collect()
}

fn check_text(text: &str, max: usize, path: &str) -> Result<(), Refusal> {
    if text.chars().count() <= max {
        return Ok(());
    }
    let refusal = Refusal::new(RefusalCode::MetadataTooLarge, "the text is too long").at(path);
    Err(refusal.limit(format_args!("{max} characters")))
}
