//! Token vectors to one vector a text: their mean, padding left out, then scaled.

use gristmill_schemas::{
    Failure, Tensor,
    manifest::{Normalize, TensorSpec},
};
use ort::session::SessionOutputs;

use super::{Prepared, f32_output, invalid, unfit};

/// The output that is pooled.
pub(super) const OUTPUT: &str = "last_hidden_state";

/// The manifest's `[postprocess]`.
#[derive(Debug)]
pub(in crate::engine) struct MeanPool {
    pub(super) normalize: Normalize,
}

impl MeanPool {
    pub(super) fn finish(
        &self,
        specs: &[TensorSpec],
        items: &[&Prepared],
        outputs: &SessionOutputs<'_>,
    ) -> Result<Vec<Vec<Tensor>>, Failure> {
        let texts = || items.iter().flat_map(|item| item.texts());
        let longest = texts().map(|text| text.tokens()).max().unwrap_or(0);
        let [spec] = specs else {
            return Err(invalid("mean pooling has one output"));
        };
        let width = spec.shape.get(1).and_then(|dim| usize::try_from(*dim).ok());
        let width = width.ok_or_else(|| invalid("mean pooling needs the width in the manifest"))?;
        let hidden = f32_output(outputs, OUTPUT, &[texts().count(), longest, width])?;
        let mut rows = hidden.chunks_exact((longest * width).max(1));
        let item = |item: &&Prepared| {
            let mut values = Vec::with_capacity(item.rows() * width);
            for (text, row) in item.texts().iter().zip(&mut rows) {
                values.extend(self.pool(&row[..text.tokens() * width], width));
            }
            let shape = vec![item.rows() as u64, width as u64];
            Ok(vec![Tensor::from_f32(&spec.name, shape, &values).map_err(unfit)?])
        };
        items.iter().map(item).collect()
    }

    fn pool(&self, tokens: &[f32], width: usize) -> Vec<f32> {
        let mut mean = vec![0.0; width];
        for token in tokens.chunks_exact(width) {
            mean.iter_mut().zip(token).for_each(|(sum, value)| *sum += value);
        }
        let divisor = match self.normalize {
            Normalize::None => (tokens.len() / width) as f32,
            // the mean's own divisor falls out of it
            Normalize::L2 => mean.iter().map(|value| value * value).sum::<f32>().sqrt(),
        };
        // an all-zero vector has no direction, and stays
        let divisor = if divisor > 0.0 { divisor } else { 1.0 };
        mean.iter_mut().for_each(|value| *value /= divisor);
        mean
    }
}
