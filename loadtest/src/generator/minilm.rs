//! Sentences for the embedding model, each of a known vector.

use anyhow::ensure;
use gristmill_schemas::{Datatype, Tensor};

use super::{Generator, Wrong, mix, one_each, output};
use crate::config::Texts;

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
/// Words of the median text where lengths are mixed, and how far their logarithms lie apart.
const MEDIAN: f64 = 18.0;
const DEVIATION: f64 = 0.8;
const SENTENCES: usize = SUBJECTS.len() * PREDICATES.len();

/// The embedding model's jobs.
#[derive(Debug)]
pub(crate) struct Minilm {
    rows: u16,
    texts: Vec<String>,
    /// The vector that each sentence got alone.
    references: Vec<Vec<f32>>,
}

impl Minilm {
    pub(crate) fn new(rows: u16, lengths: Texts) -> Self {
        Self {
            rows,
            texts: match lengths {
                Texts::Short => (0..SENTENCES).map(sentence).collect(),
                Texts::Mixed => mixed(),
            },
            references: Vec::new(),
        }
    }

    /// Which text a row brings: as a job has more rows, hardly two jobs bring the same ones in the same order.
    const fn text(nonce: u64, row: u16) -> usize {
        (mix(nonce.wrapping_mul(1 << 12).wrapping_add(row as u64)) % SENTENCES as u64) as usize
    }

    fn tensor(&self, texts: impl Iterator<Item = usize>) -> Vec<Tensor> {
        let texts: Vec<_> = texts.map(|text| &self.texts[text]).collect();
        vec![Tensor::from_elements("text", &texts).expect("the name is one a tensor may have")]
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
        let [text, nearest] = [sentence, nearest].map(|place| &self.texts[place]);
        Err(Wrong(format!(
            "the cosine of {text:?} is {cosine}; nearest is {nearest:?} with {best}"
        )))
    }
}

/// One of the sentences.
fn sentence(sentence: usize) -> String {
    let (subject, predicate) = (
        SUBJECTS[sentence / PREDICATES.len()],
        PREDICATES[sentence % PREDICATES.len()],
    );
    format!("{subject} {predicate}")
}

/// As many texts of the lengths that prose has: log-normal (C. B. Williams, Biometrika 31, 1940, of sentences), here with a
/// median of 18 words and a deviation of 0.8, each quantile once.
fn mixed() -> Vec<String> {
    let shares = (0..SENTENCES).map(|text| (text as f64 + 0.5) / SENTENCES as f64);
    let lengths = shares.map(|share| (MEDIAN * (DEVIATION * normal_quantile(share)).exp()).round().max(2.0) as usize);
    let text = |(text, length)| {
        // sentences in another order for each text, so that long ones differ, too
        let words = (0_u64..).flat_map(|place| {
            let chosen = mix((text as u64) << 32 | place) % SENTENCES as u64;
            let sentence = sentence(if place == 0 { text } else { chosen as usize });
            sentence.split(' ').map(str::to_owned).collect::<Vec<_>>()
        });
        words.take(length).collect::<Vec<_>>().join(" ")
    };
    lengths.enumerate().map(text).collect()
}

/// The point below which this share of a standard normal distribution lies: its density, summed step by step.
fn normal_quantile(share: f64) -> f64 {
    const STEP: f64 = 1e-3;
    let (mut at, mut below) = (-6.0_f64, 0.0);
    while below < share {
        below += STEP * (-at * at / 2.0).exp() / std::f64::consts::TAU.sqrt();
        at += STEP;
    }
    at
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
        (0..SENTENCES).map(|text| self.tensor(std::iter::once(text))).collect()
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
                let (cosine, a, b) = (dot(a, b), &self.texts[index], &self.texts[other]);
                ensure!(
                    cosine < APART,
                    "the model cannot tell {a:?} and {b:?} apart: cosine {cosine}"
                );
            }
        }
        Ok(())
    }

    fn inputs(&self, nonce: u64) -> Vec<Tensor> {
        self.tensor((0..self.rows).map(|row| Self::text(nonce, row)))
    }

    fn check(&self, nonce: u64, outputs: &[Tensor]) -> Result<(), Wrong> {
        let vectors = vectors(outputs, self.rows)?;
        for (row, vector) in (0..self.rows).zip(vectors.chunks(WIDTH)) {
            let wrong = |wrong| Wrong(format!("row {row}: {wrong}"));
            self.check_row(vector, Self::text(nonce, row)).map_err(wrong)?;
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
        let mut generator = Minilm::new(rows, Texts::Short);
        let answers: Vec<_> = (0..SENTENCES).map(|sentence| answer(&[vector(sentence)])).collect();
        generator.learn(&answers).unwrap();
        generator
    }

    #[test]
    fn own_vectors_are_right_and_others_are_wrong() {
        let generator = taught(2);
        let own = [vector(Minilm::text(3, 0)), vector(Minilm::text(3, 1))];
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
            (vector[Minilm::text(0, 0)], vector[WIDTH - 1]) = (cos, sin);
            answer(&[vector])
        };
        assert_eq!(generator.check(0, &turned(2.0)), Ok(()));
        assert!(generator.check(0, &turned(3.0)).is_err());
    }

    #[test]
    fn wrong_length_and_nan_are_wrong() {
        let generator = taught(1);
        for factor in [0.99, 1.01, f32::NAN] {
            let vector = vector(Minilm::text(0, 0)).iter().map(|value| value * factor).collect();
            assert!(generator.check(0, &answer(&[vector])).is_err(), "{factor}");
        }
    }

    #[test]
    fn references_that_are_too_near_are_no_test() {
        let answers = vec![answer(&[vector(0)]); SENTENCES];
        assert!(Minilm::new(1, Texts::Short).learn(&answers).is_err());
    }

    #[test]
    fn all_sentences_are_used_and_distinct() {
        for lengths in [Texts::Short, Texts::Mixed] {
            let generator = Minilm::new(1, lengths);
            let used: BTreeSet<_> = (0..1000)
                .map(|nonce| &generator.texts[Minilm::text(nonce, 0)])
                .collect();
            assert_eq!(used.len(), SENTENCES);
        }
    }

    #[test]
    fn mixed_texts_are_as_long_as_they_are_said_to_be() {
        let mut words: Vec<usize> = mixed().iter().map(|text| text.split(' ').count()).collect();
        words.sort_unstable();
        assert!(
            words[SENTENCES / 2 - 1] <= 18 && words[SENTENCES / 2] >= 18,
            "{words:?}"
        );
        let above = words.iter().filter(|words| **words > 67).count();
        assert_eq!(above, SENTENCES.div_ceil(20) - 1, "{words:?}");
        assert!(words[0] >= 2 && words[SENTENCES - 1] < 150, "{words:?}");
    }
}
