//! From a job's inputs to the graph's: `prepare` looks at one item, so that a wrong one fails alone; `feed` puts prepared
//! items together for one run.

mod file_windows;
mod passthrough;
mod tokenize;

use std::borrow::Cow;

use gristmill_schemas::{Datatype, Failure, FailureCode, Tensor, manifest::Preprocess};
use ort::session::SessionInputValue;

pub(super) use self::{file_windows::File, tokenize::Text};
use self::{file_windows::FileWindows, tokenize::Tokenize};
use super::{
    EngineError,
    artifacts::{Artifacts, TOKENIZER},
};

/// A graph's inputs by name.
pub(super) type Feed = Vec<(Cow<'static, str>, SessionInputValue<'static>)>;

/// What the manifest's `[preprocess]` asks for.
#[derive(Debug)]
pub(super) enum Preprocessor {
    Passthrough,
    Tokenize(Box<Tokenize>),
    FileWindows(FileWindows),
}

/// One item after its preprocessing, row by row.
#[derive(Debug)]
pub(super) enum Prepared {
    Tensors(Vec<Tensor>),
    Texts(Vec<Text>),
    Files(Vec<File>),
}

impl Preprocessor {
    pub(super) fn load(kind: &Preprocess, artifacts: &Artifacts<'_>) -> Result<Self, EngineError> {
        match *kind {
            Preprocess::None => Ok(Self::Passthrough),
            Preprocess::Tokenize { max_tokens } => {
                let tokenizer = artifacts.read(TOKENIZER)?;
                Tokenize::new(&tokenizer, max_tokens)
                    .map(|tokenize| Self::Tokenize(Box::new(tokenize)))
                    .map_err(|problem| EngineError::content(TOKENIZER, problem))
            }
            Preprocess::FileWindows {
                beg_size,
                end_size,
                block_size,
                padding_token,
                min_file_size,
            } => Ok(Self::FileWindows(FileWindows {
                beg_size: beg_size as usize,
                end_size: end_size as usize,
                block_size: block_size as usize,
                padding_token,
                min_file_size: min_file_size as usize,
            })),
        }
    }

    /// The graph's inputs; `None` where they are the manifest's.
    pub(super) const fn graph_inputs(&self) -> Option<&'static [(&'static str, Datatype)]> {
        match self {
            Self::Passthrough => None,
            Self::Tokenize(_) => Some(&tokenize::GRAPH_INPUTS),
            Self::FileWindows(_) => Some(&file_windows::GRAPH_INPUTS),
        }
    }

    /// An estimate of the tokens of the longest row; 1 where there are none.
    pub(super) fn tokens(&self, inputs: &[Tensor]) -> u32 {
        match self {
            Self::Passthrough | Self::FileWindows(_) => 1,
            Self::Tokenize(tokenize) => inputs.first().map_or(1, |texts| tokenize.estimate(texts)),
        }
    }

    pub(super) fn prepare(&self, inputs: Vec<Tensor>) -> Result<Prepared, Failure> {
        match self {
            Self::Passthrough => passthrough::prepare(inputs).map(Prepared::Tensors),
            Self::Tokenize(tokenize) => tokenize.prepare(only(&inputs)?).map(Prepared::Texts),
            Self::FileWindows(windows) => Ok(Prepared::Files(windows.prepare(only(&inputs)?))),
        }
    }

    /// The graph's inputs for these items; none if no row needs the graph.
    pub(super) fn feed(&self, items: &[&Prepared]) -> ort::Result<Feed> {
        match self {
            Self::Passthrough => passthrough::feed(items),
            Self::Tokenize(_) => tokenize::feed(items),
            Self::FileWindows(_) => file_windows::feed(items),
        }
    }
}

impl Prepared {
    /// The item's rows, whether or not the graph is asked for them.
    pub(super) fn rows(&self) -> usize {
        match self {
            Self::Tensors(tensors) => tensors.first().map_or(0, |tensor| tensor.rows() as usize),
            Self::Texts(texts) => texts.len(),
            Self::Files(files) => files.len(),
        }
    }

    /// Its tensors, if it is a passed-through one.
    pub(super) fn tensors(&self) -> &[Tensor] {
        if let Self::Tensors(tensors) = self {
            tensors
        } else {
            &[]
        }
    }

    /// Its texts, if it is a tokenized one.
    pub(super) fn texts(&self) -> &[Text] {
        if let Self::Texts(texts) = self { texts } else { &[] }
    }

    /// Its files, if it is one of files.
    pub(super) fn files(&self) -> &[File] {
        if let Self::Files(files) = self { files } else { &[] }
    }
}

fn only(inputs: &[Tensor]) -> Result<&Tensor, Failure> {
    inputs.first().ok_or_else(|| invalid("the job has no input"))
}

fn invalid(problem: impl Into<String>) -> Failure {
    Failure::new(FailureCode::InputInvalid, problem)
}
