//! Sentences for the embedding model, each of a known vector.

use anyhow::ensure;
use gristmill_schemas::{Datatype, Tensor};

use super::{Generator, Wrong, mix, one_each, output};

/// The vector's length.
const WIDTH: usize = 384;
/// The least cosine between a sentence's vector and its reference. What a batch is filled up with moves it less.
const NEAR: f32 = 0.999;
/// The most cosine between two references: 8°. A vector within `NEAR` (2.6°) of one is then at least 5° from every other.
const APART: f32 = 0.99;
/// How far a vector's length may be from 1.
const LENGTH_TOLERANCE: f32 = 1e-3;

const SUBJECTS: [&str; 8] = [
    "The miller",
    "A deep-sea diver",
    "My grandmother",
    "The string quartet",
    "An old lighthouse keeper",
    "The football team",
    "A volcano researcher",
    "The city council",
];
const PREDICATES: [&str; 8] = [
    "grinds wheat into flour before sunrise.",
    "repairs a broken bicycle in the rain.",
    "voted against the new railway tunnel.",
    "plays a slow waltz by candlelight.",
    "lost the suitcase at the airport.",
    "studies the migration of whales.",
    "bakes far too many lemon cakes.",
    "sells encrypted telephones to spies.",
];
const SENTENCES: usize = SUBJECTS.len() * PREDICATES.len();

/// The embedding model's jobs.
#[derive(Debug)]
pub(crate) struct Minilm {
    rows: u16,
    /// The vector that each sentence got alone.
    references: Vec<Vec<f32>>,
}

impl Minilm {
    pub(crate) const fn new(rows: u16) -> Self {
        Self {
            rows,
            references: Vec::new(),
        }
    }

    /// Which sentence a row brings: as a job has more rows, hardly two jobs bring the same ones in the same order.
    const fn sentence(nonce: u64, row: u16) -> usize {
        (mix(nonce.wrapping_mul(1 << 12).wrapping_add(row as u64)) % SENTENCES as u64) as usize
    }

    /// Holds one vector against its sentence's reference.
    fn check_row(&self, vector: &[f32], sentence: usize) -> Result<(), Wrong> {
        check_length(vector)?;
        let cosine = dot(vector, &self.references[sentence]);
        // NaN is not near either
        if cosine > NEAR {
            return Ok(());
        }
        let cosines = self
            .references
            .iter()
            .map(|reference| dot(vector, reference))
            .enumerate();
        let (nearest, best) = cosines.fold((0, f32::MIN), |best, next| if next.1 > best.1 { next } else { best });
        let text = text(sentence);
        Err(Wrong(format!(
            "the cosine of {text:?} is {cosine}; nearest is {:?} with {best}",
            self::text(nearest)
        )))
    }
}

fn text(sentence: usize) -> String {
    let (subject, predicate) = (
        SUBJECTS[sentence / PREDICATES.len()],
        PREDICATES[sentence % PREDICATES.len()],
    );
    format!("{subject} {predicate}")
}

fn texts(sentences: impl Iterator<Item = usize>) -> Vec<Tensor> {
    let texts: Vec<_> = sentences.map(text).collect();
    vec![Tensor::from_elements("text", &texts).expect("the name is one a tensor may have")]
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn check_length(vector: &[f32]) -> Result<(), Wrong> {
    let length = dot(vector, vector).sqrt();
    if (length - 1.0).abs() <= LENGTH_TOLERANCE {
        return Ok(());
    }
    Err(Wrong(format!("a vector has length {length}")))
}

fn vectors(outputs: &[Tensor], rows: u16) -> Result<Vec<f32>, Wrong> {
    let tensor = output(outputs, "embedding", (Datatype::Fp32, &[rows.into(), WIDTH as u64]))?;
    Ok(tensor.f32_values().collect())
}

impl Generator for Minilm {
    fn references(&self) -> Vec<Vec<Tensor>> {
        (0..SENTENCES)
            .map(|sentence| texts(std::iter::once(sentence)))
            .collect()
    }

    fn learn(&mut self, answers: &[Vec<Tensor>]) -> anyhow::Result<()> {
        one_each(answers, SENTENCES)?;
        let vector = |answer: &Vec<Tensor>| {
            let vector = vectors(answer, 1)?;
            check_length(&vector).map(|()| vector)
        };
        let vectors: Result<Vec<_>, Wrong> = answers.iter().map(vector).collect();
        self.references = vectors.map_err(|wrong| anyhow::anyhow!("a reference: {wrong}"))?;
        for (index, a) in self.references.iter().enumerate() {
            for (other, b) in self.references.iter().enumerate().skip(index + 1) {
                let (cosine, a, b) = (dot(a, b), text(index), text(other));
                ensure!(
                    cosine < APART,
                    "the model cannot tell {a:?} and {b:?} apart: cosine {cosine}"
                );
            }
        }
        Ok(())
    }

    fn inputs(&self, nonce: u64) -> Vec<Tensor> {
        texts((0..self.rows).map(|row| Self::sentence(nonce, row)))
    }

    fn check(&self, nonce: u64, outputs: &[Tensor]) -> Result<(), Wrong> {
        let vectors = vectors(outputs, self.rows)?;
        for (row, vector) in (0..self.rows).zip(vectors.chunks(WIDTH)) {
            let wrong = |wrong| Wrong(format!("row {row}: {wrong}"));
            self.check_row(vector, Self::sentence(nonce, row)).map_err(wrong)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A vector of length 1, an own one for each sentence.
    fn vector(sentence: usize) -> Vec<f32> {
        let mut vector = vec![0.0; WIDTH];
        vector[sentence] = 1.0;
        vector
    }

    fn answer(vectors: &[Vec<f32>]) -> Vec<Tensor> {
        let shape = vec![vectors.len() as u64, WIDTH as u64];
        vec![Tensor::from_f32("embedding", shape, &vectors.concat()).unwrap()]
    }

    fn taught(rows: u16) -> Minilm {
        let mut generator = Minilm::new(rows);
        let answers: Vec<_> = (0..SENTENCES).map(|sentence| answer(&[vector(sentence)])).collect();
        generator.learn(&answers).unwrap();
        generator
    }

    #[test]
    fn own_vectors_are_right_and_others_are_wrong() {
        let generator = taught(2);
        let own = [vector(Minilm::sentence(3, 0)), vector(Minilm::sentence(3, 1))];
        assert_eq!(generator.check(3, &answer(&own)), Ok(()));
        let [a, b] = own;
        assert!(generator.check(3, &answer(&[b, a.clone()])).is_err());
        assert!(generator.check(3, &answer(&[a])).is_err());
    }

    #[test]
    fn a_little_off_is_right_and_a_little_more_is_wrong() {
        let generator = taught(1);
        let turned = |degrees: f32| {
            let (sin, cos) = degrees.to_radians().sin_cos();
            let mut vector = vec![0.0; WIDTH];
            (vector[Minilm::sentence(0, 0)], vector[WIDTH - 1]) = (cos, sin);
            answer(&[vector])
        };
        assert_eq!(generator.check(0, &turned(2.0)), Ok(()));
        assert!(generator.check(0, &turned(3.0)).is_err());
    }

    #[test]
    fn wrong_length_and_nan_are_wrong() {
        let generator = taught(1);
        for factor in [0.99, 1.01, f32::NAN] {
            let vector = vector(Minilm::sentence(0, 0))
                .iter()
                .map(|value| value * factor)
                .collect();
            assert!(generator.check(0, &answer(&[vector])).is_err(), "{factor}");
        }
    }

    #[test]
    fn references_that_are_too_near_are_no_test() {
        let answers = vec![answer(&[vector(0)]); SENTENCES];
        assert!(Minilm::new(1).learn(&answers).is_err());
    }

    #[test]
    fn all_sentences_are_used_and_distinct() {
        let used: BTreeSet<_> = (0..1000).map(|nonce| text(Minilm::sentence(nonce, 0))).collect();
        assert_eq!(used.len(), SENTENCES);
    }
}
