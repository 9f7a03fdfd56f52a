//! What some rows of a job have given while the rest of it still runs, as the job's stream of progress in Redis tells it.
//! Only jobs of more rows than one engine call takes have one, and it never tells the last of them: that is the outcome's.
//! Entries have these fields, always all of them:
//!
//! | field | what |
//! |---|---|
//! | `attempt` | which attempt, from 1: a later one begins anew, and what an earlier one told is void |
//! | `from_row`, `rows` | which rows it is about |
//! | `rows_done`, `rows_total` | how many this attempt has run by now, and how many there are |
//! | `outputs` | what they gave: tensors as in an [`crate::Outcome`]; empty where that is more than [`MAX_OUTPUTS`] or the store is nearly full |

use serde::{Deserialize, Serialize};

use crate::{
    api::{Output, text},
    codec::{self, DecodeError},
    job_id::JobId,
    tensor::Tensor,
};

/// The fields, in their order.
pub const FIELDS: [&str; 6] = ["attempt", "from_row", "rows", "rows_done", "rows_total", "outputs"];

/// The most outputs that one entry carries, in bytes of their data. The outcome has them all the same.
pub const MAX_OUTPUTS: usize = 256 << 10;

/// Some rows of a job have run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// In which attempt, from 1.
    pub attempt: u32,
    /// The first of the rows.
    pub from_row: u32,
    /// How many.
    pub rows: u32,
    /// How many rows this attempt has run by now.
    pub rows_done: u32,
    /// How many rows the job has.
    pub rows_total: u32,
    /// What the rows gave, in the order of the model's signature; `None` where that was too much for an entry or for the store.
    pub outputs: Option<Vec<Tensor>>,
}

impl Progress {
    /// What stands in [`FIELDS`].
    #[must_use]
    pub fn values(&self) -> [Vec<u8>; FIELDS.len()] {
        let number = |number: u32| number.to_string().into_bytes();
        [
            number(self.attempt),
            number(self.from_row),
            number(self.rows),
            number(self.rows_done),
            number(self.rows_total),
            self.outputs.as_ref().map(codec::encode).unwrap_or_default(),
        ]
    }

    /// Reads an entry by its fields; those of a newer build are passed over.
    ///
    /// # Errors
    /// It is none of ours.
    pub fn from_fields(fields: &[(String, Vec<u8>)]) -> Result<Self, DecodeError> {
        let value = |name: &str| {
            let found = fields.iter().find(|(field, _)| field == name);
            found
                .map(|(_, value)| value.as_slice())
                .ok_or_else(|| DecodeError::Malformed(format!("an entry without {name}")))
        };
        let number = |name: &str| {
            let text = std::str::from_utf8(value(name)?).ok();
            text.and_then(|text| text.parse().ok())
                .ok_or_else(|| DecodeError::Malformed(format!("{name} is no number")))
        };
        let outputs = value("outputs")?;
        Ok(Self {
            attempt: number("attempt")?,
            from_row: number("from_row")?,
            rows: number("rows")?,
            rows_done: number("rows_done")?,
            rows_total: number("rows_total")?,
            outputs: match outputs.is_empty() {
                true => None,
                false => Some(codec::decode_part(outputs)?),
            },
        })
    }
}

/// How far a job has come that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RowsDone {
    /// In which attempt, from 1: a later one begins anew.
    pub attempt: u32,
    /// Rows that have run.
    pub rows_done: u32,
    /// Rows that there are.
    pub rows_total: u32,
}

impl RowsDone {
    /// Reads what stands in a job's hash: the three numbers with spaces between; `None` if it is none of ours.
    #[must_use]
    pub fn from_field(text: &str) -> Option<Self> {
        let mut numbers = text.split(' ').map(|word| word.parse().ok());
        let mut next = || numbers.next().flatten();
        Some(Self {
            attempt: next()?,
            rows_done: next()?,
            rows_total: next()?,
        })
    }
}

/// Some rows of a job have run: the data of an event `progress`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProgressView {
    /// The job.
    #[serde(with = "text")]
    pub id: JobId,
    /// In which attempt, from 1: a later one begins anew, and what an earlier one told is void.
    pub attempt: u32,
    /// The first of the rows, from 0.
    pub from_row: u32,
    /// How many.
    pub rows: u32,
    /// How many rows this attempt has run by now.
    pub rows_done: u32,
    /// How many rows the job has.
    pub rows_total: u32,
    /// What the rows gave, if it was asked for (`include=outputs`) and is told: where it has at most 256 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Vec<Output>>,
}

impl ProgressView {
    /// Of a job; `outputs` says whether they are shown.
    #[must_use]
    pub fn of(id: &JobId, progress: Progress, outputs: bool) -> Self {
        let shown = progress.outputs.filter(|_| outputs);
        Self {
            id: *id,
            attempt: progress.attempt,
            from_row: progress.from_row,
            rows: progress.rows,
            rows_done: progress.rows_done,
            rows_total: progress.rows_total,
            outputs: shown.map(|tensors| tensors.into_iter().map(Output).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(progress: &Progress) -> Vec<(String, Vec<u8>)> {
        FIELDS.map(str::to_owned).into_iter().zip(progress.values()).collect()
    }

    #[test]
    fn progress_is_read_back_with_and_without_its_outputs() {
        let whole = Progress {
            attempt: 2,
            from_row: 8,
            rows: 2,
            rows_done: 10,
            rows_total: 64,
            outputs: Some(vec![
                Tensor::from_f32("y", vec![2, 2], &[1.5, -2.0, 0.1, f32::NAN]).unwrap(),
                Tensor::from_elements("label", &["rust".as_bytes(), &[0xff, 0]]).unwrap(),
            ]),
        };
        let bare = Progress {
            outputs: None,
            ..whole.clone()
        };
        for progress in [&whole, &bare] {
            assert_eq!(Progress::from_fields(&entry(progress)).as_ref(), Ok(progress));
        }
        assert!(Progress::from_fields(&entry(&whole)[1..]).is_err());
        let mut torn = entry(&whole);
        torn[5].1.pop();
        assert!(Progress::from_fields(&torn).is_err());
    }

    #[test]
    fn rows_done_are_read_from_three_numbers_alone() {
        let read = RowsDone::from_field("2 10 64").unwrap();
        assert_eq!((read.attempt, read.rows_done, read.rows_total), (2, 10, 64));
        assert!(
            ["", "2", "2 10", "2 10 many"]
                .iter()
                .all(|text| RowsDone::from_field(text).is_none())
        );
    }
}
