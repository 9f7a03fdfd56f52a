//! The page at `/docs`, rendered from the OpenAPI document when the server starts: it needs nothing from anywhere else.

mod markup;
mod operation;
mod schema;

use serde_json::Value;

use markup::{Markup, escaped, prose};

const STYLE: &str = include_str!("docs/style.css");

/// How to begin: what a reader can copy.
const FIRST_STEPS: &str = r#"export GRISTMILL_API_KEY=gm_…

# submit, and wait up to ten seconds for the outcome
curl -sS {server}/v1/jobs \
  -H "Authorization: Bearer $GRISTMILL_API_KEY" \
  -H 'Content-Type: application/json' -H 'Prefer: wait=10' \
  -d '{"model":"identity","inputs":[{"name":"x","datatype":"FP32","shape":[1,3],"data":[1.5,2,3]}]}'

# read a job, wait for its end, follow it
curl -sS {server}/v1/jobs/$ID?wait=10s -H "Authorization: Bearer $GRISTMILL_API_KEY"
curl -sSN {server}/v1/jobs/$ID/events -H "Authorization: Bearer $GRISTMILL_API_KEY"

# an example that works for every model
curl -sS {server}/v1/models/minilm -H "Authorization: Bearer $GRISTMILL_API_KEY""#;

/// The page, for a client who found us at the usual host.
pub(crate) fn page(document: &Value) -> String {
    let operations = operation::all(document);
    let mut page = Markup::default();
    let title = escaped(document["info"]["title"].as_str().unwrap_or_default());
    page.raw("<!doctype html><html lang=en><meta charset=utf-8>");
    page.raw("<meta name=viewport content='width=device-width,initial-scale=1'>");
    page.raw(&format!("<title>{title} API</title><style>{STYLE}</style>"));
    navigation(&mut page, &title, &operations);
    page.raw("<main>");
    head(&mut page, document, &title);
    for operation in &operations {
        operation.write(&mut page, document);
    }
    schema::write_all(&mut page, document);
    problems(&mut page, document);
    page.raw("</main></html>");
    page.finish()
}

fn navigation(page: &mut Markup, title: &str, operations: &[operation::Operation<'_>]) {
    page.raw(&format!("<nav><a class=home href='#top'>{title}</a>"));
    for operation in operations {
        page.raw(&format!(
            "<a href='#{}'><b class='method {}'>{}</b> {}</a>",
            operation.anchor(),
            operation.method,
            operation.method,
            escaped(operation.path),
        ));
    }
    page.raw(
        "<a href='#schemas'>Schemas</a><a href='#problems'>Errors</a><a href='/openapi.json'>openapi.json</a></nav>",
    );
}

fn head(page: &mut Markup, document: &Value, title: &str) {
    let info = &document["info"];
    let version = escaped(info["version"].as_str().unwrap_or_default());
    page.raw(&format!("<header id=top><h1>{title} <small>{version}</small></h1>"));
    page.raw(&prose(info["description"].as_str().unwrap_or_default()));
    let key = &document["components"]["securitySchemes"]["api_key"];
    page.raw("<p>Every request under <code>/v1</code> carries an API key: <code>Authorization: Bearer ");
    page.raw(&escaped(key["bearerFormat"].as_str().unwrap_or_default()));
    page.raw("</code>, or the same in <code>X-Api-Key</code>.</p>");
    let steps = FIRST_STEPS.replace("{server}", &format!("http://{}", super::host::USUAL));
    page.raw(&format!("<pre>{}</pre></header>", escaped(&steps)));
}

fn problems(page: &mut Markup, document: &Value) {
    page.raw("<section id=problems><h2>Errors</h2>");
    page.raw("<p>Every error is a problem document (RFC 9457, <code>application/problem+json</code>). ");
    page.raw("Branch on <code>code</code>; 429 and 503 say in <code>Retry-After</code> when to come back.</p>");
    page.raw("<div class=scroll><table><tr><th>code<th>status<th>meaning</tr>");
    for row in document[super::openapi::PROBLEMS].as_array().into_iter().flatten() {
        let (code, title) = (row["code"].as_str(), row["title"].as_str());
        page.raw(&format!(
            "<tr><td><code>{}</code><td>{}<td>{}</tr>",
            escaped(code.unwrap_or_default()),
            row["status"],
            escaped(title.unwrap_or_default()),
        ));
    }
    page.raw("</table></div></section>");
}

#[cfg(test)]
mod tests {
    use gristmill_schemas::RefusalCode;

    use super::*;

    fn rendered() -> (Value, String) {
        let (_, document) = super::super::documented().split_for_parts();
        let document = super::super::openapi::finished(document);
        let page = page(&document);
        (document, page)
    }

    #[test]
    fn page_names_every_route_schema_and_code_and_needs_nothing_from_elsewhere() {
        let (document, page) = rendered();
        for path in document["paths"].as_object().unwrap().keys() {
            assert!(page.contains(&escaped(path)), "{path}");
        }
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            assert!(page.contains(&format!("id='schema-{name}'")), "{name}");
        }
        for code in RefusalCode::ALL {
            assert!(page.contains(&format!("<code>{code}</code>")), "{code}");
        }
        for foreign in ["<script", "src=", "@import", "url(", "<link"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn every_link_within_the_page_has_its_place() {
        let (_, page) = rendered();
        for link in page.split("href='#").skip(1) {
            let target = link.split('\'').next().unwrap();
            let there = page.contains(&format!("id='{target}'")) || page.contains(&format!("id={target}>"));
            assert!(there, "{target}");
        }
    }

    #[test]
    fn lines_are_sent_as_lines_and_their_fields_named() {
        let (_, page) = rendered();
        let section = page.split("id='schema-BulkLine'").nth(1).unwrap();
        let section = section.split("</article>").next().unwrap();
        assert!(section.contains("#schema-InferRequest") && section.contains("<code>idempotency_key</code>"));
        assert!(page.contains("-T requests.ndjson") && page.matches("-T requests").count() == 1);
    }
}
