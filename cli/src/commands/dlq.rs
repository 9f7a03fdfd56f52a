//! `gristmill dlq`: the dead letters of failed jobs.

use gristmill_schemas::{
    FailureCode, JobId, ModelName, VersionName,
    dead_letter::{DeadLetter, DeadLetterPage, DeadLetterResult, DeadLetterResults, DropMany, MAX_IDS, RedriveMany},
};

use crate::{
    cli::OutputArgs,
    client::{Client, ClientArgs},
    output::{self, Table},
};

#[derive(Debug, clap::Args)]
pub(crate) struct DlqCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List dead letters, the newest first
    List(ListArgs),
    /// Show everything that is known of a dead letter
    Show(ShowArgs),
    /// Submit the inputs of failed jobs once more, as new jobs
    Redrive(RedriveArgs),
    /// Drop dead letters: their inputs are forgotten, the jobs stay failed
    Drop(DropArgs),
}

#[derive(Debug, clap::Args)]
struct ServerArgs {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    client: ClientArgs,
}

/// Which of all.
#[derive(Debug, clap::Args)]
struct FilterArgs {
    /// Only those of this model
    #[arg(long, value_name = "NAME")]
    model: Option<ModelName>,
    /// Only those that failed with this code
    #[arg(long, value_name = "CODE", value_parser = code)]
    code: Option<FailureCode>,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// The most to list
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: usize,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// The id of the job that failed
    id: JobId,
    /// Show what went in as well
    #[arg(long)]
    inputs: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Dead letters by their ids, or all that a filter leaves.
#[derive(Debug, clap::Args)]
struct ChosenArgs {
    /// The ids of jobs that failed
    #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "ID")]
    ids: Vec<JobId>,
    /// All of them, or all that --model and --code leave
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    filter: FilterArgs,
}

#[derive(Debug, clap::Args)]
struct RedriveArgs {
    #[command(flatten)]
    chosen: ChosenArgs,
    /// Another version of the model, or an alias, than the one that failed
    #[arg(long, value_name = "VERSION")]
    version: Option<VersionName>,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, clap::Args)]
struct DropArgs {
    #[command(flatten)]
    chosen: ChosenArgs,
    #[command(flatten)]
    server: ServerArgs,
}

fn code(text: &str) -> Result<FailureCode, String> {
    let known = FailureCode::ALL.into_iter().find(|code| code.as_str() == text);
    known.ok_or_else(|| {
        let words: Vec<_> = FailureCode::ALL.iter().map(|code| code.as_str()).collect();
        format!("one of {}", words.join(", "))
    })
}

impl DlqCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::List(args) => args.run().await,
            Action::Show(args) => args.run().await,
            Action::Redrive(args) => args.run().await,
            Action::Drop(args) => args.run().await,
        }
    }
}

impl ListArgs {
    async fn run(self) -> anyhow::Result<()> {
        let client = self.server.client.client()?;
        let letters = self.filter.read(&client, self.limit).await?;
        self.server.output.output.print(&letters, || listed(&letters))
    }
}

impl ShowArgs {
    async fn run(self) -> anyhow::Result<()> {
        let client = self.server.client.client()?;
        let detail = client.dead_letter(&self.id, self.inputs).await?;
        let value = serde_json::to_value(&detail)?;
        self.server.output.output.print(&detail, || output::fields(&value))
    }
}

impl RedriveArgs {
    async fn run(self) -> anyhow::Result<()> {
        let client = self.server.client.client()?;
        let mut results = Vec::new();
        for ids in self.chosen.ids(&client).await?.chunks(MAX_IDS) {
            let many = RedriveMany {
                ids: ids.to_vec(),
                version: self.version.clone(),
            };
            let done: DeadLetterResults = client.dead_letters("redrive", &many).await?;
            results.extend(done.results);
        }
        told(&results, &self.server.output)
    }
}

impl DropArgs {
    async fn run(self) -> anyhow::Result<()> {
        let client = self.server.client.client()?;
        let mut results = Vec::new();
        for ids in self.chosen.ids(&client).await?.chunks(MAX_IDS) {
            let many = DropMany { ids: ids.to_vec() };
            let done: DeadLetterResults = client.dead_letters("drop", &many).await?;
            results.extend(done.results);
        }
        told(&results, &self.server.output)
    }
}

impl ChosenArgs {
    async fn ids(&self, client: &Client) -> anyhow::Result<Vec<JobId>> {
        if !self.all {
            return Ok(self.ids.clone());
        }
        let letters = self.filter.read(client, usize::MAX).await?;
        Ok(letters.into_iter().map(|letter| letter.id).collect())
    }
}

impl FilterArgs {
    /// Reads page after page until there are enough or no more.
    async fn read(&self, client: &Client, limit: usize) -> anyhow::Result<Vec<DeadLetter>> {
        let (mut letters, mut cursor) = (Vec::new(), None);
        loop {
            let page: DeadLetterPage = client.dead_letter_page(cursor.as_deref()).await?;
            let wanted = page.dead_letters.into_iter().filter(|letter| self.takes(letter));
            letters.extend(wanted.take(limit - letters.len()));
            cursor = page.next;
            if cursor.is_none() || letters.len() == limit {
                return Ok(letters);
            }
        }
    }

    fn takes(&self, letter: &DeadLetter) -> bool {
        let code = letter.failure.as_ref().map(|failure| failure.code);
        self.model
            .as_ref()
            .is_none_or(|model| letter.model.as_ref() == Some(model))
            && self.code.is_none_or(|wanted| code == Some(wanted))
    }
}

fn listed(letters: &[DeadLetter]) -> String {
    let columns = ["id", "failed", "model", "code", "attempts", "inputs", "reason"];
    let mut table = Table::new(columns.map(str::to_owned));
    for letter in letters {
        let model = letter.model.iter().map(ModelName::to_string);
        let version = letter.version.iter().map(VersionName::to_string);
        let failure = letter.failure.as_ref();
        table.row([
            letter.id.to_string(),
            letter.failed_at.to_string(),
            model.chain(version).collect::<Vec<_>>().join(" "),
            failure.map(|failure| failure.code.to_string()).unwrap_or_default(),
            letter.attempts.to_string(),
            if letter.input_kept { "kept" } else { "gone" }.to_owned(),
            failure.map(|failure| failure.message.clone()).unwrap_or_default(),
        ]);
    }
    table.text()
}

/// Shows what became of each; an error if something became of none.
fn told(results: &[DeadLetterResult], output: &OutputArgs) -> anyhow::Result<()> {
    output.output.print(&results, || {
        let mut table = Table::new(["id", "result"].map(str::to_owned));
        for result in results {
            let became = match (&result.redriven_as, &result.problem) {
                (Some(id), _) => format!("redriven as {id}"),
                (None, Some(problem)) => format!("{}: {}", problem.code, problem.detail),
                (None, None) => "dropped".to_owned(),
            };
            table.row([result.id.to_string(), became]);
        }
        table.text()
    })?;
    let undone = results.iter().filter(|result| result.problem.is_some()).count();
    anyhow::ensure!(
        undone == 0,
        "{undone} of {} dead letters are as they were",
        results.len()
    );
    Ok(())
}
