//! An ingest in this process with servers of its own, and the little that tests ask of them.

use std::{future::Future, path::Path, time::Duration};

use clap::Parser;
use gristmill_broker::{
    ServerUrl, Settled, Store, StoreArgs,
    api_keys::{ApiKeyRecord, Grant},
};
use gristmill_ingest::{IngestArgs, Listeners, keys::ApiKey};
use gristmill_schemas::{
    JobId, JobIdKeys, JobResult, Lane, Lineage, Outcome, Retention, Span, TenantId, Timestamp,
    job_id::{Mint, RANDOM_BYTES},
    key,
    subject::QueueTag,
};
use gristmill_servers::{Durability, Pair, Role};
use gristmill_telemetry::Shutdown;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};

/// Bounds every wait of these tests; reaching it is a failure.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// The key that signs ids here.
pub(crate) const JOB_ID_KEY: [u8; 32] = [7; 32];

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: IngestArgs,
}

/// Waits until a condition holds.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(DEADLINE, waiting).await;
    waited.unwrap_or_else(|_| panic!("not in time: {what}"));
}

pub(crate) struct Stand {
    pub(crate) servers: Pair,
    pub(crate) url: String,
    pub(crate) admin_url: String,
    pub(crate) store: Store,
    pub(crate) http: Client,
    pub(crate) shutdown: Shutdown,
    pub(crate) running: JoinHandle<anyhow::Result<()>>,
    /// A key of tenant `acme`.
    pub(crate) key: String,
    _dir: TempDir,
}

impl Stand {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Starts with these flags besides the addresses.
    pub(crate) async fn with(flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let servers = Pair::start(Durability::ProcessCrash, dir.path()).await.unwrap();
        let args = arguments(&servers, dir.path(), flags);
        let store = Store::connect(&StoreArgs {
            redis_url: ServerUrl::new(servers.redis.url()),
        })
        .unwrap();
        let key = ApiKey::generate().unwrap();
        put_key(&store, &key, ("acme", Grant::default())).await;
        let listeners = Listeners::bind(&args).await.unwrap();
        let url = format!("http://{}", listeners.http.local_addr().unwrap());
        let admin = listeners.admin.as_ref().unwrap().local_addr().unwrap();
        let shutdown = Shutdown::new();
        let running = tokio::spawn(gristmill_ingest::run(args, listeners, shutdown.clone()));
        let stand = Self {
            servers,
            url,
            admin_url: format!("http://{admin}"),
            store,
            http: Client::new(),
            shutdown,
            running,
            key: key.reveal(),
            _dir: dir,
        };
        until("ready", || stand.is_ready()).await;
        stand.until_known(&stand.key).await;
        stand
    }

    pub(crate) async fn is_ready(&self) -> bool {
        let answer = self.http.get(format!("{}/readyz", self.admin_url)).send().await;
        answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }

    /// A key of another tenant, known already.
    pub(crate) async fn key_of(&self, tenant: &str) -> ApiKey {
        self.key_for(tenant, Grant::default()).await
    }

    /// One that may be used for this alone.
    pub(crate) async fn key_for(&self, tenant: &str, grant: Grant) -> ApiKey {
        let key = ApiKey::generate().unwrap();
        put_key(&self.store, &key, (tenant, grant)).await;
        self.until_known(&key.reveal()).await;
        key
    }

    async fn until_known(&self, key: &str) {
        until("key known", async || {
            let answer = self.http.get(format!("{}/v1/models", self.url)).bearer_auth(key);
            answer.send().await.unwrap().status() == StatusCode::OK
        })
        .await;
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.url)).bearer_auth(&self.key)
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.url)).bearer_auth(&self.key)
    }

    /// Submits a job that is accepted.
    pub(crate) async fn submit(&self, body: &Value) -> JobId {
        let answer = self.post("/v1/jobs").json(body).send().await.unwrap();
        assert_eq!(
            answer.status(),
            StatusCode::ACCEPTED,
            "{}",
            answer.text().await.unwrap()
        );
        let accepted: Value = answer.json().await.unwrap();
        accepted["id"].as_str().unwrap().parse().unwrap()
    }

    /// Ends a job as a worker would.
    pub(crate) async fn settle(&self, id: JobId, result: JobResult) {
        let outcome = Outcome::new(id, result);
        let lineage = Lineage::of_id(id, acme(), outcome.state());
        assert_eq!(
            self.store.settle(&acme(), &outcome, &lineage).await.unwrap(),
            Settled::Won
        );
    }

    /// Waits until this ingest listens for hints at a job's end, so that somebody waits for it.
    pub(crate) async fn until_awaited(&self, id: &JobId) {
        let channel = key::hints(&acme(), id.bucket(key::BUCKETS));
        until("awaited", async || {
            let answer = self.ask_store(&format!("PUBSUB NUMSUB {channel}")).await;
            answer.contains("\r\n:1\r\n")
        })
        .await;
    }

    /// What the store answers, as it writes it.
    pub(crate) async fn ask_store(&self, command: &str) -> String {
        let url = self.servers.redis.url();
        let (user, address) = url.trim_start_matches("redis://").split_once('@').unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let ask = format!("AUTH {}\r\n{command}\r\nQUIT\r\n", user.replace(':', " "));
        stream.write_all(ask.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.strip_prefix("+OK\r\n").unwrap().to_owned()
    }

    /// What the admin listener answers.
    pub(crate) async fn get_admin(&self, path: &str) -> String {
        let answer = self.http.get(format!("{}{path}", self.admin_url)).send().await.unwrap();
        answer.text().await.unwrap()
    }

    /// Says how much memory the store may use.
    pub(crate) async fn limit_store_memory(&self, bytes: u64) {
        let answer = self.ask_store(&format!("CONFIG SET maxmemory {bytes}")).await;
        assert!(answer.starts_with("+OK"), "{answer}");
    }

    /// Envelopes on the stream, as the server itself tells.
    pub(crate) async fn envelopes(&self) -> u64 {
        let url = format!("{}/jsz?streams=1", self.servers.nats.options().monitor_url());
        let state: Value = self.http.get(url).send().await.unwrap().json().await.unwrap();
        let streams = state["account_details"][0]["stream_detail"].as_array().unwrap();
        let jobs = streams.iter().find(|stream| stream["name"] == "JOBS");
        jobs.unwrap()["state"]["messages"].as_u64().unwrap()
    }
}

fn arguments(servers: &Pair, dir: &Path, flags: &[&str]) -> IngestArgs {
    let hex: String = JOB_ID_KEY.iter().map(|byte| format!("{byte:02x}")).collect();
    let keys = dir.join("job-id-keys.json");
    std::fs::write(&keys, json!({ "1": hex }).to_string()).unwrap();
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    let (nats_url, redis_url) = (servers.nats.url_of(Role::Ingest), servers.redis.url_of(Role::Ingest));
    let line = [
        "ingest",
        "--durability=process-crash",
        "--listen=127.0.0.1:0",
        "--admin-addr=127.0.0.1:0",
        "--nats-url",
        &nats_url,
        "--redis-url",
        &redis_url,
        "--models-dir",
        models.to_str().unwrap(),
        "--job-id-keys",
        keys.to_str().unwrap(),
    ];
    Command::parse_from(line.iter().chain(flags)).args
}

async fn put_key(store: &Store, key: &ApiKey, (tenant, grant): (&str, Grant)) {
    let record = ApiKeyRecord {
        tenant: tenant.parse().unwrap(),
        secret_digest: key.secret.digest(),
        name: "test".to_owned(),
        grant,
        created_at: Timestamp::from_millis(0),
        revoked_at: None,
    };
    until("the store", async || store.put_api_key(&key.id, &record).await.is_ok()).await;
}

pub(crate) fn acme() -> TenantId {
    "acme".parse().unwrap()
}

/// A job that any ingest accepts.
pub(crate) fn job() -> Value {
    json!({
        "model": "identity",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1.5, 2, 3]}],
    })
}

/// What an id accepted `ago` is made of.
pub(crate) fn mint(ago: Duration) -> Mint {
    let now = Timestamp::from(std::time::SystemTime::now());
    Mint {
        accepted_at: Timestamp::from_micros(now.as_micros() - ago.as_micros() as u64),
        time_to_live: Span::from_secs(60),
        retention: Retention::from_minutes(24 * 60).unwrap(),
        queue: QueueTag::of(&"identity".parse().unwrap(), &"1".parse().unwrap(), Lane::Interactive),
        random: [3; RANDOM_BYTES],
    }
}

/// An id accepted `ago`, signed by the stand's key or by another.
pub(crate) fn minted(tenant: &str, ago: Duration, key: [u8; 32]) -> JobId {
    let keys = JobIdKeys::new([(1, key)].into()).unwrap();
    keys.mint(&tenant.parse().unwrap(), mint(ago))
}

/// An id that this stand would have signed.
pub(crate) fn signed(tenant: &str, ago: Duration) -> JobId {
    minted(tenant, ago, JOB_ID_KEY)
}

/// Holds a problem against what it should be, and hands it over.
pub(crate) async fn problem(answer: Response, status: u16, code: &str) -> Value {
    let (got, headers) = (answer.status().as_u16(), answer.headers().clone());
    let body: Value = answer.json().await.unwrap();
    assert_eq!((got, body["code"].as_str()), (status, Some(code)), "{body}");
    assert_eq!(headers["content-type"], "application/problem+json");
    assert_eq!(
        headers.contains_key("retry-after"),
        matches!(status, 429 | 503),
        "{body}"
    );
    body
}
