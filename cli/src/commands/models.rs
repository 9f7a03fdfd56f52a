//! `gristmill models`: which models there are, and what one of them takes and gives.

use std::collections::BTreeMap;

use gristmill_schemas::{
    ModelName, VersionName,
    api::{ModelList, ModelView, VersionView},
    manifest::TensorSpec,
};

use crate::{
    cli::OutputArgs,
    client::ClientArgs,
    output::{Table, properties},
};

#[derive(Debug, clap::Args)]
pub(crate) struct ModelsCommand {
    /// Describe this one
    name: Option<ModelName>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    client: ClientArgs,
}

impl ModelsCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let client = self.client.client()?;
        match &self.name {
            None => {
                let list = client.models().await?;
                self.output.output.print(&list, || listed(&list))
            }
            Some(name) => {
                let model = client.model(name).await?;
                self.output.output.print(&model, || described(&model))
            }
        }
    }
}

fn listed(list: &ModelList) -> String {
    let mut table = Table::new(["name", "versions", "aliases", "description"].map(str::to_owned));
    for model in &list.models {
        let versions: Vec<_> = model.versions.iter().map(VersionName::as_str).collect();
        table.row([
            model.name.to_string(),
            versions.join(", "),
            aliases(&model.aliases),
            model.description.clone(),
        ]);
    }
    table.text()
}

fn described(model: &ModelView) -> String {
    let versions = model.versions.iter().map(|version| version_text(model, version));
    versions.collect::<Vec<_>>().join("\n\n")
}

fn version_text(model: &ModelView, version: &VersionView) -> String {
    let head = properties([
        ("model", model.name.to_string()),
        ("version", version.version.to_string()),
        ("aliases", aliases(&model.aliases)),
        ("description", version.description.clone()),
        ("license", version.license.clone().unwrap_or_default()),
        ("artifact", version.artifact.to_string()),
        ("most rows of a job", version.limits.max_rows.to_string()),
        ("rows of a batch", version.batching.max_batch_size.to_string()),
    ]);
    let mut tensors = Table::new(["", "name", "datatype", "shape", "description"].map(str::to_owned));
    for (direction, specs) in [("in", &version.inputs), ("out", &version.outputs)] {
        specs.iter().for_each(|spec| tensors.row(tensor(direction, spec)));
    }
    let example = version.example.as_ref().map(|example| format!("\n\n{}", example.curl));
    format!("{head}\n\n{}{}", tensors.text(), example.unwrap_or_default())
}

fn tensor(direction: &str, spec: &TensorSpec) -> [String; 5] {
    let dimensions = spec.shape.iter().map(|dimension| match dimension {
        -1 => "n".to_owned(),
        fixed => fixed.to_string(),
    });
    [
        direction.to_owned(),
        spec.name.clone(),
        spec.datatype.to_string(),
        format!("[{}]", dimensions.collect::<Vec<_>>().join(", ")),
        spec.description.clone(),
    ]
}

fn aliases(aliases: &BTreeMap<VersionName, VersionName>) -> String {
    let words = aliases.iter().map(|(alias, version)| format!("{alias} = {version}"));
    words.collect::<Vec<_>>().join(", ")
}
