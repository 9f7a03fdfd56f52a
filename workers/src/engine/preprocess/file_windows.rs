//! Files to the windows at their beginning and end, by the rules of `models/magika/README.md`, "Before the model".

use gristmill_schemas::{Datatype, Tensor};
use ort::value::Tensor as Value;

use super::{Feed, Prepared};

/// What models of this kind take.
pub(super) const GRAPH_INPUTS: [(&str, Datatype); 1] = [("bytes", Datatype::Int32)];

/// The manifest's `[preprocess]`.
#[derive(Debug)]
pub(in crate::engine) struct FileWindows {
    pub(super) beg_size: usize,
    pub(super) end_size: usize,
    pub(super) block_size: usize,
    pub(super) padding_token: i32,
    pub(super) min_file_size: usize,
}

/// One file, ready for the graph or not in need of it.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::engine) enum File {
    /// Its type is known without the graph.
    Known(&'static str),
    /// The graph's row.
    Windows(Vec<i32>),
}

impl FileWindows {
    pub(super) fn prepare(&self, contents: &Tensor) -> Vec<File> {
        contents.elements().map(|content| self.file(&content)).collect()
    }

    fn file(&self, content: &[u8]) -> File {
        if content.is_empty() {
            return File::Known("empty");
        }
        if content.len() < self.min_file_size {
            return File::Known(few_bytes(content));
        }
        let block = self.block_size.min(content.len());
        let (first, last) = (&content[..block], &content[content.len() - block..]);
        let beginning = &first[first.iter().take_while(|byte| is_space(**byte)).count()..];
        let beginning = &beginning[..beginning.len().min(self.beg_size)];
        if beginning.len() < self.min_file_size {
            return File::Known(few_bytes(first));
        }
        let end = &last[..last.len() - last.iter().rev().take_while(|byte| is_space(**byte)).count()];
        let end = &end[end.len().saturating_sub(self.end_size)..];

        let mut row = Vec::with_capacity(self.beg_size + self.end_size);
        row.extend(beginning.iter().map(|byte| i32::from(*byte)));
        row.resize(self.beg_size + self.end_size - end.len(), self.padding_token);
        row.extend(end.iter().map(|byte| i32::from(*byte)));
        File::Windows(row)
    }
}

/// White space as the model's own tool means it; `u8::is_ascii_whitespace` leaves out the vertical tab.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn few_bytes(content: &[u8]) -> &'static str {
    if std::str::from_utf8(content).is_ok() {
        "txt"
    } else {
        "unknown"
    }
}

pub(super) fn feed(items: &[&Prepared]) -> ort::Result<Feed> {
    let files = items.iter().flat_map(|item| item.files());
    let windows: Vec<&[i32]> = files
        .filter_map(|file| match file {
            File::Windows(row) => Some(&row[..]),
            File::Known(_) => None,
        })
        .collect();
    let Some(first) = windows.first() else {
        return Ok(Feed::new());
    };
    let shape = [windows.len(), first.len()];
    Ok(vec![(
        "bytes".into(),
        Value::from_array((shape, windows.concat()))?.into(),
    )])
}
