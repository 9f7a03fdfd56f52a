//! Rows of numbers that the identity model must hand back bit for bit.

use gristmill_schemas::{Datatype, Tensor};

use super::{Generator, Wrong, mix, one_each, output};

/// Numbers in a row: two of the run, four of the nonce, one of the row, one pseudo-random.
const WIDTH: usize = 8;
/// The nonce of the reference job; no job of a test comes that far.
const REFERENCE: u64 = u64::MAX;

/// The identity model's jobs.
#[derive(Debug)]
pub(crate) struct Identity {
    run: u32,
    rows: u16,
}

impl Identity {
    pub(crate) const fn new(run: u32, rows: u16) -> Self {
        Self { run, rows }
    }

    fn values(&self, nonce: u64) -> Vec<f32> {
        (0..self.rows).flat_map(|row| self.row(nonce, row)).collect()
    }

    /// Run and nonce in pieces of 16 bits, which FP32 holds exactly, and one number that needs every bit it has.
    fn row(&self, nonce: u64, row: u16) -> [f32; WIDTH] {
        let piece = |number: u64, index: u32| f32::from((number >> (16 * index)) as u16);
        let (run, spread) = (u64::from(self.run), mix(nonce ^ u64::from(row)));
        [
            piece(run, 1),
            piece(run, 0),
            piece(nonce, 3),
            piece(nonce, 2),
            piece(nonce, 1),
            piece(nonce, 0),
            f32::from(row),
            finite(spread as u32),
        ]
    }
}

/// Any finite number: the exponent of NaN and the infinities becomes another one.
fn finite(bits: u32) -> f32 {
    const EXPONENT: u32 = 0x7f80_0000;
    let bits = if bits & EXPONENT == EXPONENT {
        bits ^ 0x4000_0000
    } else {
        bits
    };
    f32::from_bits(bits)
}

impl Generator for Identity {
    fn references(&self) -> Vec<Vec<Tensor>> {
        vec![self.inputs(REFERENCE)]
    }

    fn learn(&mut self, answers: &[Vec<Tensor>]) -> anyhow::Result<()> {
        one_each(answers, 1)?;
        self.check(REFERENCE, &answers[0])
            .map_err(|wrong| anyhow::anyhow!("the reference: {wrong}"))
    }

    fn inputs(&self, nonce: u64) -> Vec<Tensor> {
        let shape = vec![self.rows.into(), WIDTH as u64];
        vec![Tensor::from_f32("x", shape, &self.values(nonce)).expect("the values fill the shape")]
    }

    fn check(&self, nonce: u64, outputs: &[Tensor]) -> Result<(), Wrong> {
        let found = output(outputs, "y", (Datatype::Fp32, &[self.rows.into(), WIDTH as u64]))?;
        let expected = self.values(nonce);
        let first = expected
            .iter()
            .zip(found.f32_values())
            .position(|(a, b)| a.to_bits() != b.to_bits());
        let Some(first) = first else { return Ok(()) };
        let row = first - first % WIDTH;
        let found: Vec<_> = found.f32_values().skip(row).take(WIDTH).collect();
        Err(Wrong(format!(
            "row {} is {found:?} instead of {:?}",
            row / WIDTH,
            &expected[row..row + WIDTH]
        )))
    }
}

#[cfg(test)]
mod tests {
    use gristmill_schemas::InferRequest;

    use super::*;

    fn answer(generator: &Identity, nonce: u64) -> Vec<Tensor> {
        let shape = vec![generator.rows.into(), WIDTH as u64];
        vec![Tensor::from_f32("y", shape, &generator.values(nonce)).unwrap()]
    }

    #[test]
    fn own_answer_is_right_and_every_other_is_wrong() {
        let generator = Identity::new(7, 3);
        for nonce in [0, 1, 70_000, 1 << 40, REFERENCE] {
            assert_eq!(generator.check(nonce, &answer(&generator, nonce)), Ok(()));
            assert!(generator.check(nonce, &answer(&generator, nonce ^ 1)).is_err());
            assert!(generator.check(nonce, &answer(&Identity::new(8, 3), nonce)).is_err());
            assert!(generator.check(nonce, &answer(&Identity::new(7, 2), nonce)).is_err());
        }
    }

    #[test]
    fn one_flipped_bit_and_swapped_rows_are_wrong() {
        let generator = Identity::new(7, 2);
        let mut values = generator.values(5);
        values[15] = f32::from_bits(values[15].to_bits() ^ 1);
        let flipped = Tensor::from_f32("y", vec![2, WIDTH as u64], &values).unwrap();
        assert!(generator.check(5, &[flipped]).is_err());
        let mut values = generator.values(5);
        values.rotate_left(WIDTH);
        let swapped = Tensor::from_f32("y", vec![2, WIDTH as u64], &values).unwrap();
        assert!(generator.check(5, &[swapped]).is_err());
    }

    #[test]
    fn every_number_is_finite_and_survives_json() {
        let generator = Identity::new(u32::MAX, 16);
        for nonce in 0..500 {
            assert!(generator.values(nonce).iter().all(|value| value.is_finite()));
            let request = InferRequest::new("identity".parse().unwrap(), generator.inputs(nonce));
            let back = InferRequest::from_json(&request.to_json(), 1 << 20).unwrap();
            assert_eq!(back.inputs, request.inputs);
        }
        assert!(finite(f32::NAN.to_bits()).is_finite() && finite(f32::NEG_INFINITY.to_bits()).is_finite());
    }
}
