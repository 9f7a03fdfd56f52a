//! A tensor's rows in few characters. What the numbers mean is the model's affair: only the shape decides here.

use gristmill_schemas::{Datatype, Tensor, api::Output};
use serde_json::Value;

/// Longer rows are shown by their first elements and their length.
const SHOWN: usize = 4;
/// Longer texts are cut off.
const LONGEST_TEXT: usize = 60;

/// One text a row.
pub(super) fn rows(output: &Output) -> Vec<String> {
    let tensor = &output.0;
    let width = width(tensor);
    let elements = elements(tensor);
    let row = |index: usize| {
        let row = &elements[index * width..(index + 1) * width];
        match row {
            [only] if tensor.shape().len() < 2 => only.clone(),
            row if row.len() <= SHOWN => format!("[{}]", row.join(", ")),
            row => format!("[{}, …] ({} values)", row[..SHOWN].join(", "), row.len()),
        }
    };
    let rows = usize::try_from(tensor.rows()).unwrap_or_default();
    (0..rows).map(row).collect()
}

/// Elements of one row.
fn width(tensor: &Tensor) -> usize {
    let inner = tensor.shape().iter().skip(1).product::<u64>();
    usize::try_from(inner).unwrap_or_default()
}

fn elements(tensor: &Tensor) -> Vec<String> {
    if tensor.datatype() == Datatype::Bytes {
        return tensor.elements().map(|element| text(&element)).collect();
    }
    let value = serde_json::to_value(Output(tensor.clone())).unwrap_or_default();
    let data = value.get("data").and_then(Value::as_array);
    data.into_iter().flatten().map(number).collect()
}

fn text(element: &[u8]) -> String {
    let text = String::from_utf8_lossy(element);
    if text.chars().count() <= LONGEST_TEXT {
        return text.into_owned();
    }
    text.chars().take(LONGEST_TEXT - 1).chain(['…']).collect()
}

/// Four places are enough for people; programs read JSON.
fn number(value: &Value) -> String {
    match value {
        Value::Number(number) if number.is_f64() => number
            .as_f64()
            .map_or_else(|| number.to_string(), |float| format!("{float:.4}")),
        // JSON cannot write it
        Value::Null => "NaN".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_short_whatever_their_shape() {
        let labels = Tensor::from_elements("label", &["rust", "zip"]).unwrap();
        assert_eq!(rows(&Output(labels)), ["rust", "zip"]);
        let scores = Tensor::from_f32("score", vec![2], &[0.5, 0.123_456]).unwrap();
        assert_eq!(rows(&Output(scores)), ["0.5000", "0.1235"]);
        let pairs = Tensor::from_f32("y", vec![2, 2], &[1.0, 2.0, 3.0, f32::NAN]).unwrap();
        assert_eq!(rows(&Output(pairs)), ["[1.0000, 2.0000]", "[3.0000, NaN]"]);
        let wide = Tensor::from_f32("embedding", vec![1, 5], &[0.0; 5]).unwrap();
        assert_eq!(rows(&Output(wide)), ["[0.0000, 0.0000, 0.0000, 0.0000, …] (5 values)"]);
    }

    #[test]
    fn tensor_without_elements_has_rows_all_the_same() {
        let empty = Tensor::from_f32("y", vec![2, 0], &[]).unwrap();
        assert_eq!(rows(&Output(empty)), ["[]", "[]"]);
    }
}
