//! Clients that are not ours, as people run them: they need `make clients`.

use std::{path::Path, process::Stdio};

use anyhow::Context;
use gristmill_e2e::{Client, Stack, binary};
use gristmill_schemas::api::JobView;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::{identity, progress};

/// One of `examples/`, running.
struct Example {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Example {
    fn start(name: &str, args: &[&str]) -> anyhow::Result<Self> {
        let root = binary::repository();
        let clients = root.join(".gristmill/clients");
        anyhow::ensure!(
            clients.join(".installed").is_file(),
            "clients are missing: make clients"
        );
        let mut command = Command::new("python3");
        command.arg(root.join("examples").join(name)).args(args);
        command
            .env("PYTHONPATH", clients)
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().context("python3")?;
        let stdout = child.stdout.take().context("its output")?;
        let lines = BufReader::new(stdout).lines();
        Ok(Self { child, lines })
    }

    /// Waits until it has ended, without a word of complaint.
    async fn succeeded(self) -> anyhow::Result<()> {
        let output = self.child.wait_with_output().await?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success() && complaint.is_empty(), "{complaint}");
        Ok(())
    }

    async fn line(&mut self) -> anyhow::Result<Value> {
        let line = tokio::time::timeout(std::time::Duration::from_secs(60), self.lines.next_line());
        let line = line.await.context("a line in time")??.context("it goes on")?;
        Ok(serde_json::from_str(&line)?)
    }
}

/// What an operator's command shows.
async fn operator(stack: &Stack, args: &[&str]) -> anyhow::Result<Value> {
    let store = stack.servers.redis.url();
    let mut command = Command::new(binary::gristmill()?);
    command.args(args).args(["--output", "json", "--redis-url", &store]);
    let output = command.output().await?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Makes a reader as an operator does; the URL by which it connects.
async fn reader_url(stack: &Stack) -> anyhow::Result<String> {
    let store = stack.servers.redis.url();
    let made = operator(stack, &["readers", "create", "--tenant", "acme"]).await?;
    let part = |name: &str| made[name].as_str().map(str::to_owned).with_context(|| made.to_string());
    anyhow::ensure!(made["acl_line"].is_null(), "the server keeps its users: {made}");
    let address = store.rsplit('@').next().context("an address")?;
    Ok(format!("redis://{}:{}@{address}", part("name")?, part("password")?))
}

async fn ended(client: &Client, value: f32) -> anyhow::Result<JobView> {
    let view = client.submit(&identity(&[value]), 30).await?;
    anyhow::ensure!(view.completed_at.is_some(), "{view:?}");
    Ok(view)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn example_in_python_follows_jobs_in_redis_and_goes_on_where_it_stopped() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let _worker = stack.worker("worker", &[]).await?;
    let client = stack.client("acme").await?;
    let url = reader_url(&stack).await?;
    let folder = tempfile::tempdir()?;
    let state = folder.path().join("cursor");
    let follow = |count: &str| {
        let state = state.to_str().context("a path of ours is text")?;
        Example::start("follow_redis.py", &[&url, "--state", state, "--count", count])
    };
    let first = ended(&client, 1.5).await?;
    let mut example = follow("1")?;
    let line = example.line().await?;
    assert_eq!(line["id"], first.id.to_string());
    assert_eq!(
        (&line["state"], &line["model"]),
        (&json!("succeeded"), &json!("identity"))
    );
    assert_eq!(line["outputs"][0]["values"], json!([1.5]));
    example.succeeded().await?;
    assert!(Path::new(&state).is_file());
    let second = ended(&client, 2.5).await?;
    let mut example = follow("2")?;
    assert_eq!(example.line().await?["id"], second.id.to_string());
    // one that ends while it listens, without outputs
    let waiting = client.submit(&identity(&[3.5]), 0).await?;
    let cancel = client.request(Method::POST, &format!("/v1/jobs/{}/cancel", waiting.id));
    cancel.send().await?;
    assert_eq!(example.line().await?["id"], waiting.id.to_string());
    example.succeeded().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn example_in_python_follows_the_progress_of_a_job_in_redis() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let _worker = stack.worker("worker", &["--model", "minilm"]).await?;
    let client = stack.client("acme").await?;
    let url = reader_url(&stack).await?;
    let id = client.submit(&progress::texts(), 0).await?.id.to_string();
    let mut example = Example::start("follow_progress.py", &[&url, &id])?;
    let mut lines = 0;
    let last = loop {
        let line = example.line().await?;
        if line["state"].is_string() {
            break line;
        }
        lines += 1;
        assert_eq!(line["rows_total"], progress::ROWS);
        let shape = json!([line["rows"], 384]);
        assert_eq!(line["outputs"][0]["shape"], shape, "{lines}");
    };
    assert_eq!(last["state"], "succeeded");
    assert_eq!(last["outputs"][0]["shape"], json!([progress::ROWS, 384]));
    assert!(lines > 10, "{lines}");
    example.succeeded().await
}

/// As its package says, the library verifies what a message's secret has signed, and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn library_of_standard_webhooks_verifies_messages_through_a_rotation_of_the_secret() -> anyhow::Result<()> {
    let flags = ["--webhook-allow", "127.0.0.1/32", "--webhook-retries", "500ms,1h"].map(str::to_owned);
    let stack = Stack::start_in(tempfile::tempdir()?, &flags).await?;
    let _worker = stack.worker("worker", &[]).await?;
    let client = stack.client("acme").await?;
    let secret = |shown: &Value| shown["secret"].as_str().map(str::to_owned).context("a secret");
    let first = secret(&operator(&stack, &["webhooks", "set", "acme"]).await?)?;
    let mut receiver = Example::start("receive_webhooks.py", &[&first, "--port", "0"])?;
    let line = receiver.line().await?;
    let url = line["listening"].as_str().context("where it listens")?.to_owned();
    let shown = operator(&stack, &["webhooks", "set", "acme", "--url", &url]).await?;
    assert!(shown["secret"].is_null(), "the secret is shown once: {shown}");
    let told = async |client: &Client| {
        let view = ended(client, 1.5).await?;
        Ok::<_, anyhow::Error>((json!("job.succeeded"), json!(view.id.to_string())))
    };
    let expected = told(&client).await?;
    let message = receiver.line().await?;
    assert_eq!((message["type"].clone(), message["data"]["id"].clone()), expected);

    // the old secret is good beside the new one, for whoever has not changed yet
    let second = secret(&operator(&stack, &["webhooks", "rotate", "acme"]).await?)?;
    assert_ne!(first, second);
    let mut changed = Example::start("receive_webhooks.py", &[&second, "--port", "0"])?;
    let line = changed.line().await?;
    let expected = told(&client).await?;
    let message = receiver.line().await?;
    assert_eq!((message["type"].clone(), message["data"]["id"].clone()), expected);
    let url = line["listening"].as_str().context("where it listens")?;
    operator(&stack, &["webhooks", "set", "acme", "--url", url]).await?;
    let expected = told(&client).await?;
    let message = changed.line().await?;
    assert_eq!((message["type"].clone(), message["data"]["id"].clone()), expected);

    // a message that another secret has signed is refused
    let forged = reqwest::Client::new().post(url);
    let forged = forged
        .header("webhook-id", "x")
        .header("webhook-timestamp", "1")
        .header("webhook-signature", "v1,AAAA");
    assert_eq!(forged.body("{}").send().await?.status(), 401);
    Ok(())
}
