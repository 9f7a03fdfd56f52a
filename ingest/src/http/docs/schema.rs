//! The schemas on the page: fields, their types and what they mean.

use serde_json::Value;

use super::markup::{Markup, escaped, inline, prose};

/// Writes every schema, by name.
pub(crate) fn write_all(page: &mut Markup, document: &Value) {
    page.raw("<section id=schemas><h2>Schemas</h2>");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        page.raw(&format!("<article id='schema-{0}'><h3>{0}</h3>", escaped(name)));
        page.raw(&prose(schema["description"].as_str().unwrap_or_default()));
        match schema["allOf"].as_array() {
            Some(parts) => parts.iter().for_each(|part| write_one(page, part)),
            None => write_one(page, schema),
        }
        page.raw("</article>");
    }
    page.raw("</section>");
}

/// A schema's fields, or in one line what it is.
fn write_one(page: &mut Markup, schema: &Value) {
    match schema["properties"].as_object() {
        Some(fields) => write_fields(page, fields, &schema["required"]),
        None => page.raw(&format!("<p>{}</p>", link(schema))),
    }
}

fn write_fields(page: &mut Markup, fields: &serde_json::Map<String, Value>, required: &Value) {
    let needed = |name: &str| required.as_array().into_iter().flatten().any(|field| field == name);
    page.raw("<div class=scroll><table><tr><th>field<th>type<th>meaning</tr>");
    for (name, field) in fields {
        let optional = if needed(name) { "" } else { " <i>optional</i>" };
        page.raw(&format!(
            "<tr><td><code>{}</code>{optional}<td>{}<td>{}</tr>",
            escaped(name),
            link(field),
            inline(described(field)),
        ));
    }
    page.raw("</table></div>");
}

/// A field's own description; an optional reference carries it beside the reference.
fn described(field: &Value) -> &str {
    let beside = field["oneOf"]
        .as_array()
        .into_iter()
        .flatten()
        .find_map(|one| one["description"].as_str());
    field["description"].as_str().or(beside).unwrap_or_default()
}

/// A type in words, with links to the schemas it names.
pub(crate) fn link(schema: &Value) -> String {
    if let Some(name) = schema["$ref"]
        .as_str()
        .and_then(|reference| reference.rsplit('/').next())
    {
        return format!("<a href='#schema-{0}'>{0}</a>", escaped(name));
    }
    for several in ["oneOf", "anyOf", "allOf"] {
        if let Some(all) = schema[several].as_array() {
            let words: Vec<_> = all.iter().filter(|one| one["type"] != "null").map(link).collect();
            return words.join(" or ");
        }
    }
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<_> = words
            .iter()
            .filter_map(Value::as_str)
            .map(|word| format!("<code>{}</code>", escaped(word)))
            .collect();
        return words.join(" · ");
    }
    match kind(schema) {
        "array" => format!("list of {}", link(&schema["items"])),
        "object" if schema["additionalProperties"].is_object() => {
            format!("map of {}", link(&schema["additionalProperties"]))
        }
        "" => "any JSON".to_owned(),
        kind => format!("{kind}{}", details(schema)),
    }
}

fn kind(schema: &Value) -> &str {
    let types = schema["type"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    schema["type"]
        .as_str()
        .or_else(|| types.into_iter().find(|kind| *kind != "null"))
        .unwrap_or_default()
}

fn details(schema: &Value) -> String {
    let words = ["format", "pattern"].iter().filter_map(|name| schema[*name].as_str());
    let words: Vec<_> = words.map(|word| format!("<code>{}</code>", escaped(word))).collect();
    let example = schema["examples"][0]
        .as_str()
        .map(|word| format!("as in <code>{}</code>", escaped(word)));
    let all: Vec<_> = words.into_iter().chain(example).collect();
    if all.is_empty() {
        String::new()
    } else {
        format!(" ({})", all.join(", "))
    }
}
