//! Whether the servers keep the durability level: each setting that does not is named, and what is not shown is not assumed.

use gristmill_broker::nats::bare;
use std::path::Path;

use clap::Parser;
use gristmill_broker::{Broker, DurabilityArgs, Level, LevelError, NatsArgs, Store, StoreArgs, durability::Weakness};
use gristmill_schemas::{Durability, subject::STREAM};
use gristmill_servers::{Binaries, Nats, NatsOptions, Pair};
use redis::AsyncCommands;
use tempfile::TempDir;

use crate::bench::{until, within};

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    nats: NatsArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    durability: DurabilityArgs,
}

struct Bench {
    servers: Pair,
    level: Level,
    dir: TempDir,
}

impl Bench {
    /// Servers that run as one level says, held to another.
    async fn start(run: Durability, held_to: Durability) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let servers = Pair::start(run, dir.path()).await.unwrap();
        let monitor_url = servers.nats.options().monitor_url();
        let held_to = held_to.to_string();
        let level = level(
            &servers,
            &["--durability", &held_to, "--nats-monitor-url", &monitor_url],
        )
        .await;
        Self { servers, level, dir }
    }

    async fn set(&self, setting: &str, value: &str) {
        let client = redis::Client::open(self.servers.redis.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let set: String = redis::cmd("CONFIG")
            .arg("SET")
            .arg(setting)
            .arg(value)
            .query_async(&mut connection)
            .await
            .unwrap();
        assert_eq!(set, "OK");
    }

    async fn make_stream(&self, more: serde_json::Value) {
        let client = bare(&self.servers.nats.url()).await.unwrap();
        let mut config = serde_json::json!({"name": STREAM, "subjects": ["jobs.>"], "retention": "workqueue"});
        config
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let made = client
            .request(format!("$JS.API.STREAM.CREATE.{STREAM}"), config.to_string().into())
            .await
            .unwrap();
        let made: serde_json::Value = serde_json::from_slice(&made.payload).unwrap();
        assert!(made.get("error").is_none(), "{made}");
    }
}

async fn level(servers: &Pair, flags: &[&str]) -> Level {
    let (nats, redis) = (servers.nats.url(), servers.redis.url());
    let line = ["test", "--nats-url", &nats, "--redis-url", &redis];
    let flags = Flags::parse_from(line.iter().chain(flags));
    let broker = Broker::connect(&flags.nats).await.unwrap();
    until("the connection", async || broker.is_connected()).await;
    Level::new(&flags.durability, &broker, &Store::connect(&flags.store).unwrap())
}

/// The settings that were found to keep less: name, what it is.
fn weak(verdict: Result<(), LevelError>) -> Vec<(&'static str, String)> {
    match verdict {
        Err(LevelError::Weak(_, weak)) => weak
            .into_iter()
            .map(|Weakness { setting, found, .. }| (setting, found))
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn servers_run_at_a_level_keep_it_and_the_stronger_keeps_the_weaker() {
    use Durability::{PowerLoss, ProcessCrash};
    for (run, held_to) in [
        (PowerLoss, PowerLoss),
        (ProcessCrash, ProcessCrash),
        (PowerLoss, ProcessCrash),
    ] {
        let bench = Bench::start(run, held_to).await;
        bench.make_stream(serde_json::json!({})).await;
        assert_eq!(within("the broker", bench.level.of_broker()).await, Ok(()));
        assert_eq!(within("the store", bench.level.of_store()).await, Ok(()));
    }
}

#[tokio::test]
async fn each_setting_of_redis_that_keeps_less_is_named() {
    let bench = Bench::start(Durability::PowerLoss, Durability::PowerLoss).await;
    for (setting, found, kept) in [
        ("appendfsync", "everysec", "always"),
        ("appendfsync", "no", "always"),
        ("appendonly", "no", "yes"),
        ("maxmemory-policy", "allkeys-lru", "noeviction"),
        ("no-appendfsync-on-rewrite", "yes", "no"),
    ] {
        bench.set(setting, found).await;
        assert_eq!(weak(bench.level.of_store().await), [(setting, found.to_owned())]);
        bench.set(setting, kept).await;
        assert_eq!(bench.level.of_store().await, Ok(()));
    }
    bench.set("appendonly", "no").await;
    bench.set("appendfsync", "everysec").await;
    let error = bench.level.of_store().await.unwrap_err().to_string();
    for said in [
        "power-loss",
        "appendonly no",
        "appendfsync everysec",
        "wanted is always",
        "redis.conf",
    ] {
        assert!(error.contains(said), "{said} is not in: {error}");
    }
}

#[tokio::test]
async fn process_crash_takes_no_policy_by_which_redis_answers_before_it_writes() {
    let bench = Bench::start(Durability::ProcessCrash, Durability::ProcessCrash).await;
    bench.set("appendfsync", "everysec").await;
    assert_eq!(
        weak(bench.level.of_store().await),
        [("appendfsync", "everysec".to_owned())]
    );
    bench.set("appendfsync", "always").await;
    assert_eq!(bench.level.of_store().await, Ok(()));
}

#[tokio::test]
async fn broker_that_syncs_now_and_then_is_named() {
    let bench = Bench::start(Durability::ProcessCrash, Durability::PowerLoss).await;
    let verdict = bench.level.of_broker().await;
    let error = verdict.clone().unwrap_err().to_string();
    assert_eq!(weak(verdict), [("sync_interval", "120s".to_owned())]);
    assert!(
        error.contains("sync_interval: always") && error.contains("restart"),
        "{error}"
    );
}

#[tokio::test]
async fn stream_that_is_not_on_the_disk_is_named() {
    for (config, found) in [
        (
            serde_json::json!({"storage": "memory"}),
            ("storage", "memory".to_owned()),
        ),
        (
            serde_json::json!({"storage": "file", "persist_mode": "async"}),
            ("persist_mode", "async".to_owned()),
        ),
    ] {
        let bench = Bench::start(Durability::PowerLoss, Durability::ProcessCrash).await;
        bench.make_stream(config).await;
        assert_eq!(weak(bench.level.of_broker().await), [found]);
    }
}

#[tokio::test]
async fn what_a_server_does_not_show_is_refused_unless_somebody_vouches() {
    let bench = Bench::start(Durability::PowerLoss, Durability::PowerLoss).await;
    let client = redis::Client::open(bench.servers.redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let rule: String = redis::cmd("ACL")
        .arg(&["SETUSER", "operator", "-config"])
        .query_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(rule, "OK");
    let unseen = bench.level.of_store().await;
    assert!(
        matches!(&unseen, Err(LevelError::Hidden(_, why)) if why.contains("CONFIG")),
        "{unseen:?}"
    );
    let vouched = level(&bench.servers, &["--durability-unchecked"]).await;
    assert_eq!(vouched.of_store().await, Ok(()));
    assert_eq!(vouched.of_broker().await, Ok(()));
    let blind = level(&bench.servers, &[]).await;
    assert!(matches!(blind.of_broker().await, Err(LevelError::Hidden(..))));
    let _: () = connection.set("still", "usable").await.unwrap();
}

#[tokio::test]
async fn vouching_does_not_cover_what_is_seen() {
    let bench = Bench::start(Durability::ProcessCrash, Durability::PowerLoss).await;
    let monitor_url = bench.servers.nats.options().monitor_url();
    let vouched = level(
        &bench.servers,
        &["--durability-unchecked", "--nats-monitor-url", &monitor_url],
    )
    .await;
    assert_eq!(weak(vouched.of_broker().await).len(), 1);
    assert_eq!(weak(vouched.of_store().await).len(), 1);
}

#[tokio::test]
async fn one_of_several_endpoints_may_be_away_but_not_that_of_our_server() {
    let bench = Bench::start(Durability::PowerLoss, Durability::PowerLoss).await;
    let ours = bench.servers.nats.options().monitor_url();
    let nobody = format!("http://127.0.0.1:{}", gristmill_servers::free_port().unwrap());
    let held = level(&bench.servers, &["--nats-monitor-url", &format!("{nobody},{ours}")]).await;
    assert_eq!(held.of_broker().await, Ok(()));
    let away = level(&bench.servers, &["--nats-monitor-url", &nobody])
        .await
        .of_broker()
        .await;
    assert!(
        matches!(&away, Err(error @ LevelError::Away(..)) if error.may_pass()),
        "{away:?}"
    );

    let strong = another(&bench.dir.path().join("strong"), Durability::PowerLoss).await;
    let weaker = another(&bench.dir.path().join("weak"), Durability::ProcessCrash).await;
    let strong_url = strong.options().monitor_url();
    let stranger = level(&bench.servers, &["--nats-monitor-url", &strong_url])
        .await
        .of_broker()
        .await;
    assert!(
        matches!(&stranger, Err(LevelError::Away(_, why)) if why.contains("none of the servers")),
        "{stranger:?}"
    );
    let both = format!("{ours},{}", weaker.options().monitor_url());
    let mixed = level(&bench.servers, &["--nats-monitor-url", &both]).await;
    assert_eq!(weak(mixed.of_broker().await).len(), 1);
    let door = format!("{}/nothing-here", ours);
    let wrong = level(&bench.servers, &["--nats-monitor-url", &door])
        .await
        .of_broker()
        .await;
    assert!(matches!(wrong, Err(LevelError::Hidden(..))), "{wrong:?}");
}

async fn another(dir: &Path, durability: Durability) -> Nats {
    let options = NatsOptions::new(Binaries::locate_nats().unwrap(), dir, durability);
    Nats::start(options).await.unwrap()
}
