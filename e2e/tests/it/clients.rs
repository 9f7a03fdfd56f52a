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

use crate::identity;

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

/// Makes a reader as an operator does; the URL by which it connects.
async fn reader_url(stack: &Stack) -> anyhow::Result<String> {
    let store = stack.servers.redis.url();
    let mut command = Command::new(binary::gristmill()?);
    command.args([
        "readers",
        "create",
        "--tenant",
        "acme",
        "--output",
        "json",
        "--redis-url",
        &store,
    ]);
    let output = command.output().await?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let made: Value = serde_json::from_slice(&output.stdout)?;
    let part = |name: &str| made[name].as_str().map(str::to_owned).with_context(|| made.to_string());
    anyhow::ensure!(made["acl_line"].is_null(), "the server keeps its users: {made}");
    Ok(store.replacen(
        "redis://",
        &format!("redis://{}:{}@", part("name")?, part("password")?),
        1,
    ))
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
