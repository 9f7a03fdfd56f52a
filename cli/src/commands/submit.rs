//! `gristmill submit`: files, texts or ready-made inputs become a job; its result is shown if it comes in time.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use gristmill_schemas::{
    Datatype, InferRequest, JobState, Lane, ModelName, Span, Tensor, VersionName, WebhookUrl,
    api::{JobView, ModelView, VersionView},
    manifest::TensorSpec,
};
use serde_json::{Value, json};

use crate::{
    cli::OutputArgs,
    client::{Client, ClientArgs},
    exit::NotSucceeded,
    output,
    refused::Refused,
};

/// Longer texts are named by their beginning.
const LONGEST_NAME: usize = 40;

#[derive(Debug, clap::Args)]
pub(crate) struct SubmitCommand {
    /// The model
    #[arg(long, value_name = "NAME")]
    model: ModelName,
    /// A version or an alias [default: the model's default]
    #[arg(long, value_name = "VERSION")]
    version: Option<VersionName>,
    #[command(flatten)]
    inputs: InputArgs,
    /// Where the job waits: interactive or batch
    #[arg(long, default_value_t, value_name = "LANE")]
    lane: Lane,
    /// When the job expires if it has not ended [default: the server's]
    #[arg(long, value_name = "TIME")]
    deadline: Option<Span>,
    /// Where the end of the job is to be told; the tenant needs webhooks for it
    #[arg(long, value_name = "URL")]
    webhook: Option<WebhookUrl>,
    /// How long to wait for the job's end
    #[arg(long, default_value = "30s", value_name = "TIME")]
    wait: Span,
    /// Do not wait: show the job's id at once
    #[arg(long, conflicts_with = "wait")]
    no_wait: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    client: ClientArgs,
}

/// Where the inputs come from.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct InputArgs {
    /// A file for the model's one BYTES input; may be repeated
    #[arg(long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A text for the model's one BYTES input; may be repeated
    #[arg(long = "text", value_name = "TEXT")]
    texts: Vec<String>,
    /// A JSON file of inputs: [{name, shape, datatype, data}, …]; - is stdin
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl SubmitCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let client = self.client.client()?;
        let names = self.inputs.names();
        let inputs = self.inputs(&client).await?;
        let request = InferRequest {
            version: self.version.clone(),
            lane: self.lane,
            deadline: self.deadline,
            webhook: self.webhook.clone(),
            ..InferRequest::new(self.model.clone(), inputs)
        };
        let wait = if self.no_wait {
            Duration::ZERO
        } else {
            self.wait.as_duration()
        };
        let started = tokio::time::Instant::now();
        let accepted = client.submit(&request, wait).await?;
        let left = wait.saturating_sub(started.elapsed());
        let job = client.ended(accepted, left).await?;
        self.output.output.print(&job, || output::of_job(&job, &names))?;
        told(&job)
    }

    async fn inputs(&self, client: &Client) -> anyhow::Result<Vec<Tensor>> {
        if let Some(path) = &self.inputs.json {
            return self.ready_made(&read(path)?);
        }
        let model = client.model(&self.model).await?;
        let input = bytes_input(&model, self.version.as_ref())?;
        let elements = self.inputs.elements()?;
        Ok(vec![Tensor::from_elements(&input.name, &elements)?])
    }

    /// Goes the way of a whole request, so that it is read by the same rules.
    fn ready_made(&self, text: &[u8]) -> anyhow::Result<Vec<Tensor>> {
        let inputs: Value = serde_json::from_slice(text).context("--json: no JSON")?;
        let body = serde_json::to_vec(&json!({ "model": self.model, "inputs": inputs }))?;
        let request = InferRequest::from_json(&body, usize::MAX).map_err(Refused::from)?;
        Ok(request.inputs)
    }
}

impl InputArgs {
    /// What the rows of the result are called.
    fn names(&self) -> Vec<String> {
        let files = self.files.iter().map(|path| path.display().to_string());
        files.chain(self.texts.iter().map(|text| beginning(text))).collect()
    }

    fn elements(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        let files = self.files.iter().map(|path| read(path));
        let texts = self.texts.iter().map(|text| Ok(text.clone().into_bytes()));
        files.chain(texts).collect()
    }
}

/// The one input that files and texts can be for.
fn bytes_input<'a>(model: &'a ModelView, version: Option<&VersionName>) -> anyhow::Result<&'a TensorSpec> {
    let view = view(model, version)?;
    match view.inputs.as_slice() {
        [input] if input.datatype == Datatype::Bytes => Ok(input),
        inputs => {
            let inputs: Vec<_> = inputs
                .iter()
                .map(|input| format!("{} {}", input.name, input.datatype))
                .collect();
            bail!(
                "model {} takes no files or texts but {}: give its inputs by --json",
                model.name,
                inputs.join(", ")
            )
        }
    }
}

fn view<'a>(model: &'a ModelView, version: Option<&VersionName>) -> anyhow::Result<&'a VersionView> {
    let word = version.map_or("default", VersionName::as_str);
    let meant = model.aliases.iter().find(|(alias, _)| alias.as_str() == word);
    let meant = meant.map_or(word, |(_, meant)| meant.as_str());
    let found = model.versions.iter().find(|view| view.version.as_str() == meant);
    found.with_context(|| format!("model {} has no version or alias {word}", model.name))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes).context("read stdin")?;
        return Ok(bytes);
    }
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

fn beginning(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= LONGEST_NAME && line.len() == text.len() {
        return line.to_owned();
    }
    line.chars().take(LONGEST_NAME).chain(['…']).collect()
}

/// A job that has ended badly is a bad end for a script as well.
pub(super) fn told(job: &JobView) -> anyhow::Result<()> {
    match job.status {
        JobState::Succeeded => Ok(()),
        JobState::Queued => {
            eprintln!("not ended yet; follow it with: gristmill job watch {}", job.id);
            Ok(())
        }
        state @ (JobState::Failed | JobState::Expired | JobState::Cancelled) => Err(NotSucceeded(state).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_named_by_files_or_by_the_beginning_of_texts() {
        let args = InputArgs {
            files: vec!["a/b.rs".into()],
            texts: vec!["short".to_owned(), format!("{}\nmore", "x".repeat(50))],
            json: None,
        };
        assert_eq!(args.names(), ["a/b.rs", "short", &format!("{}…", "x".repeat(40))]);
    }
}
