//! Files of known types for the file-type model, with the nonce in a comment.

use std::collections::BTreeSet;

use anyhow::ensure;
use bytes::Bytes;
use gristmill_schemas::{Datatype, Tensor};

use super::{Generator, Wrong, one_each, output};

/// What stands where the nonce comes.
const PLACE: &str = "NONCE";

/// The least score of a reference: a label that the model is less sure of could change with the nonce.
const FIRM: f32 = 0.95;

/// A small file of one type.
struct Template {
    name: &'static str,
    text: &'static str,
}

const TEMPLATES: [Template; 8] = [
    Template {
        name: "Python",
        text: include_str!("templates/mill.py.txt"),
    },
    Template {
        name: "Rust",
        text: include_str!("templates/mill.rs.txt"),
    },
    Template {
        name: "Go",
        text: include_str!("templates/mill.go.txt"),
    },
    Template {
        name: "Java",
        text: include_str!("templates/mill.java.txt"),
    },
    Template {
        name: "PHP",
        text: include_str!("templates/mill.php.txt"),
    },
    Template {
        name: "SQL",
        text: include_str!("templates/mill.sql.txt"),
    },
    Template {
        name: "shell",
        text: include_str!("templates/mill.sh.txt"),
    },
    Template {
        name: "XML",
        text: include_str!("templates/mill.xml.txt"),
    },
];

/// The file-type model's jobs.
#[derive(Debug)]
pub(crate) struct Magika {
    run: u32,
    rows: u16,
    /// The label that each template got alone.
    labels: Vec<Bytes>,
}

impl Magika {
    pub(crate) const fn new(run: u32, rows: u16) -> Self {
        Self {
            run,
            rows,
            labels: Vec::new(),
        }
    }

    /// Neighbouring rows and jobs have different templates: a slip by one shows.
    const fn template(nonce: u64, row: u16) -> usize {
        (nonce.wrapping_add(row as u64) % TEMPLATES.len() as u64) as usize
    }

    fn file(&self, template: usize, (nonce, row): (u64, u16)) -> String {
        TEMPLATES[template]
            .text
            .replace(PLACE, &format!("{:08x}-{nonce}-{row}", self.run))
    }
}

impl Generator for Magika {
    fn references(&self) -> Vec<Vec<Tensor>> {
        let file = |template| self.file(template, (u64::MAX, 0));
        (0..TEMPLATES.len())
            .map(|template| content(&[file(template)]))
            .collect()
    }

    fn learn(&mut self, answers: &[Vec<Tensor>]) -> anyhow::Result<()> {
        one_each(answers, TEMPLATES.len())?;
        self.labels.clear();
        for (answer, template) in answers.iter().zip(&TEMPLATES) {
            let label = firm_label(answer).map_err(|wrong| anyhow::anyhow!("the {} file: {wrong}", template.name))?;
            self.labels.push(label);
        }
        let distinct: BTreeSet<_> = self.labels.iter().collect();
        ensure!(
            distinct.len() == TEMPLATES.len(),
            "the model cannot tell the files apart: {:?}",
            self.labels
        );
        Ok(())
    }

    fn inputs(&self, nonce: u64) -> Vec<Tensor> {
        let file = |row| self.file(Self::template(nonce, row), (nonce, row));
        content(&(0..self.rows).map(file).collect::<Vec<_>>())
    }

    fn check(&self, nonce: u64, outputs: &[Tensor]) -> Result<(), Wrong> {
        let labels = labels(outputs, self.rows)?;
        for (row, label) in (0..self.rows).zip(labels.elements()) {
            let template = Self::template(nonce, row);
            if label != self.labels[template] {
                let (name, expected) = (TEMPLATES[template].name, &self.labels[template]);
                return Err(Wrong(format!(
                    "row {row}, a {name} file, is {label:?} instead of {expected:?}"
                )));
            }
        }
        Ok(())
    }
}

fn content(files: &[String]) -> Vec<Tensor> {
    vec![Tensor::from_elements("content", files).expect("the name is one a tensor may have")]
}

/// The one label of a reference.
fn firm_label(answer: &[Tensor]) -> Result<Bytes, Wrong> {
    let label = labels(answer, 1)?.elements().next();
    let score = scores(answer, 1)?.f32_values().next();
    match (label, score) {
        (Some(label), Some(score)) if score >= FIRM => Ok(label),
        (label, score) => Err(Wrong(format!(
            "the model is not sure enough of it: {label:?} with {score:?}"
        ))),
    }
}

/// The labels, if the scores beside them are scores.
fn labels(outputs: &[Tensor], rows: u16) -> Result<&Tensor, Wrong> {
    if let Some(score) = scores(outputs, rows)?
        .f32_values()
        .find(|score| !(0.0..=1.0).contains(score))
    {
        return Err(Wrong(format!("{score} is no score")));
    }
    output(outputs, "label", (Datatype::Bytes, &[rows.into()]))
}

fn scores(outputs: &[Tensor], rows: u16) -> Result<&Tensor, Wrong> {
    output(outputs, "score", (Datatype::Fp32, &[rows.into()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(labels: &[&str]) -> Vec<Tensor> {
        let scores = vec![0.99; labels.len()];
        vec![
            Tensor::from_elements("label", labels).unwrap(),
            Tensor::from_f32("score", vec![labels.len() as u64], &scores).unwrap(),
        ]
    }

    fn taught(rows: u16) -> Magika {
        let mut generator = Magika::new(7, rows);
        let answers: Vec<_> = TEMPLATES.iter().map(|template| answer(&[template.name])).collect();
        generator.learn(&answers).unwrap();
        generator
    }

    #[test]
    fn own_labels_are_right_and_a_slip_by_one_is_wrong() {
        let generator = taught(2);
        assert_eq!(generator.check(8, &answer(&["Python", "Rust"])), Ok(()));
        assert_eq!(generator.check(7, &answer(&["XML", "Python"])), Ok(()));
        for labels in [
            &["Rust", "Python"][..],
            &["Python", "Python"],
            &["Rust", "Go"],
            &["Python"],
        ] {
            assert!(generator.check(8, &answer(labels)).is_err(), "{labels:?}");
        }
    }

    #[test]
    fn every_file_holds_its_nonce_and_no_two_are_alike() {
        let generator = taught(3);
        let mut files = BTreeSet::new();
        for nonce in 0..50 {
            for (row, file) in generator.inputs(nonce)[0].elements().enumerate() {
                let text = String::from_utf8(file.to_vec()).unwrap();
                assert!(text.contains(&format!("00000007-{nonce}-{row}")) && !text.contains(PLACE));
                assert!(files.insert(text));
            }
        }
    }

    #[test]
    fn model_that_cannot_tell_the_files_apart_is_no_test() {
        let answers = vec![answer(&["txt"]); TEMPLATES.len()];
        assert!(Magika::new(0, 1).learn(&answers).is_err());
    }

    #[test]
    fn model_that_is_not_sure_of_a_file_is_no_test() {
        let mut answers: Vec<_> = TEMPLATES.iter().map(|template| answer(&[template.name])).collect();
        answers[3][1] = Tensor::from_f32("score", vec![1], &[0.6]).unwrap();
        let error = Magika::new(0, 1).learn(&answers).unwrap_err().to_string();
        assert!(error.contains(TEMPLATES[3].name), "{error}");
    }

    #[test]
    fn score_that_is_none_is_wrong() {
        let mut outputs = answer(&["Python"]);
        outputs[1] = Tensor::from_f32("score", vec![1], &[f32::NAN]).unwrap();
        assert!(taught(1).check(0, &outputs).is_err());
    }
}
