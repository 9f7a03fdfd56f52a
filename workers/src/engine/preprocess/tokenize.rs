//! Texts to token ids: cut at `max_tokens`, padded to the longest of a run.

use gristmill_schemas::{Datatype, Failure, Tensor};
use ort::value::Tensor as Value;
use tokenizers::{Tokenizer, TruncationParams};

use super::{Feed, Prepared, invalid};

/// What models of this kind take.
pub(super) const GRAPH_INPUTS: [(&str, Datatype); 3] = [
    ("input_ids", Datatype::Int64),
    ("attention_mask", Datatype::Int64),
    ("token_type_ids", Datatype::Int64),
];

/// The special tokens at a text's beginning and end.
const SPECIAL_TOKENS: u32 = 2;

/// A tokenizer and where it cuts.
#[derive(Debug)]
pub(in crate::engine) struct Tokenize {
    tokenizer: Tokenizer,
    max_tokens: u32,
}

/// One text's tokens; none of them padding.
#[derive(Debug)]
pub(in crate::engine) struct Text {
    ids: Vec<u32>,
    type_ids: Vec<u32>,
}

impl Text {
    pub(in crate::engine) fn tokens(&self) -> usize {
        self.ids.len()
    }
}

impl Tokenize {
    /// Reads a `tokenizer.json`; its own padding and truncation are for training and do not count.
    pub(super) fn new(json: &[u8], max_tokens: u32) -> Result<Self, String> {
        let mut tokenizer = Tokenizer::from_bytes(json).map_err(|error| error.to_string())?;
        let truncation = TruncationParams {
            max_length: max_tokens as usize,
            ..TruncationParams::default()
        };
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(Some(truncation))
            .map_err(|error| error.to_string())?;
        Ok(Self { tokenizer, max_tokens })
    }

    pub(super) fn prepare(&self, texts: &Tensor) -> Result<Vec<Text>, Failure> {
        let text = |(row, bytes): (usize, bytes::Bytes)| {
            let text =
                std::str::from_utf8(&bytes).map_err(|_| invalid(format!("the text in row {row} is not UTF-8")))?;
            let encoding = self
                .tokenizer
                .encode_fast(text, true)
                .map_err(|error| invalid(format!("the text in row {row} cannot be tokenized: {error}")))?;
            Ok(Text {
                ids: encoding.get_ids().to_vec(),
                type_ids: encoding.get_type_ids().to_vec(),
            })
        };
        texts.elements().enumerate().map(text).collect()
    }

    /// About how many tokens the longest text has, by its bytes alone: a quarter for a letter or digit of ASCII, one for
    /// any other character. Tokenizing for the batcher, only to choose, would cost more than what a better choice gains.
    pub(super) fn estimate(&self, texts: &Tensor) -> u32 {
        let longest = texts.elements().map(|text| self.estimate_text(&text)).max();
        longest.unwrap_or(1).max(1)
    }

    fn estimate_text(&self, text: &[u8]) -> u32 {
        let quarters = |byte: &u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b' ' => 1,
            // the bytes of a character after its first
            0x80..=0xbf => 0,
            _ => 4,
        };
        let mut sum = 4 * SPECIAL_TOKENS;
        for byte in text {
            sum += quarters(byte);
            if sum >= 4 * self.max_tokens {
                return self.max_tokens;
            }
        }
        sum.div_ceil(4)
    }
}

pub(super) fn feed(items: &[&Prepared]) -> ort::Result<Feed> {
    let texts: Vec<_> = items.iter().flat_map(|item| item.texts()).collect();
    let (rows, longest) = (texts.len(), texts.iter().map(|text| text.tokens()).max().unwrap_or(0));
    let tensor = |row: fn(&Text) -> Box<dyn Iterator<Item = i64> + '_>| {
        let mut values = Vec::with_capacity(rows * longest);
        for text in &texts {
            values.extend(row(text));
            values.resize(values.len() + longest - text.tokens(), 0);
        }
        Value::from_array(([rows, longest], values))
    };
    Ok(vec![
        (
            "input_ids".into(),
            tensor(|text| Box::new(text.ids.iter().map(|id| i64::from(*id))))?.into(),
        ),
        (
            "attention_mask".into(),
            tensor(|text| Box::new(text.ids.iter().map(|_| 1)))?.into(),
        ),
        (
            "token_type_ids".into(),
            tensor(|text| Box::new(text.type_ids.iter().map(|id| i64::from(*id))))?.into(),
        ),
    ])
}
