//! The end of a job as a tenant's event streams in Redis tell it. Entries have these fields, all text, always all of them and
//! in this order; one that has nothing to say is empty:
//!
//! | field | what |
//! |---|---|
//! | `id` | the job |
//! | `state` | `succeeded`, `failed`, `expired` or `cancelled` |
//! | `model`, `version` | what it was accepted for; empty where it was ended by its id alone |
//! | `code` | of a failure: its code |
//! | `metadata` | the caller's labels as a JSON object; empty if there are none, or where it was ended by its id alone |

use std::collections::BTreeMap;

use crate::{
    job_id::JobId,
    lineage::Lineage,
    name::{ModelName, VersionName},
    outcome::JobState,
};

/// The fields, in their order.
pub const FIELDS: [&str; 6] = ["id", "state", "model", "version", "code", "metadata"];

/// That a job has ended, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobEvent {
    /// The job.
    pub id: JobId,
    /// Its terminal state.
    pub state: JobState,
    /// The model and version it was accepted for; unknown where it was ended by its id alone.
    pub model: Option<(ModelName, VersionName)>,
    /// Of a failure: its code. A newer worker may have codes that this build does not know.
    pub code: Option<String>,
    /// The caller's labels; empty too where it was ended by its id alone.
    pub metadata: BTreeMap<String, String>,
}

impl JobEvent {
    /// Of a job whose lineage is this.
    #[must_use]
    pub fn of(lineage: &Lineage) -> Self {
        Self {
            id: lineage.job_id,
            state: lineage.state,
            model: lineage
                .model
                .as_ref()
                .map(|model| (model.name.clone(), model.version.clone())),
            code: lineage.failure.as_ref().map(|failure| failure.code.to_string()),
            metadata: lineage.metadata.clone(),
        }
    }

    /// What stands in [`FIELDS`].
    #[must_use]
    pub fn values(&self) -> [String; FIELDS.len()] {
        let (model, version) = self
            .model
            .as_ref()
            .map_or(("", ""), |(model, version)| (model.as_str(), version.as_str()));
        let metadata = match self.metadata.is_empty() {
            true => String::new(),
            false => serde_json::to_string(&self.metadata).expect("a map of text"),
        };
        [
            self.id.to_string(),
            self.state.to_string(),
            model.to_owned(),
            version.to_owned(),
            self.code.clone().unwrap_or_default(),
            metadata,
        ]
    }

    /// Reads an entry by its fields; `None` if it is none of ours. Fields of a newer build are passed over.
    #[must_use]
    pub fn from_fields(fields: &[(String, String)]) -> Option<Self> {
        let value = |name: &str| {
            let value = fields
                .iter()
                .find(|(field, _)| field == name)
                .map(|(_, value)| value.as_str());
            value.filter(|value| !value.is_empty())
        };
        let model = value("model").and_then(|name| name.parse().ok());
        Some(Self {
            id: value("id")?.parse().ok()?,
            state: value("state")?.parse().ok()?,
            model: model.zip(value("version").and_then(|name| name.parse().ok())),
            code: value("code").map(str::to_owned),
            metadata: value("metadata")
                .and_then(|json| serde_json::from_str(json).ok())
                .unwrap_or_default(),
        })
    }

    /// Whether it was ended by its id alone, so that only its owner knows what it was for.
    #[must_use]
    pub const fn is_by_id_alone(&self) -> bool {
        self.model.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(event: &JobEvent) -> Vec<(String, String)> {
        FIELDS.map(str::to_owned).into_iter().zip(event.values()).collect()
    }

    #[test]
    fn event_is_read_back_with_and_without_its_labels() {
        let whole = JobEvent {
            id: "0".repeat(56).parse().unwrap(),
            state: JobState::Failed,
            model: Some(("minilm".parse().unwrap(), "1".parse().unwrap())),
            code: Some("inference_failed".to_owned()),
            metadata: BTreeMap::from([("run \u{e9}\"".to_owned(), "7\n".to_owned())]),
        };
        assert_eq!(JobEvent::from_fields(&entry(&whole)), Some(whole.clone()));
        let bare = JobEvent {
            model: None,
            code: None,
            metadata: BTreeMap::new(),
            ..whole
        };
        assert!(bare.is_by_id_alone());
        assert_eq!(JobEvent::from_fields(&entry(&bare)), Some(bare.clone()));
        assert_eq!(
            JobEvent::from_fields(&entry(&bare)[..2]),
            Some(bare.clone()),
            "entries of an older build"
        );
        assert_eq!(JobEvent::from_fields(&entry(&bare)[1..]), None);
    }
}
