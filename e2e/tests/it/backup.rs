//! A backup that is taken under load and restored elsewhere: what had ended has its outcome, what waited is run, and nothing
//! is there twice.

use std::{path::Path, process::Command};

use anyhow::Context;
use gristmill_e2e::{Client, Process, Stack, binary};
use gristmill_schemas::JobState;
use gristmill_servers::Durability;

use crate::identity;

async fn run(script: &str, args: Vec<String>) -> anyhow::Result<()> {
    let mut command = Command::new(binary::repository().join("deploy").join(script));
    command.args(args);
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    anyhow::ensure!(
        output.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn folders(dir: &Path) -> Vec<String> {
    let path = |name: &str| dir.join(name).display().to_string();
    [
        "--nats-data".to_owned(),
        path("nats"),
        "--redis-data".to_owned(),
        path("redis"),
    ]
    .into_iter()
    .chain(["--job-id-keys".to_owned(), path("keys.json")])
    .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_under_load_is_restored_with_every_job_of_before_it() -> anyhow::Result<()> {
    let (dir, elsewhere) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let from = dir.path().to_owned();
    let stack = Stack::start_in(dir, &[]).await?;
    let key = stack.api_key("acme").await?;
    let client = Client::new(&stack.url()?, &key);
    let mut worker = stack.worker("worker", &[]).await?;
    let mut ended = Vec::new();
    for value in 0..20_u8 {
        ended.push((
            client.submit(&identity(&[value.into()]), 30).await?.id.to_string(),
            f32::from(value),
        ));
    }
    assert!(worker.terminate().await?);
    let mut waiting = Vec::new();
    for value in 0..20_u8 {
        waiting.push((
            client.submit(&identity(&[value.into()]), 0).await?.id.to_string(),
            f32::from(value),
        ));
    }
    // somebody goes on submitting and a worker goes on working meanwhile
    let _worker = stack.worker("busy", &["--model", "light"]).await?;
    let load = {
        let client = client.clone();
        tokio::spawn(async move {
            loop {
                // refused or slow while the broker is paused: whoever asks again is served
                let _ = client.submit(&identity(&[0.0]), 0).await;
            }
        })
    };
    let backup = elsewhere.path().join("backup").display().to_string();
    let mut args = folders(&from);
    args.extend(["--nats-pid".to_owned(), stack.servers.nats.pid().to_string()]);
    args.extend(["--redis-url".to_owned(), stack.servers.redis.url()]);
    args.extend(["--to".to_owned(), backup.clone()]);
    run("backup.sh", args.clone()).await?;
    let again = run("backup.sh", args).await.unwrap_err().to_string();
    assert!(again.contains("is there already"), "{again}");
    load.abort();
    drop(stack);

    let restored = tempfile::tempdir()?;
    let mut args = folders(restored.path());
    args.extend(["--from".to_owned(), backup]);
    run("restore.sh", args.clone()).await?;
    let again = run("restore.sh", args).await.unwrap_err().to_string();
    assert!(again.contains("is not empty"), "{again}");
    let stack = Stack::start_at(Durability::PowerLoss, restored, &[]).await?;
    let client = Client::new(&stack.url()?, &key);
    // the keys came along, and so did what had ended, before any worker is there
    for (id, value) in &ended {
        assert_eq!(client.job(id, 0).await?.status, JobState::Succeeded);
        let outputs = client.result(id).await?;
        assert_eq!(outputs[0].data()[..], value.to_le_bytes());
    }
    let _worker: Process = stack.worker("worker", &[]).await?;
    for (id, value) in &waiting {
        assert_eq!(client.job(id, 30).await?.status, JobState::Succeeded, "{id}");
        let outputs = client.result(id).await.with_context(|| id.clone())?;
        assert_eq!(outputs[0].data()[..], value.to_le_bytes());
    }
    Ok(())
}
