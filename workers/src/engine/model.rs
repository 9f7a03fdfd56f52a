//! A loaded model: everything of a version that its sessions share, parsed from its artifacts.

use std::sync::Arc;

use gristmill_models::{ArtifactStore, ModelVersion};
use gristmill_schemas::{Datatype, Failure, FailureCode, Manifest, Tensor, manifest::MODEL_ROLE, manifest::TensorSpec};
use ort::value::{Outlet, ValueType};

use super::{
    EngineError, artifacts::Artifacts, external_data::refuse_external_data, postprocess::Postprocessor,
    preprocess::Preprocessor, values,
};

/// A version with its artifacts read.
#[derive(Debug)]
pub(super) struct LoadedModel {
    pub(super) version: Arc<ModelVersion>,
    /// The ONNX file.
    pub(super) graph: Vec<u8>,
    pub(super) preprocessor: Preprocessor,
    pub(super) postprocessor: Postprocessor,
}

impl LoadedModel {
    pub(super) fn load(version: &Arc<ModelVersion>, store: &ArtifactStore) -> Result<Self, EngineError> {
        let manifest = &version.manifest;
        let artifacts = Artifacts { manifest, store };
        let graph = artifacts.read(MODEL_ROLE)?;
        refuse_external_data(&graph).map_err(|error| EngineError::Graph(error.to_string()))?;
        Ok(Self {
            graph,
            preprocessor: Preprocessor::load(&manifest.preprocess, &artifacts)?,
            postprocessor: Postprocessor::load(manifest, &artifacts)?,
            version: Arc::clone(version),
        })
    }

    pub(super) fn manifest(&self) -> &Manifest {
        &self.version.manifest
    }

    /// Holds the graph's inputs and outputs against what the manifest and its pre- and postprocessing need.
    pub(super) fn check_graph(&self, inputs: &[Outlet], outputs: &[Outlet]) -> Result<(), EngineError> {
        let manifest = self.manifest();
        let fed = wanted(self.preprocessor.graph_inputs(), &manifest.inputs);
        for (name, datatype) in &fed {
            check_outlet("input", inputs, name, *datatype)?;
        }
        for input in inputs {
            if !fed.iter().any(|(name, _)| *name == input.name()) {
                let name = input.name();
                return Err(EngineError::Unfit(format!(
                    "the graph's input {name:?} would get nothing"
                )));
            }
        }
        for (name, datatype) in wanted(self.postprocessor.graph_outputs(), &manifest.outputs) {
            check_outlet("output", outputs, name, datatype)?;
        }
        Ok(())
    }

    /// Holds an item's outputs against the manifest.
    pub(super) fn check(&self, outputs: Vec<Tensor>, rows: u64) -> Result<Vec<Tensor>, Failure> {
        let specs = &self.manifest().outputs;
        let fits = |(spec, output): (&TensorSpec, &Tensor)| {
            let dims = spec.shape.iter().zip(output.shape());
            spec.name == output.name()
                && spec.datatype == output.datatype()
                && spec.shape.len() == output.shape().len()
                && output.rows() == rows
                && dims
                    .skip(1)
                    .all(|(want, have)| u64::try_from(*want).map_or(true, |want| want == *have))
        };
        if specs.len() == outputs.len() && specs.iter().zip(&outputs).all(fits) {
            return Ok(outputs);
        }
        let shown = |output: &Tensor| format!("{} {} {:?}", output.name(), output.datatype(), output.shape());
        let shown: Vec<_> = outputs.iter().map(shown).collect();
        let message = format!("the manifest does not allow the outputs {}", shown.join(", "));
        Err(Failure::new(FailureCode::OutputInvalid, message))
    }
}

/// Names and datatypes of the graph's side: fixed ones, or else the manifest's.
fn wanted<'a>(fixed: Option<&'static [(&'static str, Datatype)]>, specs: &'a [TensorSpec]) -> Vec<(&'a str, Datatype)> {
    match fixed {
        Some(fixed) => fixed.to_vec(),
        None => specs.iter().map(|spec| (spec.name.as_str(), spec.datatype)).collect(),
    }
}

fn check_outlet(side: &str, outlets: &[Outlet], name: &str, datatype: Datatype) -> Result<(), EngineError> {
    let outlet = outlets
        .iter()
        .find(|outlet| outlet.name() == name)
        .ok_or_else(|| EngineError::Unfit(format!("the graph has no {side} {name:?}")))?;
    match outlet.dtype() {
        ValueType::Tensor { ty, .. } if *ty == values::element_type(datatype) => Ok(()),
        other => Err(EngineError::Unfit(format!(
            "the graph's {side} {name:?} is {other}, not {datatype}"
        ))),
    }
}
