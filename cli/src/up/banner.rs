//! What people are told once everything is ready: where it is, and a command that works as it stands.

use gristmill_models::catalog::DEFAULT_ALIAS;
use gristmill_schemas::api::ModelView;

use super::{data_dir::DataDir, dev_key::TENANT, ready::Access};
use crate::client::Client;

/// What stands for the key in the examples that the ingest gives.
const KEY_VARIABLE: &str = "$GRISTMILL_API_KEY";

/// The text.
///
/// # Errors
/// The ingest cannot be asked for an example.
pub(super) async fn of(access: &Access, data_dir: &DataDir, client: &Client) -> anyhow::Result<String> {
    let Access {
        url,
        admin_url,
        api_key,
        nats_url,
        redis_url,
    } = access;
    let key_file = data_dir.dev_key().0;
    let (key_file, redis_url_file) = (key_file.display(), data_dir.redis_url());
    let redis_url_file = redis_url_file.display();
    let operator_token = data_dir.operator_token();
    let operator_token = operator_token.display();
    let mut text = format!(
        "\nGristmill is ready.\n  HTTP API  {url} (every route: {url}/docs)\n  admin     {admin_url}/metrics (/operator there takes the token in {operator_token})\n  \
         NATS      {nats_url}\n  Redis     {redis_url} (for gristmill keys, tenants, readers and webhooks: \
         --redis-url @{redis_url_file})\n  API key   {api_key} (tenant {TENANT}, kept in {key_file})\n"
    );
    if let Some(curl) = example(client).await? {
        let curl = curl.replace(KEY_VARIABLE, api_key);
        text.push_str(&format!("\nTry:\n  {curl}\n"));
    }
    text.push_str("\nCtrl-C finishes what was begun and ends everything.\n");
    Ok(text)
}

/// A call that works, of the first model there is.
async fn example(client: &Client) -> anyhow::Result<Option<String>> {
    let Some(first) = client.models().await?.models.into_iter().next() else {
        return Ok(None);
    };
    let model = client.model(&first.name).await?;
    Ok(of_default(model))
}

fn of_default(model: ModelView) -> Option<String> {
    let default = model.aliases.iter().find(|(alias, _)| alias.as_str() == DEFAULT_ALIAS);
    let version = default.map(|(_, version)| version.clone());
    let versions = model.versions.into_iter();
    let mut chosen = versions.filter(|view| version.as_ref().is_none_or(|version| view.version == *version));
    chosen.next()?.example.map(|example| example.curl)
}
