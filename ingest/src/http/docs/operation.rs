//! One operation on the page: its parameters, its body, its answers, and how curl asks for it.

use serde_json::Value;

use super::{
    super::host::USUAL,
    markup::{Markup, escaped, inline, prose},
    schema,
};

/// One method of one path.
pub(crate) struct Operation<'d> {
    /// In lower case.
    pub(crate) method: &'d str,
    /// With its parameters in braces.
    pub(crate) path: &'d str,
    words: &'d Value,
}

/// Every operation: jobs first, in the order of their paths.
pub(crate) fn all(document: &Value) -> Vec<Operation<'_>> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for (method, words) in item.as_object().into_iter().flatten() {
            operations.push(Operation { method, path, words });
        }
    }
    operations.sort_by_key(|operation| (operation.words["tags"][0].as_str(), operation.path));
    operations
}

impl Operation<'_> {
    /// Its place on the page.
    pub(crate) fn anchor(&self) -> String {
        let place: String = self
            .path
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || *c == '/')
            .collect();
        format!("{}{}", self.method, place.replace('/', "-"))
    }

    /// Writes its section.
    pub(crate) fn write(&self, page: &mut Markup, document: &Value) {
        let summary = self.words["summary"].as_str().unwrap_or_default();
        page.raw(&format!("<section id='{}'><h2>{}</h2>", self.anchor(), inline(summary)));
        page.raw(&format!(
            "<p class=route><b class='method {0}'>{0}</b> <code>{1}</code></p>",
            self.method,
            escaped(self.path),
        ));
        page.raw(&prose(self.words["description"].as_str().unwrap_or_default()));
        self.parameters(page);
        self.body(page);
        self.answers(page, document);
        page.raw(&format!("<pre>{}</pre></section>", escaped(&self.curl())));
    }

    fn parameters(&self, page: &mut Markup) {
        let Some(parameters) = self.words["parameters"].as_array().filter(|all| !all.is_empty()) else {
            return;
        };
        page.raw("<h3>Parameters</h3><div class=scroll><table><tr><th>name<th>in<th>meaning</tr>");
        for parameter in parameters {
            let required = if parameter["required"] == true {
                ""
            } else {
                " <i>optional</i>"
            };
            page.raw(&format!(
                "<tr><td><code>{}</code>{required}<td>{}<td>{}</tr>",
                escaped(parameter["name"].as_str().unwrap_or_default()),
                escaped(parameter["in"].as_str().unwrap_or_default()),
                inline(parameter["description"].as_str().unwrap_or_default()),
            ));
        }
        page.raw("</table></div>");
    }

    fn body(&self, page: &mut Markup) {
        let body = &self.words["requestBody"];
        if body.is_null() {
            return;
        }
        page.raw("<h3>Body</h3>");
        page.raw(&prose(body["description"].as_str().unwrap_or_default()));
        page.raw(&format!("<p>{}</p>", contents(&body["content"])));
    }

    fn answers(&self, page: &mut Markup, document: &Value) {
        page.raw("<h3>Answers</h3><div class=scroll><table><tr><th>status<th>meaning<th>body</tr>");
        for (status, answer) in self.words["responses"].as_object().into_iter().flatten() {
            let answer = resolved(document, answer);
            let kind = status.chars().next().filter(char::is_ascii_digit).unwrap_or('x');
            page.raw(&format!(
                "<tr><td><b class='status s{kind}'>{}</b><td>{}{}<td>{}</tr>",
                escaped(status),
                inline(answer["description"].as_str().unwrap_or_default()),
                headers(&answer["headers"]),
                contents(&answer["content"]),
            ));
        }
        page.raw("</table></div>");
    }

    fn curl(&self) -> String {
        let path = self.path.replace("{id}", "$ID").replace("{name}", "minilm");
        let method = if self.method == "post" { " -X POST" } else { "" };
        let stream = if path.ends_with("/events") { "N" } else { "" };
        let key = "-H \"Authorization: Bearer $GRISTMILL_API_KEY\"";
        let media = self.words["requestBody"]["content"].as_object();
        let body = match media.map(|media| media.contains_key("application/json")) {
            None => "",
            Some(true) => " \\\n  -H 'Content-Type: application/json' -d @request.json",
            // -d would take the ends of the lines out
            Some(false) => " \\\n  -H 'Content-Type: application/x-ndjson' -T requests.ndjson",
        };
        format!("curl -sS{stream}{method} http://{USUAL}{path} \\\n  {key}{body}")
    }
}

/// Follows a reference into the document.
fn resolved<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    let target = value["$ref"]
        .as_str()
        .and_then(|reference| document.pointer(reference.trim_start_matches('#')));
    target.unwrap_or(value)
}

fn headers(headers: &Value) -> String {
    let lines = headers.as_object().into_iter().flatten().map(|(name, header)| {
        let words = inline(header["description"].as_str().unwrap_or_default());
        format!("<br><code>{}</code> {words}", escaped(name))
    });
    lines.collect()
}

/// Media types, each with its schema; types that share one stand together.
fn contents(content: &Value) -> String {
    let mut lines: Vec<(String, Vec<String>)> = Vec::new();
    for (media, words) in content.as_object().into_iter().flatten() {
        let (schema, media) = (
            schema::link(&words["schema"]),
            format!("<code>{}</code>", escaped(media)),
        );
        match lines.iter_mut().find(|(seen, _)| *seen == schema) {
            Some((_, medias)) => medias.push(media),
            None => lines.push((schema, vec![media])),
        }
    }
    let lines: Vec<_> = lines
        .into_iter()
        .map(|(schema, medias)| format!("{schema} as {}", medias.join(" or ")))
        .collect();
    lines.join("<br>")
}
