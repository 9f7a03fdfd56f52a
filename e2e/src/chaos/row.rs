//! One row of the table: a fresh pipeline, a load, a fault, and then the reckoning.

use std::{collections::BTreeMap, process::Command, sync::Arc, time::Duration};

use anyhow::Context;
use gristmill_schemas::{JobId, JobState, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::chaos::{
    caller::Caller,
    checker::{self, Evidence, Promise, Verdict},
    cluster::Cluster,
    fault::{Fault, Proof, Scene},
    history::{Call, End, History, Way},
    plan::Plan,
    recovery::{self, Course},
    seed::Seed,
    stores::{self, Stored},
    subscriber::Subscribers,
    workload::Workload,
};

/// The load goes on for so long after the fault, so that recovery can be seen.
const AFTERMATH: Duration = Duration::from_secs(3);
/// How long, whatever the row's own limit, acks that were lost may keep envelopes on the stream.
const STREAM_LIMIT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);
/// Within so many seconds of the fault's end jobs have to end as fast as before, or nearly.
const RECOVERY_LIMIT_S: f64 = 10.0;
/// What stands for a recovery that never came.
const NEVER_S: f64 = 120.0;
/// Jobs that are read back at once.
const READERS: usize = 16;

/// A row as it is published.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// The fault's name.
    pub fault: String,
    /// How often it was injected.
    pub injections: u64,
    /// What shows that it happened.
    pub proof: String,
    /// Jobs that were accepted.
    pub accepted: u64,
    /// Jobs that were accepted and have no end.
    pub lost: u64,
    /// Jobs with more than one end.
    pub conflicting: u64,
    /// Jobs that ended and that nobody has handed in.
    pub ghosts: u64,
    /// Jobs that a stranger was shown.
    pub cross_tenant: u64,
    /// The most executions of one job.
    pub max_executions: u32,
    /// Seconds until jobs ended as fast as before the fault.
    pub recovery_s: f64,
    /// Why the row failed; empty if it did not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<String>,
    /// What the pipeline was built from.
    #[serde(default)]
    pub commit: String,
    /// Which promises were broken, and how often.
    #[serde(skip)]
    pub broken: BTreeMap<Promise, u64>,
}

impl Row {
    /// Whether every promise was kept and the fault is proved.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }

    fn failed(fault: &dyn Fault, error: &anyhow::Error) -> Self {
        Self {
            fault: fault.name().to_owned(),
            injections: 0,
            proof: format!("not run: {error:#}"),
            accepted: 0,
            lost: 0,
            conflicting: 0,
            ghosts: 0,
            cross_tenant: 0,
            max_executions: 0,
            recovery_s: 0.0,
            failures: vec![format!("{error:#}")],
            commit: commit(),
            broken: BTreeMap::new(),
        }
    }
}

/// Runs one row. What cannot be run is a row that failed, by name.
pub async fn run(fault: &dyn Fault, jobs: u64, seed: &Seed) -> Row {
    match attempt(fault, jobs, &seed.named(fault.name())).await {
        Ok(row) => row,
        Err(error) => Row::failed(fault, &error),
    }
}

async fn attempt(fault: &dyn Fault, jobs: u64, seed: &Seed) -> anyhow::Result<Row> {
    let jobs = fault.jobs(jobs);
    let cluster = Cluster::start(fault.setup()).await.context("starting the pipeline")?;
    let history = History::default();
    let callers = cluster.callers(&history)?;
    let mix = fault.mix(jobs);
    let poison = mix.poison.clone();
    let subscribers = Subscribers::start(&callers).await.context("subscribing")?;
    let load = Workload::start(callers.clone(), Plan::new(seed.of(0), mix), jobs);
    let clients = (Arc::clone(&load.progress), callers.clone());
    let mut scene = Scene::new(cluster, clients, history.clone(), (jobs, seed.of(1)));
    let injected = fault.inject(&mut scene).await.context("injecting the fault");
    let healed = history.now();
    let deadline = Instant::now() + fault.drain_limit();
    sleep(AFTERMATH).await;
    load.finish(deadline).await?;
    injected?;
    drain_stream(&scene.cluster, deadline).await?;
    read_back(&callers, &history).await;
    let stored = Stored::read(&scene.cluster.servers.redis.url(), &scene.cluster.servers.nats.url()).await?;
    let heard = subscribers.finish(stored.events.keys().copied()).await?;
    let proof = fault.proof(&scene).await.context("looking for the proof")?;
    let course = Course {
        began: history.clock_at(Duration::ZERO),
        injected: history.clock_at(scene.first.unwrap_or(healed)),
        healed: history.clock_at(healed),
    };
    let mut commits: Vec<Timestamp> = stored.jobs.iter().filter_map(|job| job.committed_at).collect();
    let mut allowance = fault.allowance();
    allowance.poison.extend(poison);
    let evidence = Evidence {
        ops: history.ops(),
        history,
        stored,
        heard,
        executions: scene.executions.clone(),
        secrets: scene.cluster.leaked_secrets().await?,
        allowance,
    };
    let verdict = tokio::task::spawn_blocking(move || checker::check(&evidence)).await?;
    Ok(told(
        fault.name(),
        &scene,
        (verdict, proof),
        recovery::seconds(&mut commits, course),
    ))
}

fn told(fault: &str, scene: &Scene, (verdict, proof): (Verdict, Proof), recovery_s: Option<f64>) -> Row {
    let mut failures: Vec<String> = verdict.violations.iter().map(ToString::to_string).collect();
    failures.extend(
        proof
            .missing()
            .into_iter()
            .map(|name| format!("no proof of the fault: {name} is 0")),
    );
    if scene.injections == 0 {
        failures.push("the fault was never injected".to_owned());
    }
    match recovery_s {
        None => failures.push("no job ended after the fault".to_owned()),
        Some(seconds) if seconds > RECOVERY_LIMIT_S => {
            failures.push(format!(
                "jobs ended as fast as before only {seconds:.1} s after the fault"
            ));
        }
        Some(_) => {}
    }
    Row {
        fault: fault.to_owned(),
        injections: scene.injections,
        proof: proof.to_string(),
        accepted: verdict.accepted,
        lost: verdict.count(Promise::NothingLost),
        conflicting: verdict.count(Promise::OneEnd),
        ghosts: verdict.count(Promise::NoGhosts),
        cross_tenant: verdict.count(Promise::Isolation),
        max_executions: verdict.max_executions,
        recovery_s: recovery_s.unwrap_or(NEVER_S),
        broken: verdict.by_promise(),
        failures,
        commit: commit(),
    }
}

fn commit() -> String {
    let asked = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let told = asked.ok().filter(|told| told.status.success());
    told.map_or_else(
        || "unknown".to_owned(),
        |told| String::from_utf8_lossy(&told.stdout).trim().to_owned(),
    )
}

/// Waits until the stream is empty; if it never is, the checker says so.
async fn drain_stream(cluster: &Cluster, deadline: Instant) -> anyhow::Result<()> {
    let deadline = deadline.max(Instant::now() + STREAM_LIMIT);
    while stores::envelopes(&cluster.servers.nats.url()).await? > 0 && Instant::now() < deadline {
        sleep(PAUSE).await;
    }
    Ok(())
}

/// Reads every job by every way, from both doors.
async fn read_back(callers: &[Caller], history: &History) {
    let mut jobs: BTreeMap<JobId, usize> = BTreeMap::new();
    for op in history.ops() {
        if let (Call::Submit { .. }, End::Ok(answer)) = (&op.call, &op.end) {
            jobs.insert(answer.id, op.tenant);
        }
    }
    let mut readers = JoinSet::new();
    for (id, tenant) in jobs {
        if readers.len() >= READERS {
            readers.join_next().await;
        }
        readers.spawn(read_one(callers[tenant].clone(), id));
    }
    readers.join_all().await;
}

async fn read_one(caller: Caller, id: JobId) {
    let end = caller.read(0, id, Way::Poll).await;
    // what these are told stands in the history
    let _ = caller.read(1, id, Way::Poll).await;
    let _ = caller.read(1, id, Way::Lineage).await;
    if matches!(&end, End::Ok(answer) if answer.state == JobState::Succeeded) {
        let _ = caller.read(0, id, Way::Result).await;
    }
    if matches!(&end, End::Ok(answer) if answer.state.is_terminal()) {
        let _ = caller.events(1, id).await;
    }
}
