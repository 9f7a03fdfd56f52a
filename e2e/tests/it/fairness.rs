//! Who waits for whom: a tenant deep in backlog beside a quiet one, and the two lanes. All by order of execution, read from
//! lineage, never by how long anything took.

use anyhow::{Context, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use gristmill_e2e::{Client, Process, Stack, wait};
use gristmill_schemas::{InferRequest, JobState, Lane, Lineage, TenantId, Timestamp, subject::TenantGroup};
use reqwest::{Method, StatusCode};

use crate::identity;

/// Jobs of the deep tenant, unless `GRISTMILL_FAIRNESS_DEPTH` says otherwise.
const DEPTH: usize = 5_000;
/// Jobs of the quiet tenant, one after the other.
const QUIET: usize = 10;
/// Requests in progress while a backlog is put up or read back.
const IN_FLIGHT: usize = 64;
/// Rows of one batch of the model, and the jobs of one row that one envelope holds.
const BATCH: usize = 64;
/// Envelopes of one queue that a worker holds (`--prefetch`).
const PREFETCH: usize = 2;
/// What a worker may have in hand of the deep tenant when a quiet tenant's job comes: its envelopes, and the batch in the
/// engine.
const HELD: usize = PREFETCH * BATCH + BATCH;

/// The first tenant of a name with a number that is, or is not, in the group of another.
fn tenant(name: &str, of: &str, same_group: bool) -> String {
    let group = |name: &str| TenantGroup::of(&name.parse::<TenantId>().expect("a name"));
    let mut names = (0..).map(|number| format!("{name}{number}"));
    names
        .find(|name| (group(name) == group(of)) == same_group)
        .expect("endless")
}

/// Puts up a backlog and returns the ids in the order of their submission, as far as there is one.
async fn backlog(client: &Client, jobs: usize, lane: Lane) -> anyhow::Result<Vec<String>> {
    let request = InferRequest {
        lane,
        ..identity(&[1.0])
    };
    let submitted = stream::iter(0..jobs).map(|_| client.submit(&request, 0));
    let submitted = submitted.buffered(IN_FLIGHT).map_ok(|view| view.id.to_string());
    submitted.try_collect().await
}

/// When the engine began with each of these jobs that has ended.
async fn started(client: &Client, ids: &[String]) -> anyhow::Result<Vec<Timestamp>> {
    let read = stream::iter(ids).map(async |id| {
        let reply = client
            .request(Method::GET, &format!("/v1/jobs/{id}/lineage"))
            .send()
            .await?;
        if reply.status() == StatusCode::CONFLICT {
            return Ok(None);
        }
        let lineage: Lineage = serde_json::from_str(&reply.error_for_status()?.text().await?)?;
        anyhow::Ok(lineage.stages.compute_started_at)
    });
    let read = read.buffer_unordered(IN_FLIGHT);
    read.try_filter_map(async |at| Ok(at)).try_collect().await
}

/// What stood between one quiet job and its execution.
#[derive(Debug)]
struct Passed {
    /// Jobs of the deep tenant that began after the worker had the quiet one.
    at_the_worker: usize,
    /// Those that began after the stream had it.
    since_published: usize,
}

/// A deep tenant, then the worker, then a quiet tenant's jobs; how many of the deep one's began before each.
async fn measure(same_group: bool) -> anyhow::Result<Vec<Passed>> {
    let depth = std::env::var("GRISTMILL_FAIRNESS_DEPTH").map_or(Ok(DEPTH), |depth| depth.parse())?;
    let stack = Stack::start().await?;
    let deep = stack.client("deep").await?;
    let quiet = stack.client(&tenant("quiet", "deep", same_group)).await?;
    let ids = backlog(&deep, depth, Lane::Interactive).await?;
    let _worker = worker(&stack).await?;
    let mut lineages = Vec::new();
    for _ in 0..if same_group { 1 } else { QUIET } {
        let id = quiet.submit(&identity(&[2.0]), 0).await?.id.to_string();
        ensure!(quiet.job(&id, 30).await?.status == JobState::Succeeded);
        lineages.push(quiet.lineage(&id).await?);
    }
    let began = started(&deep, &ids).await?;
    let last = lineages.last().and_then(|last| last.stages.compute_started_at);
    let left = ids.len() - began.iter().filter(|at| Some(**at) < last).count();
    ensure!(
        same_group || left > HELD,
        "the backlog ended before the quiet jobs: {left} were left"
    );
    lineages.iter().map(|lineage| passed(lineage, &began)).collect()
}

async fn worker(stack: &Stack) -> anyhow::Result<Process> {
    let prefetch = PREFETCH.to_string();
    stack
        .worker("worker", &["--model", "identity", "--prefetch", &prefetch])
        .await
}

fn passed(quiet: &Lineage, began: &[Timestamp]) -> anyhow::Result<Passed> {
    let stages = quiet.stages;
    let until = stages.compute_started_at.context("it ran")?;
    let since = |from: Timestamp| began.iter().filter(|at| (from..until).contains(*at)).count();
    Ok(Passed {
        at_the_worker: since(stages.received_at.context("it was received")?),
        since_published: since(stages.published_at.context("it was published")?),
    })
}

/// With 100,000 jobs: `GRISTMILL_FAIRNESS_DEPTH=100000 cargo test -p gristmill-e2e fairness`, better with `--release`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deep_backlog_passes_no_job_of_another_group_beyond_what_the_worker_holds() -> anyhow::Result<()> {
    let passed = measure(false).await?;
    assert!(
        passed.iter().all(|passed| passed.at_the_worker <= HELD),
        "once at the worker, more than {HELD} went first: {passed:?}"
    );
    // on its way to the worker a job may meet a pause of the machine, so that this holds for most of them
    let mut since: Vec<_> = passed.iter().map(|passed| passed.since_published).collect();
    since.sort_unstable();
    assert!(
        since[since.len() / 2] <= HELD,
        "once published, more than {HELD} went first: {passed:?}"
    );
    println!("of the deep tenant went first: {passed:?}");
    Ok(())
}

/// Not a promise but a measurement, for docs/DEPLOYMENT.md: tenants of one group wait in one queue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: run it with --ignored --nocapture"]
async fn a_deep_backlog_goes_before_a_job_of_its_own_group() -> anyhow::Result<()> {
    println!("of the deep tenant went first: {:?}", measure(true).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_batch_lane_never_gets_below_a_tenth_while_interactive_is_saturated() -> anyhow::Result<()> {
    // the batch lane's turn comes after nine full batches
    const TURN: usize = 9 * BATCH;
    let stack = Stack::start().await?;
    let client = stack.client("lanes").await?;
    let interactive = backlog(&client, 6 * TURN, Lane::Interactive).await?;
    let batch = backlog(&client, 2 * TURN, Lane::Batch).await?;
    let worker = worker(&stack).await?;
    wait::until("every job to end", || async {
        let ended = worker.metric("gristmill_jobs_ended_total", "succeeded").await?;
        Ok((ended >= (interactive.len() + batch.len()) as f64).then_some(()))
    })
    .await?;
    let mut order: Vec<(Timestamp, Lane)> = Vec::new();
    for (lane, ids) in [(Lane::Interactive, &interactive), (Lane::Batch, &batch)] {
        let began = started(&client, ids).await?;
        assert_eq!(began.len(), ids.len(), "all of them ran");
        order.extend(began.into_iter().map(|at| (at, lane)));
    }
    order.sort_unstable();
    // how many went before its first envelope was at the worker is a matter of the worker's start
    let first = order.iter().position(|(_, lane)| *lane == Lane::Batch);
    let first = first.filter(|first| *first < interactive.len());
    let first = first.expect("the batch lane begins while interactive jobs wait");
    let (mut of_interactive, mut of_batch) = (0, 0);
    for (_, lane) in order.split_off(first) {
        match lane {
            Lane::Interactive => of_interactive += 1,
            Lane::Batch => of_batch += 1,
        }
        assert!(
            of_batch == batch.len() || of_interactive <= 9 * of_batch + TURN,
            "{of_batch} of the batch lane after {of_interactive} interactive ones"
        );
    }
    Ok(())
}
