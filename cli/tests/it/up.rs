//! `gristmill up` against real servers, with its children killed, paused and counted.

use std::path::Path;

use gristmill_servers::{Durability, Pair, Signal};

use crate::{
    gristmill,
    instance::{Instance, Ready, answered, gone, job, readyz, signal},
};

#[tokio::test]
async fn everything_is_ready_a_signal_ends_it_all_and_the_data_survives() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = Instance::start(dir.path(), &[]).await;
    let ready = first.ready().await;
    assert_eq!(ready.workers.len(), 1);
    assert!(ready.nats_pid.is_some() && ready.redis_pid.is_some());
    for admin_url in [&ready.admin_url, &ready.workers[0].admin_url] {
        assert_eq!(readyz(admin_url).await, 200);
    }
    assert!(first.log().contains(&ready.api_key), "the key is told to people too");
    let id = answered(&ready).await["id"].as_str().unwrap().to_owned();

    first.signal(Signal::SIGINT);
    assert_eq!(first.ended().await.code(), Some(0), "{}", first.log());
    gone(&ready.pids()).await;
    assert!(!dir.path().join("ready.json").exists());

    let mut second = Instance::start(dir.path(), &["--log", "warn"]).await;
    let again = second.ready().await;
    assert_eq!(again.api_key, ready.api_key);
    assert_eq!(job(&again, &id).await["status"], "succeeded");
    second.signal(Signal::SIGTERM);
    assert_eq!(second.ended().await.code(), Some(0), "{}", second.log());
    gone(&again.pids()).await;
}

/// Finds a child's process id.
type Pid = fn(&Ready) -> u32;

#[tokio::test]
async fn killed_children_are_reported_and_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut up = Instance::start(dir.path(), &[]).await;
    let first = up.ready().await;
    answered(&first).await;
    let children: [(&str, Pid); 4] = [
        ("worker-001", |ready| ready.workers[0].pid),
        ("nats-server", |ready| ready.nats_pid.unwrap()),
        ("redis-server", |ready| ready.redis_pid.unwrap()),
        ("ingest", |ready| ready.ingest_pid),
    ];
    let mut before = first.clone();
    for (name, pid) in children {
        let killed = pid(&before);
        signal(killed, Signal::SIGKILL);
        let what = format!("{name} to be started again");
        before = up.ready_when(&what, |ready| pid(ready) != killed).await;
        answered(&before).await;
        let report = format!("child died: signal: 9 (SIGKILL) child.name=\"{name}\" child.pid={killed}");
        assert!(up.log().contains(&report), "{}", up.log());
    }
    assert_eq!(
        (&before.url, &before.nats_url, &before.redis_url),
        (&first.url, &first.nats_url, &first.redis_url)
    );
    up.signal(Signal::SIGINT);
    assert_eq!(up.ended().await.code(), Some(0), "{}", up.log());
    gone(&before.pids()).await;
}

#[tokio::test]
async fn second_signal_kills_children_that_do_not_drain() {
    let dir = tempfile::tempdir().unwrap();
    let mut up = Instance::start(dir.path(), &[]).await;
    let ready = up.ready().await;
    // one that is paused cannot drain
    signal(ready.ingest_pid, Signal::SIGSTOP);
    // two of a kind could become one on their way
    up.signal(Signal::SIGINT);
    up.signal(Signal::SIGTERM);
    assert_eq!(up.ended().await.code(), Some(130), "{}", up.log());
    gone(&ready.pids()).await;
}

#[tokio::test]
async fn data_folder_in_use_is_refused_and_given_servers_are_used() {
    let dir = tempfile::tempdir().unwrap();
    let mut servers = Pair::start(Durability::PowerLoss, dir.path()).await.unwrap();
    let (nats_url, redis_url) = (servers.nats.url(), servers.redis.url());
    let monitor_url = servers.nats.options().monitor_url();
    let mut given = vec!["--nats-url", &nats_url, "--redis-url", &redis_url];
    given.extend(["--nats-monitor-url", &monitor_url]);
    let mut up = Instance::start(dir.path(), &given).await;
    let ready = up.ready().await;
    assert_eq!((&ready.nats_url, &ready.redis_url), (&nats_url, &redis_url));
    assert_eq!((ready.nats_pid, ready.redis_pid), (None, None));
    answered(&ready).await;

    let refused = refusal(&dir.path().join("data")).await;
    assert!(refused.contains("another gristmill up (pid "), "{refused}");

    up.signal(Signal::SIGINT);
    assert_eq!(up.ended().await.code(), Some(0), "{}", up.log());
    gone(&ready.pids()).await;
    servers.stop().await.unwrap();
}

async fn refusal(data_dir: &Path) -> String {
    let data_dir = data_dir.to_owned();
    let ended = tokio::task::spawn_blocking(move || {
        gristmill::run(&["up", "--port", "0", "--data-dir", data_dir.to_str().unwrap()])
    });
    let ended = ended.await.unwrap();
    assert_eq!(ended.status.code(), Some(1));
    gristmill::stderr(&ended)
}

#[tokio::test]
async fn child_that_cannot_start_ends_it_all_with_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("no-artifacts");
    let mut up = Instance::start(dir.path(), &["--artifacts-dir", nowhere.to_str().unwrap()]).await;
    assert_eq!(up.ended().await.code(), Some(1), "{}", up.log());
    let log = up.log();
    assert!(
        log.contains("worker-001 ended before it was ready: exit status: 1"),
        "{log}"
    );
    assert!(!dir.path().join("ready.json").exists());
}

/// Elsewhere no kernel ends the children of a process that was killed.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn killed_up_takes_its_children_along_and_can_be_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = Instance::start(dir.path(), &[]).await;
    let ready = first.ready().await;
    let id = answered(&ready).await["id"].as_str().unwrap().to_owned();
    first.signal(Signal::SIGKILL);
    first.ended().await;
    gone(&ready.pids()).await;

    let mut second = Instance::start(dir.path(), &[]).await;
    // the file of the first one is still there when the second begins
    let again = second
        .ready_when("the second one to be ready", |now| now.ingest_pid != ready.ingest_pid)
        .await;
    assert_eq!(job(&again, &id).await["status"], "succeeded");
    second.signal(Signal::SIGINT);
    assert_eq!(second.ended().await.code(), Some(0), "{}", second.log());
    gone(&again.pids()).await;
}
