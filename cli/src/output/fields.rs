//! A record of any shape, field by field.

use serde_json::Value;

use super::properties;

/// Every field of a record, by its path: so none is forgotten when the record gains one.
pub(crate) fn fields(record: &Value) -> String {
    let mut fields = Vec::new();
    flatten("", record, &mut fields);
    properties(fields.iter().map(|(path, value)| (path.as_str(), value.clone())))
}

fn flatten(path: &str, value: &Value, fields: &mut Vec<(String, String)>) {
    let below = |name: &str| {
        if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        }
    };
    match value {
        Value::Null => {}
        Value::Object(map) => map
            .iter()
            .for_each(|(name, value)| flatten(&below(name), value, fields)),
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.for_each(|(index, value)| flatten(&format!("{path}[{index}]"), value, fields));
        }
        Value::String(text) => fields.push((path.to_owned(), text.clone())),
        Value::Bool(_) | Value::Number(_) => fields.push((path.to_owned(), value.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_that_is_there_has_a_line() {
        let value = serde_json::json!({"a": {"b": 1, "none": null}, "list": [{"c": "x"}], "empty": {}});
        let mut fields = Vec::new();
        flatten("", &value, &mut fields);
        let lines: Vec<_> = fields.iter().map(|(path, value)| format!("{path}={value}")).collect();
        assert_eq!(lines, ["a.b=1", "list[0].c=x"]);
    }
}
