//! Rows of the light model: four numbers that it hands through tell which job it is, the other 2044 are one of 64 templates, whose
//! scores were learnt from jobs that ran alone.

use anyhow::ensure;
use gristmill_schemas::{Datatype, Tensor};

use super::{Generator, Wrong, mix, one_each, output};

const WIDTH: usize = 2048;
const THROUGH: usize = 4;
const ANSWER: usize = 214;
const TEMPLATES: u64 = 64;
/// How far a score may be from the one that was learnt: sums of floats depend on how a batch is cut.
const TOLERANCE: f32 = 1e-3;

/// The light model's jobs.
#[derive(Debug)]
pub(crate) struct Light {
    run: u32,
    rows: u16,
    /// The bytes of each template's features.
    features: Vec<Vec<u8>>,
    /// Of each template.
    scores: Vec<Vec<f32>>,
}

impl Light {
    pub(crate) fn new(run: u32, rows: u16) -> Self {
        Self {
            run,
            rows,
            features: (0..TEMPLATES).map(features).collect(),
            scores: Vec::new(),
        }
    }

    /// What is handed through: 16 bits of the run, 32 of the nonce, and the row, each exact in a float.
    fn head(&self, nonce: u64, row: u16) -> [u16; THROUGH] {
        [self.run as u16, (nonce >> 16) as u16, nonce as u16, row]
    }

    fn template_of(nonce: u64, row: u16) -> u64 {
        mix(nonce.wrapping_mul(4096) + u64::from(row)) % TEMPLATES
    }

    fn row(&self, head: [u16; THROUGH], template: u64, values: &mut Vec<u8>) {
        head.iter()
            .for_each(|number| values.extend(i32::from(*number).to_le_bytes()));
        values.extend_from_slice(&self.features[template as usize]);
    }

    fn tensor(rows: u64, values: Vec<u8>) -> Vec<Tensor> {
        let shape = vec![rows, WIDTH as u64];
        vec![Tensor::new("x", Datatype::Int32, shape, values).expect("the values fill the shape")]
    }
}

impl Generator for Light {
    fn references(&self) -> Vec<Vec<Tensor>> {
        let reference = |template| {
            let mut values = Vec::new();
            self.row([0; THROUGH], template, &mut values);
            Self::tensor(1, values)
        };
        (0..TEMPLATES).map(reference).collect()
    }

    fn learn(&mut self, answers: &[Vec<Tensor>]) -> anyhow::Result<()> {
        one_each(answers, TEMPLATES as usize)?;
        for answer in answers {
            let found = output(answer, "y", (Datatype::Fp32, &[1, ANSWER as u64]));
            let found = found.map_err(|wrong| anyhow::anyhow!("a reference: {wrong}"))?;
            self.scores.push(found.f32_values().skip(THROUGH).collect());
        }
        for (place, scores) in self.scores.iter().enumerate() {
            let alike = self.scores[..place].iter().any(|other| is_near(other, scores));
            ensure!(!alike, "two templates have the same scores: a mix-up could not be seen");
        }
        Ok(())
    }

    fn inputs(&self, nonce: u64) -> Vec<Tensor> {
        let mut values = Vec::with_capacity(usize::from(self.rows) * WIDTH * 4);
        for row in 0..self.rows {
            self.row(self.head(nonce, row), Self::template_of(nonce, row), &mut values);
        }
        Self::tensor(self.rows.into(), values)
    }

    fn check(&self, nonce: u64, outputs: &[Tensor]) -> Result<(), Wrong> {
        let found = output(outputs, "y", (Datatype::Fp32, &[self.rows.into(), ANSWER as u64]))?;
        let found: Vec<f32> = found.f32_values().collect();
        for (row, answer) in (0..self.rows).zip(found.chunks_exact(ANSWER)) {
            let (through, scores) = answer.split_at(THROUGH);
            let head = self.head(nonce, row).map(f32::from);
            if through != head {
                return Err(Wrong(format!(
                    "row {row} hands {through:?} through instead of {head:?}"
                )));
            }
            let template = Self::template_of(nonce, row);
            if !is_near(&self.scores[template as usize], scores) {
                return Err(Wrong(format!("row {row} has not the scores of template {template}")));
            }
        }
        Ok(())
    }
}

/// The features of a template.
fn features(template: u64) -> Vec<u8> {
    let fours = (0..(WIDTH - THROUGH) as u64 / 4).map(|place| mix(template << 32 | place));
    let numbers = fours.flat_map(|four| (0..4).map(move |piece| i32::from((four >> (16 * piece)) as u16)));
    numbers.flat_map(i32::to_le_bytes).collect()
}

fn is_near(expected: &[f32], found: &[f32]) -> bool {
    let near = |(a, b): (&f32, &f32)| (a - b).abs() <= TOLERANCE * (1.0 + a.abs());
    expected.len() == found.len() && expected.iter().zip(found).all(near)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a model would give that scores each template by its number.
    fn answer(generator: &Light, nonce: u64) -> Vec<Tensor> {
        let mut values = Vec::new();
        for row in 0..generator.rows {
            values.extend(generator.head(nonce, row).map(f32::from));
            let template = Light::template_of(nonce, row) as usize;
            values.extend_from_slice(&generator.scores[template]);
        }
        vec![Tensor::from_f32("y", vec![generator.rows.into(), ANSWER as u64], &values).unwrap()]
    }

    fn learnt(run: u32) -> Light {
        let mut generator = Light::new(run, 2);
        let reference = |template: u64| {
            let mut values = vec![0.0; THROUGH];
            values.extend((THROUGH..ANSWER).map(|place| template as f32 + place as f32));
            vec![Tensor::from_f32("y", vec![1, ANSWER as u64], &values).unwrap()]
        };
        let answers: Vec<_> = (0..TEMPLATES).map(reference).collect();
        generator.learn(&answers).unwrap();
        generator
    }

    #[test]
    fn own_answer_is_right_and_another_jobs_runs_or_rows_is_wrong() {
        let generator = learnt(7);
        for nonce in [0, 1, 70_000] {
            assert_eq!(generator.check(nonce, &answer(&generator, nonce)), Ok(()));
            assert!(generator.check(nonce, &answer(&generator, nonce + 1)).is_err());
            assert!(generator.check(nonce, &answer(&learnt(8), nonce)).is_err());
        }
        let mut values: Vec<f32> = answer(&generator, 5)[0].f32_values().collect();
        values[300] += 1.0;
        let wrong = Tensor::from_f32("y", vec![2, ANSWER as u64], &values).unwrap();
        assert!(generator.check(5, &[wrong]).is_err());
    }

    #[test]
    fn references_that_are_alike_are_refused() {
        let same = vec![Tensor::from_f32("y", vec![1, ANSWER as u64], &[1.0; ANSWER]).unwrap()];
        let answers = vec![same; TEMPLATES as usize];
        assert!(Light::new(1, 1).learn(&answers).is_err());
    }

    #[test]
    fn every_job_brings_other_numbers() {
        let generator = learnt(3);
        let inputs: std::collections::HashSet<_> = (0..500)
            .map(|nonce| generator.inputs(nonce)[0].data().clone())
            .collect();
        assert_eq!(inputs.len(), 500);
    }
}
