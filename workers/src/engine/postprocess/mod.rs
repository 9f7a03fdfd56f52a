//! From the graph's outputs of one run to each item's own.

mod file_type;
mod mean_pool;
mod passthrough;

use gristmill_schemas::{
    Datatype, Failure, FailureCode, Manifest, Tensor,
    manifest::{Postprocess, Preprocess},
};
use ort::session::SessionOutputs;

use self::{file_type::FileType, mean_pool::MeanPool};
use super::{
    EngineError,
    artifacts::{Artifacts, CONFIG, CONTENT_TYPES},
    preprocess::Prepared,
};

/// What the manifest's `[postprocess]` asks for.
#[derive(Debug)]
pub(super) enum Postprocessor {
    Passthrough,
    MeanPool(MeanPool),
    FileType(FileType),
}

impl Postprocessor {
    pub(super) fn load(manifest: &Manifest, artifacts: &Artifacts<'_>) -> Result<Self, EngineError> {
        match (&manifest.preprocess, &manifest.postprocess) {
            (Preprocess::None | Preprocess::Tokenize { .. }, Postprocess::None) => Ok(Self::Passthrough),
            (Preprocess::Tokenize { .. }, Postprocess::MeanPool { normalize }) => {
                Ok(Self::MeanPool(MeanPool { normalize: *normalize }))
            }
            (windows @ Preprocess::FileWindows { .. }, Postprocess::FileType) => {
                let (config, content_types) = (artifacts.read(CONFIG)?, artifacts.read(CONTENT_TYPES)?);
                FileType::new(&config, &content_types, windows).map(Self::FileType)
            }
            (Preprocess::FileWindows { .. }, Postprocess::None)
            | (Preprocess::None | Preprocess::FileWindows { .. }, Postprocess::MeanPool { .. })
            | (Preprocess::None | Preprocess::Tokenize { .. }, Postprocess::FileType) => Err(EngineError::Unfit(
                "the postprocessing does not go with the preprocessing".to_owned(),
            )),
        }
    }

    /// The graph's outputs that are needed; `None` where they are the manifest's.
    pub(super) const fn graph_outputs(&self) -> Option<&'static [(&'static str, Datatype)]> {
        match self {
            Self::Passthrough => None,
            Self::MeanPool(_) => Some(&[(mean_pool::OUTPUT, Datatype::Fp32)]),
            Self::FileType(_) => Some(&[(file_type::OUTPUT, Datatype::Fp32)]),
        }
    }

    /// Each item's outputs. `outputs` is missing where no row needed the graph.
    pub(super) fn finish(
        &self,
        manifest: &Manifest,
        items: &[&Prepared],
        outputs: Option<&SessionOutputs<'_>>,
    ) -> Result<Vec<Vec<Tensor>>, Failure> {
        match (self, outputs) {
            (Self::Passthrough, Some(outputs)) => passthrough::finish(&manifest.outputs, items, outputs),
            (Self::MeanPool(pool), Some(outputs)) => pool.finish(&manifest.outputs, items, outputs),
            (Self::FileType(types), outputs) => types.finish(&manifest.outputs, items, outputs),
            (Self::Passthrough | Self::MeanPool(_), None) => Err(invalid("the graph was not asked")),
        }
    }
}

/// An FP32 output of this shape.
fn f32_output<'o>(outputs: &'o SessionOutputs<'_>, name: &str, shape: &[usize]) -> Result<&'o [f32], Failure> {
    let value = outputs
        .get(name)
        .ok_or_else(|| invalid(format!("the graph has no output {name:?}")))?;
    let (actual, values) = value
        .try_extract_tensor::<f32>()
        .map_err(|error| invalid(error.to_string()))?;
    if actual
        .iter()
        .map(|dim| dim.cast_unsigned())
        .eq(shape.iter().map(|dim| *dim as u64))
    {
        Ok(values)
    } else {
        Err(invalid(format!(
            "the graph's output {name:?} is {actual:?}, not {shape:?}"
        )))
    }
}

fn invalid(problem: impl Into<String>) -> Failure {
    Failure::new(FailureCode::OutputInvalid, problem)
}

/// A tensor's parts did not fit: they come from the model.
fn unfit(error: gristmill_schemas::tensor::TensorError) -> Failure {
    invalid(error.to_string())
}
