//! A job of many engine calls while it runs: it tells what its rows gave, over server-sent events and in Redis, through lost
//! connections and a killed worker, the whole of it is the outcome, and it is in the list of what runs.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use eventsource_stream::{Event, Eventsource};
use futures_util::{Stream, StreamExt};
use gristmill_e2e::{Client, Stack, wait};
use gristmill_schemas::{
    InferRequest, JobState, Tensor,
    api::{JobPage, JobView},
    progress::ProgressView,
};
use reqwest::Method;

/// Texts of one job: thirty engine calls of the model, a second or so.
pub(crate) const ROWS: u32 = 240;
/// Nothing is as late as this.
const DEADLINE: Duration = Duration::from_secs(120);

/// A job of many engine calls.
pub(crate) fn texts() -> InferRequest {
    texts_of(ROWS)
}

fn texts_of(rows: u32) -> InferRequest {
    let texts = (0..rows).map(|row| format!("sack {row} of the mill by the river"));
    let text = Tensor::from_elements("text", &texts.collect::<Vec<_>>()).unwrap();
    InferRequest::new("minilm".parse().unwrap(), vec![text])
}

/// One who follows a job and puts its parts together.
struct Follower {
    last_id: Option<String>,
    attempt: u32,
    rows_done: u32,
    /// Outputs by their first row.
    parts: BTreeMap<u32, Vec<Tensor>>,
    outcome: Option<JobView>,
}

impl Follower {
    const fn new() -> Self {
        Self {
            last_id: None,
            attempt: 0,
            rows_done: 0,
            parts: BTreeMap::new(),
            outcome: None,
        }
    }

    async fn open(
        &self,
        client: &Client,
        id: &str,
    ) -> anyhow::Result<impl Stream<Item = anyhow::Result<Event>> + Unpin + use<>> {
        let path = format!("/v1/jobs/{id}/events?include=outputs");
        let mut call = client.request(Method::GET, &path).timeout(DEADLINE);
        if let Some(last) = &self.last_id {
            call = call.header("Last-Event-ID", last);
        }
        let answer = call.send().await?.error_for_status()?;
        let events = answer.bytes_stream().eventsource();
        Ok(Box::pin(events.map(|event| event.context("an event"))))
    }

    /// Follows until so many rows are done, or to the end.
    async fn follow(&mut self, client: &Client, id: &str, until: u32) -> anyhow::Result<()> {
        let mut events = self.open(client, id).await?;
        while self.rows_done < until && self.outcome.is_none() {
            let event = tokio::time::timeout(DEADLINE, events.next()).await?;
            self.take(event.context("the stream goes on")??)?;
        }
        Ok(())
    }

    fn take(&mut self, event: Event) -> anyhow::Result<()> {
        let comes_again = self.last_id.as_ref().is_some_and(|last| *last == event.id);
        match event.event.as_str() {
            "status" => ensure!(
                self.last_id.is_none() || comes_again,
                "a status keeps the place: {event:?}"
            ),
            "progress" => {
                ensure!(!comes_again, "told twice: {event:?}");
                let view: ProgressView = serde_json::from_str(&event.data)?;
                ensure!(view.attempt >= self.attempt, "an older attempt: {event:?}");
                if view.attempt > self.attempt {
                    *self = Self {
                        attempt: view.attempt,
                        ..Self::new()
                    };
                }
                ensure!(view.rows_done >= self.rows_done + view.rows, "in order: {event:?}");
                ensure!(view.rows_total == ROWS);
                self.rows_done = view.rows_done;
                let outputs = view.outputs.context("outputs were asked for")?;
                let outputs = outputs.into_iter().map(|output| output.0).collect();
                ensure!(self.parts.insert(view.from_row, outputs).is_none(), "rows told twice");
            }
            "outcome" => self.outcome = Some(serde_json::from_str(&event.data)?),
            _ => anyhow::bail!("{event:?}"),
        }
        self.last_id = Some(event.id);
        Ok(())
    }

    /// What was told is what the outcome has, bit for bit.
    fn assert_parts_are_of(&self, outputs: &[Tensor]) {
        assert!(!self.parts.is_empty());
        for (from_row, part) in &self.parts {
            for (told, whole) in part.iter().zip(outputs) {
                let rows = u64::from(*from_row)..u64::from(*from_row) + told.rows();
                assert_eq!(told.data(), whole.slice_rows(rows).data(), "rows from {from_row}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_of_a_long_job_are_told_as_they_are_run_and_are_those_of_its_outcome() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let _worker = stack.worker("worker", &["--model", "minilm"]).await?;
    let client = stack.client("acme").await?;
    let id = client.submit(&texts(), 0).await?.id.to_string();
    let mut follower = Follower::new();
    // breaks off in the middle and comes back, twice
    follower.follow(&client, &id, ROWS / 4).await?;
    let while_it_runs = client.job(&id, 0).await?;
    follower.follow(&client, &id, ROWS / 2).await?;
    follower.follow(&client, &id, u32::MAX).await?;
    let outcome = follower.outcome.as_ref().context("the job ends")?;
    assert_eq!(outcome.status, JobState::Succeeded);
    assert!(
        while_it_runs.status.is_terminal()
            || while_it_runs
                .progress
                .is_some_and(|so_far| so_far.rows_done >= ROWS / 4)
    );
    assert!(follower.rows_done < ROWS, "the last rows are the outcome's");
    let rows: u64 = follower.parts.values().map(|part| part[0].rows()).sum();
    assert_eq!(rows, u64::from(follower.rows_done), "none is left out");
    assert!(follower.parts.len() > 10, "{} parts", follower.parts.len());
    let outputs = client.result(&id).await?;
    follower.assert_parts_are_of(&outputs);
    assert!(client.job(&id, 0).await?.progress.is_none());
    // whoever comes now is told the end alone
    let mut late = Follower::new();
    late.follow(&client, &id, u32::MAX).await?;
    assert!(late.parts.is_empty() && late.outcome.is_some());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn job_whose_worker_is_killed_tells_its_next_attempt_anew_and_a_killed_store_harms_nobody() -> anyhow::Result<()>
{
    let mut stack = Stack::start().await?;
    let mut first = stack.worker("first", &["--model", "minilm"]).await?;
    let client = stack.client("acme").await?;
    let id = client.submit(&texts(), 0).await?.id.to_string();
    let mut follower = Follower::new();
    follower.follow(&client, &id, ROWS / 8).await?;
    let before = follower.attempt;
    first.kill().await?;
    let _second = stack.worker("second", &["--model", "minilm"]).await?;
    let of_second = wait::until("the second attempt to tell something", || async {
        let so_far = client.job(&id, 0).await?.progress;
        Ok(so_far.filter(|so_far| so_far.attempt > before))
    });
    assert_eq!(of_second.await?.attempt, 2);
    stack.servers.redis.kill().await?;
    stack.servers.redis.restart().await?;
    let began = Instant::now();
    while follower.outcome.is_none() {
        // a stream may break off with its store: whoever was listening comes back
        if let Err(error) = follower.follow(&client, &id, u32::MAX).await {
            ensure!(began.elapsed() < DEADLINE, "{error:#}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    let outcome = follower.outcome.as_ref().context("the job ends")?;
    assert_eq!(outcome.status, JobState::Succeeded);
    assert_eq!(follower.attempt, 2, "the follower heard of it");
    follower.assert_parts_are_of(&client.result(&id).await?);
    let lineage = client.lineage(&id).await?;
    assert_eq!(lineage.attempt, 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_job_is_in_the_list_of_what_runs_until_it_ends() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let _worker = stack.worker("worker", &["--model", "minilm"]).await?;
    let (client, stranger) = (stack.client("acme").await?, stack.client("other").await?);
    let list = async |client: &Client| -> anyhow::Result<JobPage> {
        let call = client.request(Method::GET, "/v1/jobs?status=running");
        Ok(call.send().await?.error_for_status()?.json().await?)
    };
    assert!(list(&client).await?.running.is_empty());
    let id = client.submit(&texts_of(4000), 0).await?.id;
    let listed = wait::until("the job to be listed", || async {
        Ok(list(&client).await?.running.into_iter().next())
    });
    let listed = listed.await?;
    assert_eq!((listed.id, listed.model.as_str(), listed.attempt), (id, "minilm", 1));
    assert!(list(&stranger).await?.running.is_empty());
    let cancel = client.request(Method::POST, &format!("/v1/jobs/{id}/cancel"));
    cancel.send().await?.error_for_status()?;
    assert!(list(&client).await?.running.is_empty(), "what has ended does not run");
    Ok(())
}
