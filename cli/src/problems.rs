//! Everything that is wrong with the settings, gathered before anything is started.

use std::fmt::{self, Display};

/// At least one problem once it is an error; each a sentence.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
pub(crate) struct Problems(Vec<String>);

impl Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the settings cannot be used:\n  {}", self.0.join("\n  "))
    }
}

impl Problems {
    /// Notes why something failed, and hands on what did not.
    pub(crate) fn note<T, E: Into<anyhow::Error>>(&mut self, result: Result<T, E>) -> Option<T> {
        result
            .map_err(|error| self.add(format!("{:#}", error.into()).lines().map(str::to_owned)))
            .ok()
    }

    /// Adds problems that were found elsewhere.
    pub(crate) fn add(&mut self, more: impl IntoIterator<Item = String>) {
        self.0.extend(more);
    }

    /// Itself as an error, if there is any problem.
    pub(crate) fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_reported_at_once() {
        let mut problems = Problems::default();
        assert_eq!(problems.note("7".parse::<u8>()), Some(7));
        assert_eq!(problems.clone().into_result(), Ok(()));
        problems.note("x".parse::<u8>());
        problems.add(["too small".to_owned()]);
        let text = problems.into_result().unwrap_err().to_string();
        assert_eq!(text.lines().count(), 3, "{text}");
    }
}
