//! What the jobs bring and what their answers must be. Pure: a nonce in, inputs out; a nonce and outputs in, a verdict out.
//!
//! | model | a job's input | its answer is right if | a mix-up that goes unseen |
//! |---|---|---|---|
//! | identity | rows that hold run, nonce, row and a pseudo-random number | it equals the input bit for bit | none |
//! | light | four numbers of run, nonce and row, and one of 64 templates | the four come back, with the scores that the template got alone at the start | none |
//! | magika | files of eight types in turn, the nonce in a comment | each label is the one that the same template got alone at the start | between files of one type: one in eight for jobs of one row |
//! | minilm | for each row one of 64 sentences, chosen by the nonce | each vector has length 1 ± 1e-3 and a cosine above 0.999 with the one its sentence got alone at the start; these are so far apart that no other can be as near | between rows of one sentence: one in 64 for jobs of one row |

mod identity;
mod light;
mod magika;
mod minilm;

use std::fmt;

use anyhow::Context;
use gristmill_schemas::{Datatype, Tensor};

pub(crate) use identity::Identity;
pub(crate) use light::Light;
pub(crate) use magika::Magika;
pub(crate) use minilm::Minilm;

use crate::config::{Model, WorkArgs};

/// Why an answer is not the one its job must get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong(pub(crate) String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One model's jobs.
pub(crate) trait Generator: Send + Sync + fmt::Debug {
    /// Inputs that are run one by one, with nothing else in flight, before the test begins.
    fn references(&self) -> Vec<Vec<Tensor>>;

    /// Takes the answers to the references, in their order.
    ///
    /// # Errors
    /// They are no answers of this model, or so alike that a mix-up could not be seen.
    fn learn(&mut self, answers: &[Vec<Tensor>]) -> anyhow::Result<()>;

    /// The inputs of a job.
    fn inputs(&self, nonce: u64) -> Vec<Tensor>;

    /// Holds a job's outputs against what it must get.
    ///
    /// # Errors
    /// What is wrong with them.
    fn check(&self, nonce: u64, outputs: &[Tensor]) -> Result<(), Wrong>;
}

/// The generator of a model.
pub(crate) fn of(work: &WorkArgs, run: u32) -> Box<dyn Generator> {
    match work.model {
        Model::Identity => Box::new(Identity::new(run, work.rows)),
        Model::Light => Box::new(Light::new(run, work.rows)),
        Model::Magika => Box::new(Magika::new(run, work.rows)),
        Model::Minilm => Box::new(Minilm::new(work.rows, work.texts)),
    }
}

/// The output of that name, if it has this datatype and these dimensions.
fn output<'a>(outputs: &'a [Tensor], name: &str, (datatype, shape): (Datatype, &[u64])) -> Result<&'a Tensor, Wrong> {
    let tensor = outputs.iter().find(|tensor| tensor.name() == name);
    let tensor = tensor.ok_or_else(|| Wrong(format!("there is no output {name}")))?;
    if tensor.datatype() != datatype || tensor.shape() != shape {
        let found = format!("{name} is {} {:?}", tensor.datatype(), tensor.shape());
        return Err(Wrong(format!("{found} instead of {datatype} {shape:?}")));
    }
    Ok(tensor)
}

/// Holds the number of answers against the number of references.
fn one_each(answers: &[Vec<Tensor>], references: usize) -> anyhow::Result<()> {
    (answers.len() == references)
        .then_some(())
        .context("one answer for each reference")
}

/// Spreads a number over 64 bits, so that neighbours have nothing in common (the finalizer of `SplitMix64`).
const fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
