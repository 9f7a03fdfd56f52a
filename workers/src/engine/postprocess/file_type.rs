//! Scores to a file's type, by the rules of `models/magika/README.md`, "After the model".

use std::collections::{BTreeMap, HashMap};

use gristmill_schemas::{
    Failure, Tensor,
    manifest::{Preprocess, TensorSpec},
};
use ort::session::SessionOutputs;
use serde::Deserialize;

use super::{Prepared, f32_output, invalid, unfit};
use crate::engine::{
    EngineError,
    artifacts::{CONFIG, CONTENT_TYPES},
    preprocess::File,
};

/// The output that holds the scores.
pub(super) const OUTPUT: &str = "target_label";

/// What is said of the graph's labels, in the order of its scores.
#[derive(Debug)]
pub(in crate::engine) struct FileType {
    labels: Vec<Label>,
}

/// What is said when the graph's best guess is this label.
#[derive(Debug)]
struct Label {
    /// From the threshold on.
    sure: String,
    threshold: f64,
    /// Below it.
    unsure: &'static str,
}

/// The artifact `config`.
#[derive(Deserialize)]
struct Config {
    target_labels_space: Vec<String>,
    thresholds: HashMap<String, f64>,
    overwrite_map: HashMap<String, String>,
    medium_confidence_threshold: f64,
    beg_size: u32,
    mid_size: u32,
    end_size: u32,
    block_size: u32,
    padding_token: i32,
    min_file_size_for_dl: u32,
    use_inputs_at_offsets: bool,
}

/// One entry of the artifact `content_types`.
#[derive(Deserialize)]
struct ContentType {
    is_text: bool,
}

/// One run's answer for one file.
struct Answer<'a> {
    label: &'a str,
    score: f32,
    /// Nothing for a file that the graph was not asked about.
    scores: &'a [f32],
}

impl FileType {
    pub(super) fn new(config: &[u8], content_types: &[u8], windows: &Preprocess) -> Result<Self, EngineError> {
        let config: Config =
            serde_json::from_slice(config).map_err(|error| EngineError::content(CONFIG, error.to_string()))?;
        if config.windows() != *windows || config.mid_size != 0 || config.use_inputs_at_offsets {
            let problem = "its windows are not those of the manifest's [preprocess]";
            return Err(EngineError::content(CONFIG, problem.to_owned()));
        }
        let types: BTreeMap<String, ContentType> = serde_json::from_slice(content_types)
            .map_err(|error| EngineError::content(CONTENT_TYPES, error.to_string()))?;
        let label = |name: &String| config.label(name, &types);
        let labels: Vec<_> = config.target_labels_space.iter().map(label).collect::<Result<_, _>>()?;
        if labels.is_empty() {
            return Err(EngineError::content(CONFIG, "it has no labels".to_owned()));
        }
        Ok(Self { labels })
    }

    pub(super) fn finish(
        &self,
        specs: &[TensorSpec],
        items: &[&Prepared],
        outputs: Option<&SessionOutputs<'_>>,
    ) -> Result<Vec<Vec<Tensor>>, Failure> {
        let [label, score, scores] = specs else {
            return Err(invalid("a file's type has three outputs: label, score, scores"));
        };
        let files = items.iter().flat_map(|item| item.files());
        let asked = files.filter(|file| matches!(file, File::Windows(_))).count();
        let values = match outputs {
            Some(outputs) => f32_output(outputs, OUTPUT, &[asked, self.labels.len()])?,
            None => &[],
        };
        let mut rows = values.chunks_exact(self.labels.len().max(1));
        let item = |item: &&Prepared| {
            let answers: Vec<_> = item.files().iter().map(|file| self.answer(file, &mut rows)).collect();
            let count = answers.len() as u64;
            let names: Vec<_> = answers.iter().map(|answer| answer.label).collect();
            let best: Vec<_> = answers.iter().map(|answer| answer.score).collect();
            let mut all = vec![0.0; answers.len() * self.labels.len()];
            for (row, answer) in all.chunks_exact_mut(self.labels.len().max(1)).zip(&answers) {
                row[..answer.scores.len()].copy_from_slice(answer.scores);
            }
            Ok(vec![
                Tensor::from_elements(&label.name, &names).map_err(unfit)?,
                Tensor::from_f32(&score.name, vec![count], &best).map_err(unfit)?,
                Tensor::from_f32(&scores.name, vec![count, self.labels.len() as u64], &all).map_err(unfit)?,
            ])
        };
        items.iter().map(item).collect()
    }

    fn answer<'a>(&'a self, file: &File, rows: &mut impl Iterator<Item = &'a [f32]>) -> Answer<'a> {
        let scores = match file {
            File::Known(label) => {
                return Answer {
                    label,
                    score: 1.0,
                    scores: &[],
                };
            }
            File::Windows(_) => rows.next().unwrap_or_default(),
        };
        // of equal scores the first
        let larger = |best: (usize, f32), (place, score): (usize, &f32)| {
            if *score > best.1 { (place, *score) } else { best }
        };
        let (place, score) = scores.iter().enumerate().fold((0, f32::NEG_INFINITY), larger);
        let label = &self.labels[place];
        let sure = f64::from(score) >= label.threshold;
        Answer {
            label: if sure { &label.sure } else { label.unsure },
            score,
            scores,
        }
    }
}

impl Config {
    /// The manifest's `[preprocess]` that goes with it.
    const fn windows(&self) -> Preprocess {
        Preprocess::FileWindows {
            beg_size: self.beg_size,
            end_size: self.end_size,
            block_size: self.block_size,
            padding_token: self.padding_token,
            min_file_size: self.min_file_size_for_dl,
        }
    }

    fn label(&self, name: &String, types: &BTreeMap<String, ContentType>) -> Result<Label, EngineError> {
        let sure = self.overwrite_map.get(name).unwrap_or(name);
        let kind = types
            .get(sure)
            .ok_or_else(|| EngineError::content(CONTENT_TYPES, format!("it says nothing of {sure:?}")))?;
        Ok(Label {
            sure: sure.clone(),
            threshold: *self.thresholds.get(name).unwrap_or(&self.medium_confidence_threshold),
            unsure: if kind.is_text { "txt" } else { "unknown" },
        })
    }
}
