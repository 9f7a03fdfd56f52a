//! The servers as real processes: what survives, what is refused, what is left behind.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod access;
mod nats_client;
mod redis_client;

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use gristmill_servers::{Binaries, Child, Durability, Nats, NatsOptions, Output, Pair, Redis, RedisOptions, Signal};
use nix::sys::signal::kill;
use nix::unistd::{Pid, getpgid};

/// Bounds every wait of these tests; reaching it is a failure.
const DEADLINE: Duration = Duration::from_secs(60);

/// Tells [`holds_a_redis_until_killed`] where to start one.
const HOLD_DIR: &str = "GRISTMILL_TEST_HOLD_DIR";

fn redis_options(dir: &Path) -> RedisOptions {
    RedisOptions::new(Binaries::locate_redis().unwrap(), dir, Durability::PowerLoss)
}

fn nats_options(dir: &Path) -> NatsOptions {
    NatsOptions::new(Binaries::locate_nats().unwrap(), dir, Durability::PowerLoss)
}

fn exists(pid: u32) -> bool {
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), None).is_ok()
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting)
        .await
        .unwrap_or_else(|_| panic!("not in time: {what}"));
}

async fn data_survives_a_kill_at(durability: Durability) {
    let dir = tempfile::tempdir().unwrap();
    let mut pair = Pair::start(durability, dir.path()).await.unwrap();
    let (nats_url, redis_url) = (pair.nats.url(), pair.redis.url());
    redis_client::call(&redis_url, "SET grain ground");
    nats_client::call(
        &nats_url,
        "$JS.API.STREAM.CREATE.MILL",
        r#"{"name":"MILL","subjects":["mill.*"]}"#,
    );
    nats_client::call(&nats_url, "mill.stone", "one message");

    pair.nats.kill().await.unwrap();
    pair.redis.kill().await.unwrap();
    pair.nats.restart().await.unwrap();
    pair.redis.restart().await.unwrap();

    assert_eq!(
        (pair.nats.url(), pair.redis.url()),
        (nats_url.clone(), redis_url.clone())
    );
    assert_eq!(redis_client::call(&redis_url, "GET grain"), "$6\r\nground\r\n");
    let info = nats_client::call(&nats_url, "$JS.API.STREAM.INFO.MILL", "");
    assert!(info.contains(r#""messages":1"#), "{info}");
    pair.stop().await.unwrap();
}

#[tokio::test]
async fn data_survives_a_kill_at_power_loss() {
    data_survives_a_kill_at(Durability::PowerLoss).await;
}

#[tokio::test]
async fn data_survives_a_kill_at_process_crash() {
    data_survives_a_kill_at(Durability::ProcessCrash).await;
}

#[tokio::test]
async fn redis_runs_with_the_settings_of_its_level() {
    let dir = tempfile::tempdir().unwrap();
    let redis = Redis::start(redis_options(dir.path())).await.unwrap();
    let setting = |name: &str| redis_client::call(&redis.url(), &format!("CONFIG GET {name}"));
    assert!(setting("appendfsync").ends_with("\r\nalways\r\n"));
    assert!(setting("appendonly").ends_with("\r\nyes\r\n"));
    assert!(setting("maxmemory-policy").ends_with("\r\nnoeviction\r\n"));
    assert!(setting("save").ends_with("$0\r\n\r\n"));
    assert!(setting("bind").ends_with("\r\n127.0.0.1\r\n"));
}

#[tokio::test]
async fn nats_syncs_always_at_power_loss_only() {
    for (durability, always) in [(Durability::PowerLoss, true), (Durability::ProcessCrash, false)] {
        let dir = tempfile::tempdir().unwrap();
        let mut options = nats_options(dir.path());
        options.durability = durability;
        let nats = Nats::start(options).await.unwrap();
        let state = nats_client::monitor(&nats.options().monitor_url(), "/jsz?config=1");
        assert_eq!(state.contains(r#""sync_always": true"#), always, "{state}");
    }
}

#[tokio::test]
async fn second_server_on_the_same_data_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let nats = Nats::start(nats_options(dir.path())).await.unwrap();
    let refused = Nats::start(nats_options(dir.path())).await.unwrap_err().to_string();
    assert!(
        refused.contains(&format!("another nats-server (pid {})", nats.pid())),
        "{refused}"
    );
    assert!(refused.contains(&dir.path().display().to_string()), "{refused}");
}

#[tokio::test]
async fn taken_port_is_named_in_the_error() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut options = redis_options(dir.path());
    options.port = held.local_addr().unwrap().port();
    let error = Redis::start(options).await.unwrap_err().to_string();
    assert!(error.to_lowercase().contains("address already in use"), "{error}");
}

#[tokio::test]
async fn servers_end_when_dropped_and_leave_the_data_to_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let pair = Pair::start(Durability::PowerLoss, dir.path()).await.unwrap();
    let pids = [pair.nats.pid(), pair.redis.pid()];
    redis_client::call(&pair.redis.url(), "SET grain ground");
    drop(pair);
    assert!(!pids.into_iter().any(exists));

    let pair = Pair::start(Durability::PowerLoss, dir.path()).await.unwrap();
    assert_eq!(redis_client::call(&pair.redis.url(), "GET grain"), "$6\r\nground\r\n");
}

#[tokio::test]
async fn paused_server_resumes_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let redis = Redis::start(redis_options(dir.path())).await.unwrap();
    redis.signal(Signal::SIGSTOP).unwrap();
    redis.signal(Signal::SIGCONT).unwrap();
    assert_eq!(redis_client::call(&redis.url(), "PING"), "+PONG\r\n");
}

#[tokio::test]
async fn child_that_will_not_end_is_killed_after_its_grace() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("stubborn.log");
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' TERM; echo deaf; exec sleep 1000"]);
    let mut child = Child::spawn(shell, "stubborn", Output::File(log.clone()))
        .await
        .unwrap();
    until("SIGTERM is ignored", || {
        std::fs::read_to_string(&log).unwrap().contains("deaf")
    })
    .await;
    let status = child.terminate(Duration::from_millis(10)).await.unwrap();
    assert_eq!(status.signal(), Some(Signal::SIGKILL as i32));
    assert!(child.signal(Signal::SIGCONT).is_err());
}

#[tokio::test]
async fn child_writes_to_its_log_and_is_no_member_of_our_process_group() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("child.log");
    let mut shell = Command::new("sh");
    shell.args(["-c", "echo to stdout; echo to stderr >&2; exec sleep 1000"]);
    let child = Child::spawn(shell, "writer", Output::File(log.clone())).await.unwrap();
    until("both lines are in the log", || {
        std::fs::read_to_string(&log).unwrap() == "to stdout\nto stderr\n"
    })
    .await;
    let pid = Pid::from_raw(i32::try_from(child.pid()).unwrap());
    assert_eq!(getpgid(Some(pid)), Ok(pid));
}

#[tokio::test]
async fn missing_binary_is_named_in_the_error() {
    let dir = tempfile::tempdir().unwrap();
    let options = RedisOptions::new("no/such/redis-server", dir.path(), Durability::PowerLoss);
    let error = Redis::start(options).await.unwrap_err().to_string();
    assert!(error.contains("no/such/redis-server"), "{error}");
}

/// Not a test of its own: `servers_end_with_a_parent_that_is_killed` runs it as the parent.
#[tokio::test]
async fn holds_a_redis_until_killed() {
    let Some(dir) = std::env::var_os(HOLD_DIR) else { return };
    let redis = Redis::start(redis_options(Path::new(&dir))).await.unwrap();
    println!("redis={}", redis.pid());
    std::future::pending::<()>().await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn servers_end_with_a_parent_that_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holds_a_redis_until_killed", "--nocapture"])
        .env(HOLD_DIR, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(parent.stdout.take().unwrap());
    let redis = output
        .lines()
        .find_map(|line| line.unwrap().split_once("redis=")?.1.parse().ok())
        .unwrap();
    assert!(exists(redis));
    parent.kill().unwrap();
    parent.wait().unwrap();
    until("redis-server ends with its parent", || !exists(redis)).await;
    Redis::start(redis_options(dir.path())).await.unwrap();
}
