//! `GET /v1/models`: what can be asked for, and how.

use axum::{
    body::Body,
    extract::{FromRequestParts, Path, State},
    http::{HeaderMap, Response, StatusCode, request::Parts},
};
use gristmill_models::{Catalog, ModelVersion, catalog::DEFAULT_ALIAS};
use gristmill_schemas::{
    ModelName, Refusal, RefusalCode,
    api::{Example, ModelList, ModelSummary, ModelView, Problem, VersionView},
};

use crate::{
    auth::{Call, May},
    http::{
        App, host,
        negotiate::{Media, encoded},
        problem::Reply,
    },
};

/// List models
#[utoipa::path(
    get,
    path = "/v1/models",
    operation_id = "list_models",
    tag = "models",
    responses((status = 200, description = "Every model, in short.", body = ModelList)),
)]
pub(crate) async fn list(
    State(app): State<App>,
    _caller: May<Call>,
    headers: HeaderMap,
) -> Result<Response<Body>, Reply> {
    let media = Media::accepted(&headers, &[Media::Json])?;
    Ok(encoded(StatusCode::OK, media, &summaries(&app.catalog)))
}

/// Read a model
///
/// Signature, versions, aliases, limits and an example request that works.
#[utoipa::path(
    get,
    path = "/v1/models/{name}",
    operation_id = "read_model",
    tag = "models",
    params(("name" = String, Path, description = "The model's name.")),
    responses(
        (status = 200, description = "The model.", body = ModelView),
        (status = 404, description = "There is no such model.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn read(
    State(app): State<App>,
    _caller: May<Call>,
    NamePath(name): NamePath,
    headers: HeaderMap,
) -> Result<Response<Body>, Reply> {
    let media = Media::accepted(&headers, &[Media::Json])?;
    let view = view(&app.catalog, &name, host::named(&headers)).ok_or_else(|| {
        let detail = format!("there is no model {name}");
        Refusal::new(RefusalCode::ModelNotFound, detail).at("name")
    })?;
    Ok(encoded(StatusCode::OK, media, &view))
}

/// The name in the path.
pub(crate) struct NamePath(ModelName);

impl FromRequestParts<App> for NamePath {
    type Rejection = Reply;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Reply> {
        let refused = |detail: String| Refusal::new(RefusalCode::InvalidName, detail).at("name");
        let path = Path::<String>::from_request_parts(parts, app).await;
        let Path(text) = path.map_err(|_| refused("the name is no text".to_owned()))?;
        let name: Result<ModelName, _> = text.parse();
        Ok(Self(name.map_err(|error| refused(error.to_string()))?))
    }
}

fn summaries(catalog: &Catalog) -> ModelList {
    let mut models: Vec<ModelSummary> = Vec::new();
    for version in catalog.versions() {
        let manifest = &version.manifest;
        // versions come by model
        if models.last().is_none_or(|last| last.name != manifest.name) {
            models.push(ModelSummary {
                name: manifest.name.clone(),
                description: manifest.description.clone(),
                versions: Vec::new(),
                aliases: catalog.aliases(&manifest.name).cloned().unwrap_or_default(),
                link: format!("/v1/models/{}", manifest.name),
            });
        }
        if let Some(model) = models.last_mut() {
            model.versions.push(manifest.version.clone());
            let default = model.aliases.iter().find(|(alias, _)| alias.as_str() == DEFAULT_ALIAS);
            if default.is_some_and(|(_, means)| *means == manifest.version) {
                model.description.clone_from(&manifest.description);
            }
        }
    }
    ModelList { models }
}

fn view(catalog: &Catalog, name: &ModelName, host: &str) -> Option<ModelView> {
    let aliases = catalog.aliases(name)?.clone();
    let versions = catalog.versions().filter(|version| version.manifest.name == *name);
    Some(ModelView {
        name: name.clone(),
        aliases,
        versions: versions.map(|version| version_view(version, host)).collect(),
    })
}

fn version_view(version: &ModelVersion, host: &str) -> VersionView {
    let manifest = &version.manifest;
    VersionView {
        version: manifest.version.clone(),
        description: manifest.description.clone(),
        license: manifest.license.clone(),
        artifact: manifest.model_digest(),
        inputs: manifest.inputs.clone(),
        outputs: manifest.outputs.clone(),
        limits: manifest.limits.clone(),
        batching: manifest.batching.clone(),
        example: Some(example(version, host)),
    }
}

fn example(version: &ModelVersion, host: &str) -> Example {
    let manifest = &version.manifest;
    let request = serde_json::json!({
        "model": manifest.name,
        "version": manifest.version,
        "inputs": manifest.examples,
    });
    // a shell's single quotes end at the next one, whatever is in between
    let body = request.to_string().replace('\'', r"'\''");
    let curl = format!(
        "curl -sS http://{host}/v1/jobs -H \"Authorization: Bearer $GRISTMILL_API_KEY\" \
         -H 'Content-Type: application/json' -H 'Prefer: wait=10' -d '{body}'"
    );
    Example { request, curl }
}
