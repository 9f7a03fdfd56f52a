//! A refusal as people read it, whether a server said it or we found it ourselves.

use std::fmt;

use gristmill_schemas::{Refusal, api::Problem};

/// Title, detail, and in brackets what a program would branch on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) struct Refused {
    title: String,
    detail: String,
    notes: Vec<String>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.title, self.detail, self.notes.join(", "))
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        let notes = [
            Some(problem.code),
            problem.field.map(|field| format!("field {field}")),
            problem.limit.map(|limit| format!("limit {limit}")),
            problem.retry_after_s.map(|seconds| format!("retry after {seconds}s")),
            problem.id.map(|id| format!("job {id}")),
        ];
        Self {
            title: problem.title,
            detail: problem.detail,
            notes: notes.into_iter().flatten().collect(),
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let notes = [
            Some(refusal.code.to_string()),
            refusal.field.map(|field| format!("field {field}")),
            refusal.limit.map(|limit| format!("limit {limit}")),
        ];
        Self {
            title: refusal.code.row().title.to_owned(),
            detail: refusal.detail,
            notes: notes.into_iter().flatten().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use gristmill_schemas::RefusalCode;

    use super::*;

    #[test]
    fn field_and_limit_stand_behind_the_code() {
        let refusal = Refusal::new(RefusalCode::TooManyRows, "9 rows are more than one job may have");
        let text = Refused::from(refusal.at("inputs[0].shape[0]").limit("8 rows")).to_string();
        assert_eq!(
            text,
            "The job has too many rows: 9 rows are more than one job may have (too_many_rows, field inputs[0].shape[0], \
             limit 8 rows)"
        );
    }
}
