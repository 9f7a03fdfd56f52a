//! Which ends of jobs somebody wants to hear of.

use std::collections::{BTreeMap, BTreeSet};

use gristmill_broker::api_keys::Grant;
use gristmill_schemas::{JobEvent, JobState, ModelName, RunningJob};

/// All of what is set must hold; what is empty asks for nothing.
///
/// A job that was ended by its id alone (cancelled, or found expired) does not say what it was for. Since it may be one that
/// is waited for, it passes; but not where the key is for some models alone.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Any of these models.
    pub models: BTreeSet<ModelName>,
    /// Any of these ends.
    pub states: Vec<JobState>,
    /// All of these labels.
    pub metadata: BTreeMap<String, String>,
    /// The key that asks.
    pub grant: Grant,
}

impl Filter {
    /// Whether an end is wanted.
    #[must_use]
    pub fn wants(&self, event: &JobEvent) -> bool {
        if !self.states.is_empty() && !self.states.contains(&event.state) {
            return false;
        }
        let Some((model, _)) = &event.model else {
            return self.grant.models.is_empty();
        };
        self.wants_job(model, &event.metadata)
    }

    /// Whether a job that runs is wanted; how it ends is not known.
    #[must_use]
    pub fn wants_running(&self, job: &RunningJob) -> bool {
        self.wants_job(&job.model, &job.metadata)
    }

    fn wants_job(&self, model: &ModelName, metadata: &BTreeMap<String, String>) -> bool {
        let labelled = |(key, value): (&String, &String)| metadata.get(key) == Some(value);
        self.grant.covers(model)
            && (self.models.is_empty() || self.models.contains(model))
            && self.metadata.iter().all(labelled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_asked_for_must_hold_and_what_is_unknown_passes_unless_the_key_is_limited() {
        let event = JobEvent {
            id: "0".repeat(56).parse().unwrap(),
            state: JobState::Succeeded,
            model: Some(("minilm".parse().unwrap(), "1".parse().unwrap())),
            code: None,
            metadata: [("run".to_owned(), "7".to_owned())].into(),
        };
        let unknown = JobEvent {
            model: None,
            metadata: BTreeMap::new(),
            state: JobState::Cancelled,
            ..event.clone()
        };
        let all = Filter::default();
        assert!(all.wants(&event) && all.wants(&unknown));
        let label = |value: &str| Filter {
            metadata: [("run".to_owned(), value.to_owned())].into(),
            ..all.clone()
        };
        assert!(label("7").wants(&event) && !label("8").wants(&event) && label("8").wants(&unknown));
        let model = |name: &str| Filter {
            models: [name.parse().unwrap()].into(),
            ..all.clone()
        };
        assert!(model("minilm").wants(&event) && !model("light").wants(&event) && model("light").wants(&unknown));
        let failed = Filter {
            states: vec![JobState::Failed],
            ..all.clone()
        };
        assert!(!failed.wants(&event) && !failed.wants(&unknown));
        let limited = |name: &str| {
            let grant = Grant {
                models: [name.parse().unwrap()].into(),
                ..Grant::default()
            };
            Filter { grant, ..all.clone() }
        };
        assert!(limited("minilm").wants(&event) && !limited("light").wants(&event));
        assert!(!limited("minilm").wants(&unknown));
    }
}
