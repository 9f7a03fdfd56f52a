//! The replies of the HTTP door as its clients read them. The requests are [`crate::infer`]'s.
//!
//! Ids and times are text in every encoding. Tensors are what [`crate::json`] makes of them: elements in JSON, raw bytes
//! in MessagePack.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::value::RawValue;

use crate::{
    datatype::Datatype,
    digest::Digest,
    event::JobEvent,
    failure::Failure,
    job_id::JobId,
    json::{self, TensorView},
    lane::Lane,
    manifest::{Batching, Limits, TensorSpec},
    name::{ModelName, VersionName},
    outcome::JobState,
    progress::RowsDone,
    refusal::RefusalCode,
    running::RunningView,
    tensor::{self, Tensor},
    time::Timestamp,
};

/// Where a job's parts are, as paths on the server that answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Links {
    /// The job.
    #[serde(rename = "self")]
    pub this: String,
    /// Its outputs, once it has succeeded.
    pub result: String,
    /// Its lineage, once it has ended.
    pub lineage: String,
    /// Its events (SSE).
    pub events: String,
    /// Cancels it (POST).
    pub cancel: String,
}

impl Links {
    /// The links of one job.
    #[must_use]
    pub fn of(id: &JobId) -> Self {
        let this = format!("/v1/jobs/{id}");
        Self {
            result: format!("{this}/result"),
            lineage: format!("{this}/lineage"),
            events: format!("{this}/events"),
            cancel: format!("{this}/cancel"),
            this,
        }
    }
}

/// A job as its owner sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobView {
    /// Its id.
    #[serde(with = "text")]
    pub id: JobId,
    /// Where it stands.
    pub status: JobState,
    /// When it was accepted.
    #[serde(with = "text")]
    pub created_at: Timestamp,
    /// When it expires if it has not ended by then.
    #[serde(with = "text")]
    pub deadline: Timestamp,
    /// While it waits: about how many envelopes are before its own, 0 if it is next or runs. An envelope holds jobs that were
    /// accepted together. Absent where nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// While it waits: about when a worker begins it, by how fast its queue is worked off. Absent where nobody knows.
    #[serde(default, with = "text::optional", skip_serializing_if = "Option::is_none")]
    pub estimated_start: Option<Timestamp>,
    /// While it runs in several engine calls: how many of its rows have run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<RowsDone>,
    /// When its outcome was stored.
    #[serde(default, with = "text::optional", skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Its outputs, if it has succeeded and they were asked for (`Prefer: wait`, `include=outputs`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Vec<Output>>,
    /// Where its parts are.
    pub links: Links,
}

/// A job that has ended, in short: in the list of them, and as the data of an event. What a job was for is unknown where it
/// was ended by its id alone: cancelled, or found past its deadline by a reader.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobSummary {
    /// Its id.
    #[serde(with = "text")]
    pub id: JobId,
    /// How it ended.
    pub status: JobState,
    /// The model it was accepted for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelName>,
    /// And the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionName>,
    /// When it was accepted.
    #[serde(with = "text")]
    pub created_at: Timestamp,
    /// When its outcome was stored, to the millisecond.
    #[serde(with = "text")]
    pub completed_at: Timestamp,
    /// Why it failed, if it did. The job tells more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_code: Option<String>,
    /// The caller's labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Its outputs, if it has succeeded and they were asked for (`include=outputs`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Vec<Output>>,
    /// Where its parts are.
    pub links: Links,
}

impl JobSummary {
    /// Of an event of that time, without outputs.
    #[must_use]
    pub fn of(event: &JobEvent, completed_at: Timestamp) -> Self {
        let (model, version) = event.model.clone().unzip();
        Self {
            id: event.id,
            status: event.state,
            model,
            version,
            created_at: event.id.accepted_at(),
            completed_at,
            failure_code: event.code.clone(),
            metadata: event.metadata.clone(),
            outputs: None,
            links: Links::of(&event.id),
        }
    }
}

/// Some of a tenant's jobs: those that run, then those that have ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobPage {
    /// Jobs that a worker has claimed and not ended, the last claimed first; those of the last two seconds may be missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub running: Vec<RunningView>,
    /// Jobs that have ended, the newest first. Fewer than asked for, even none, do not mean that there are no more.
    pub jobs: Vec<JobSummary>,
    /// Where the next page begins; absent where this was the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What of a tenant's waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Queues {
    /// The tenant's jobs that were accepted and have not ended, over all queues. Those accepted in the last moment may be missing.
    pub jobs: u64,
    /// The queues, by model and version.
    pub queues: Vec<QueueView>,
}

/// One queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QueueView {
    /// The model.
    pub model: ModelName,
    /// Its version.
    pub version: VersionName,
    /// The lane.
    pub lane: Lane,
    /// Envelopes that wait or are being run, of all tenants of the group. Absent where no worker has served the queue yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelopes: Option<u64>,
}

/// The outputs of a job that has succeeded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResultView {
    /// The job's id.
    #[serde(with = "text")]
    pub id: JobId,
    /// Its outputs, in the order of the model's signature.
    pub outputs: Vec<Output>,
}

/// One output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output(pub Tensor);

impl Serialize for Output {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        TensorView(&self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Output {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let words = OutputWords::deserialize(deserializer)?;
            words.tensor().map(Self).map_err(D::Error::custom)
        } else {
            Tensor::deserialize(deserializer).map(Self)
        }
    }
}

/// An output in JSON's words.
#[derive(Deserialize)]
struct OutputWords {
    name: String,
    datatype: Datatype,
    shape: Vec<u64>,
    #[serde(default)]
    encoding: Option<String>,
    data: Box<RawValue>,
}

impl OutputWords {
    /// The tensor. Values that JSON cannot write (NaN and infinities stand there as null) cannot be read back: who may
    /// get them asks for MessagePack.
    fn tensor(self) -> Result<Tensor, String> {
        let encoding = match self.encoding.as_deref() {
            None => json::Encoding::Text,
            Some(word) => word.parse().map_err(|error: json::UnknownEncoding| error.to_string())?,
        };
        let size = tensor::byte_count(self.datatype, &self.shape).map_err(|error| error.to_string())?;
        // what the text cannot fill is not allocated: the shortest element and its comma are two characters
        let elements = tensor::element_count(&self.shape).map_err(|error| error.to_string())?;
        if size.is_some() && elements > self.data.get().len() as u64 {
            return Err("the data does not fill the shape".to_owned());
        }
        let target = json::Target {
            datatype: self.datatype,
            shape: &self.shape,
            encoding,
            room: usize::MAX,
        };
        let data = target.read(&self.data).map_err(|refusal| refusal.to_string())?;
        let data = data.ok_or("the data has no end")?;
        Tensor::new(self.name, self.datatype, self.shape, data).map_err(|error| error.to_string())
    }
}

/// An error as RFC 9457 writes it (`application/problem+json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `urn:gristmill:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code's sentence.
    pub title: String,
    /// The HTTP status, once more.
    pub status: u16,
    /// One sentence about this very request.
    pub detail: String,
    /// The stable code: what a client branches on. A newer server may have codes that this build does not know.
    pub code: String,
    /// Which field, as a path: `inputs[0].shape`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The limit that was broken, with its unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// When to come back, in whole seconds, as the `Retry-After` header says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
    /// The job it is about, where there may be one (`publish_unknown`).
    #[serde(default, with = "text::optional", skip_serializing_if = "Option::is_none")]
    pub id: Option<JobId>,
}

impl Problem {
    /// The code, if this build knows it.
    #[must_use]
    pub fn known_code(&self) -> Option<RefusalCode> {
        RefusalCode::ALL
            .iter()
            .copied()
            .find(|code| code.row().word == self.code)
    }
}

/// Every model, in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelList {
    /// By name.
    pub models: Vec<ModelSummary>,
}

/// A model in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelSummary {
    /// Its name.
    pub name: ModelName,
    /// One sentence for people.
    pub description: String,
    /// Its versions.
    pub versions: Vec<VersionName>,
    /// Names that stand for versions; `default` is taken where a request names none.
    pub aliases: BTreeMap<VersionName, VersionName>,
    /// Where its signature, limits and examples are.
    pub link: String,
}

/// A model with all that a caller must know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelView {
    /// Its name.
    pub name: ModelName,
    /// Names that stand for versions; `default` is taken where a request names none.
    pub aliases: BTreeMap<VersionName, VersionName>,
    /// Its versions.
    pub versions: Vec<VersionView>,
}

/// One version of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VersionView {
    /// The version.
    pub version: VersionName,
    /// One sentence for people.
    pub description: String,
    /// The model's licence, as SPDX writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// The digest of the ONNX graph.
    pub artifact: Digest,
    /// What a job must bring.
    pub inputs: Vec<TensorSpec>,
    /// What its result holds.
    pub outputs: Vec<TensorSpec>,
    /// What one job may ask for.
    pub limits: Limits,
    /// How jobs share engine calls.
    pub batching: Batching,
    /// A request that works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<Example>,
}

/// A request that works.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Example {
    /// The body of `POST /v1/jobs`.
    pub request: serde_json::Value,
    /// The same as a command line.
    pub curl: String,
}

/// What became of one line of a submission in bulk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BulkReply {
    /// Which line, from 0.
    pub index: u64,
    /// The job that is kept for it.
    #[serde(default, with = "text::optional", skip_serializing_if = "Option::is_none")]
    pub id: Option<JobId>,
    /// Whether an earlier line with the same idempotency key had made the job.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
    /// Why there is none; with `publish_unknown` there may be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Box<Problem>>,
}

/// Ids and times as text, also where the encoding is a binary one.
pub(crate) mod text {
    use super::{Deserialize, Deserializer, JobId, Serializer, Timestamp};
    use serde::de::Error as _;

    /// What is written as text and read back.
    pub(crate) trait Text: std::fmt::Display + Sized {
        fn parse(text: &str) -> Option<Self>;
    }

    impl Text for JobId {
        fn parse(text: &str) -> Option<Self> {
            text.parse().ok()
        }
    }

    impl Text for Timestamp {
        fn parse(text: &str) -> Option<Self> {
            humantime::parse_rfc3339(text).ok().map(Self::from)
        }
    }

    pub(crate) fn serialize<T: Text, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, T: Text, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        let text = String::deserialize(deserializer)?;
        T::parse(&text).ok_or_else(|| D::Error::custom("expected an id or a time of RFC 3339"))
    }

    /// The same for values that may be absent.
    pub(super) mod optional {
        use super::{Deserialize, Deserializer, Serializer, Text};

        pub(in super::super) fn serialize<T: Text, S: Serializer>(
            value: &Option<T>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match value {
                Some(value) => serializer.collect_str(value),
                None => serializer.serialize_none(),
            }
        }

        pub(in super::super) fn deserialize<'de, T: Text, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<T>, D::Error> {
            Ok(Option::<String>::deserialize(deserializer)?.and_then(|text| T::parse(&text)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> JobView {
        let id: JobId = "0".repeat(56).parse().unwrap_or_else(|_| panic!("56 zeros are an id"));
        JobView {
            id,
            status: JobState::Succeeded,
            created_at: Timestamp::from_micros(1_700_000_000_000_001),
            deadline: Timestamp::from_millis(1_700_000_030_000),
            position: Some(3),
            estimated_start: Some(Timestamp::from_millis(1_700_000_000_500)),
            progress: RowsDone::from_field("1 2 3"),
            completed_at: Some(Timestamp::from_millis(1_700_000_001_000)),
            failure: None,
            outputs: Some(vec![
                Output(Tensor::from_f32("y", vec![2, 2], &[1.5, -2.0, 0.1, 3e-30]).unwrap()),
                Output(Tensor::from_elements("label", &["rust".as_bytes(), &[0xff, 0]]).unwrap()),
            ]),
            links: Links::of(&id),
        }
    }

    #[test]
    fn view_is_read_back_from_json_and_from_message_pack() {
        let json = serde_json::to_vec(&view()).unwrap();
        assert_eq!(serde_json::from_slice::<JobView>(&json).unwrap(), view());
        let msgpack = crate::codec::encode(&view());
        assert_eq!(crate::codec::decode_part::<JobView>(&msgpack).unwrap(), view());
    }

    #[test]
    fn ids_and_times_are_text_in_message_pack_too() {
        let value: serde_json::Value = crate::codec::decode_part(&crate::codec::encode(&JobView {
            outputs: None,
            ..view()
        }))
        .unwrap();
        assert_eq!(value["created_at"], "2023-11-14T22:13:20.000001Z");
        assert_eq!(value["id"].as_str().unwrap().len(), 56);
    }

    #[test]
    fn output_whose_shape_promises_more_than_its_data_is_not_allocated() {
        let text = r#"{"name":"y","datatype":"FP32","shape":[1000000000000],"data":[1]}"#;
        assert!(serde_json::from_str::<Output>(text).is_err());
    }
}
