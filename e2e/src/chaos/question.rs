//! What is asked and what must come back: both are functions of a nonce, so that any mix-up of jobs shows.

use gristmill_schemas::{Digest, InferRequest, Tensor};

/// The model that every job runs: it hands its input back.
pub const MODEL: &str = "identity";
const WIDTH: u64 = 8;
/// One job in so many is cut into several batches.
const LARGE_EVERY: u64 = 29;
const LARGE_ROWS: u64 = 500;

/// The rows of a nonce's job.
const fn rows(nonce: u64) -> u64 {
    if nonce % LARGE_EVERY == 3 {
        LARGE_ROWS
    } else {
        1 + nonce % 3
    }
}

/// The nonce in pieces that a float holds exactly, its square so that no two rows are alike, and the row's number.
fn tensor(name: &str, nonce: u64) -> Tensor {
    let rows = rows(nonce);
    let mut values = Vec::with_capacity((rows * WIDTH) as usize);
    for row in 0..rows {
        let pieces = (0..4).map(|piece| f32::from((nonce >> (16 * piece)) as u16));
        let spread = nonce.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(row);
        let more = (0..3).map(|piece| f32::from((spread >> (16 * piece)) as u16));
        values.extend(pieces.chain(more));
        values.push(row as f32);
    }
    Tensor::from_f32(name, vec![rows, WIDTH], &values).expect("the values fill the shape")
}

/// The request of a nonce.
#[must_use]
pub fn request(nonce: u64) -> InferRequest {
    InferRequest::new(MODEL.parse().expect("a model's name"), vec![tensor("x", nonce)])
}

/// The digest of what goes in.
#[must_use]
pub fn input_digest(nonce: u64) -> Digest {
    Digest::of_tensors(&[tensor("x", nonce)])
}

/// The digest of what must come out.
#[must_use]
pub fn output_digest(nonce: u64) -> Digest {
    Digest::of_tensors(&[tensor("y", nonce)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_nonces_have_the_same_question_or_the_same_answer() {
        let mut seen = std::collections::HashSet::new();
        for nonce in (0..2000).chain([1 << 40, u64::MAX]) {
            assert!(seen.insert(input_digest(nonce)) && seen.insert(output_digest(nonce)));
        }
    }
}
