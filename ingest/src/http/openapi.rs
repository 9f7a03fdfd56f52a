//! The OpenAPI document: what the routes say of themselves, and what holds for all of them.

use gristmill_schemas::{RefusalCode, api, progress::ProgressView};
use serde_json::{Value, json};
use utoipa::{OpenApi, openapi};

/// Where the document lists every code of a problem.
pub(crate) const PROBLEMS: &str = "x-gristmill-problems";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Gristmill",
        description = "A durable inference pipeline: submit a job, get an id at once, and its result with its lineage when it is there. Nothing that was accepted is lost; every job ends as `succeeded`, `failed`, `expired` or `cancelled`, exactly once.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "jobs", description = "Submitting jobs and what becomes of them."),
        (name = "dead letters", description = "Jobs that failed: reading, redriving and dropping them."),
        (name = "webhooks", description = "Being called when jobs end (Standard Webhooks): what was sent, what became of it, sending it again."),
        (name = "models", description = "What can be asked for."),
    ),
    components(schemas(api::Problem, ProgressView)),
)]
struct Head;

/// The document before any route.
pub(crate) fn head() -> openapi::OpenApi {
    Head::openapi()
}

/// The document with what holds for every route: API keys, and problems as the answer to everything else.
pub(crate) fn finished(document: openapi::OpenApi) -> Value {
    let mut document = serde_json::to_value(document).expect("the document is plain data");
    document["components"]["securitySchemes"] = json!({
        "api_key": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "gm_<id>_<secret>",
            "description": "An API key. The header X-Api-Key takes it as well.",
        },
    });
    document["security"] = json!([{ "api_key": [] }]);
    document["components"]["responses"] = json!({
        "Problem": {
            "description": "Anything else: a problem document (RFC 9457) with a stable code.",
            "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
        },
    });
    for operation in operations(&mut document) {
        operation["responses"]["default"] = json!({ "$ref": "#/components/responses/Problem" });
    }
    document[PROBLEMS] = problems();
    document
}

fn operations(document: &mut Value) -> impl Iterator<Item = &mut Value> {
    let paths = document["paths"]
        .as_object_mut()
        .into_iter()
        .flat_map(serde_json::Map::values_mut);
    paths
        .filter_map(Value::as_object_mut)
        .flat_map(serde_json::Map::values_mut)
}

/// Every code with its status and its sentence.
fn problems() -> Value {
    let rows = RefusalCode::ALL.iter().map(|code| {
        let row = code.row();
        json!({ "code": row.word, "status": row.http, "title": row.title })
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use gristmill_schemas::InferRequest;

    use super::*;

    fn document() -> Value {
        let (_, document) = super::super::documented().split_for_parts();
        finished(document)
    }

    fn references<'v>(value: &'v Value, found: &mut BTreeSet<&'v str>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.len() > 10, "{found:?}");
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn every_operation_has_an_id_of_its_own_a_summary_and_the_default_problem() {
        let mut document = document();
        let mut ids = BTreeSet::new();
        for operation in operations(&mut document) {
            assert!(operation["summary"].is_string(), "{operation}");
            assert!(operation["responses"]["default"].is_object(), "{operation}");
            assert!(ids.insert(operation["operationId"].to_string()), "{operation}");
        }
        assert_eq!(ids.len(), 21);
    }

    /// The body is read by hand, so nothing but this ties its description to what is read.
    #[test]
    fn described_fields_of_a_request_are_those_that_are_read() {
        let document = document();
        let fields = document["components"]["schemas"]["InferRequest"]["properties"]
            .as_object()
            .unwrap();
        let known: BTreeSet<_> = fields.keys().map(String::as_str).collect();
        let all = [
            "model",
            "version",
            "inputs",
            "lane",
            "deadline",
            "provenance",
            "metadata",
            "webhook",
        ];
        assert_eq!(known, BTreeSet::from(all));
        for field in all {
            let body = json!({ field: null });
            let refusal = InferRequest::from_json(body.to_string().as_bytes(), 1).unwrap_err();
            assert_ne!(refusal.code, RefusalCode::UnknownField, "{field}");
        }
    }
}
