//! A bulk upload whose outcomes are listened to by one who is cut off again and again: each is heard, and none twice.

use std::{collections::HashSet, time::Duration};

use anyhow::Context;
use eventsource_stream::Eventsource;
use futures_util::{StreamExt, stream};
use gristmill_e2e::{Client, Stack};
use gristmill_schemas::{
    JobId, JobState,
    api::{BulkReply, JobSummary},
};
use reqwest::{Body, Method};

/// Lines, unless `GRISTMILL_EVENTS_JOBS` says otherwise.
const JOBS: u64 = 8_000;
/// How often the listener is cut off.
const CUTS: u64 = 10;
/// Nothing is as late as this.
const DEADLINE: Duration = Duration::from_secs(120);
/// Lines in one piece of the body.
const PIECE: u64 = 100;

fn lines(jobs: u64) -> Body {
    let line = |index: u64| {
        let value = index % 1000;
        format!(
            r#"{{"model":"identity","inputs":[{{"name":"x","datatype":"FP32","shape":[1,1],"data":[{value}]}}],"metadata":{{"run":"7"}}}}"#
        ) + "\n"
    };
    let piece = move |from: u64| (from..jobs.min(from + PIECE)).map(line).collect::<String>();
    let pieces = (0..jobs).step_by(PIECE as usize).map(piece);
    Body::wrap_stream(stream::iter(pieces.map(Ok::<_, std::io::Error>)))
}

/// Uploads all of them and says which jobs they have become.
async fn upload(client: Client, jobs: u64) -> anyhow::Result<HashSet<JobId>> {
    let call = client.request(Method::POST, "/v1/jobs/bulk");
    let call = call
        .header("content-type", "application/x-ndjson")
        .timeout(DEADLINE * 100);
    let mut replies = call.body(lines(jobs)).send().await?.error_for_status()?.bytes_stream();
    let (mut ids, mut text) = (HashSet::new(), Vec::new());
    while let Some(bytes) = replies.next().await {
        text.extend_from_slice(&bytes?);
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        for line in text
            .drain(..whole)
            .as_slice()
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let reply: BulkReply = serde_json::from_slice(line)?;
            ids.insert(reply.id.with_context(|| format!("{reply:?}"))?);
        }
    }
    Ok(ids)
}

/// One who listens, and remembers the last id.
struct Listener {
    heard: HashSet<JobId>,
    cursor: String,
}

impl Listener {
    /// Listens until so many are heard in all, then breaks off, in the middle of whatever the server sends.
    async fn listen(&mut self, client: &Client, until: usize) -> anyhow::Result<()> {
        let call = client
            .request(Method::GET, "/v1/events?metadata.run=7")
            .timeout(DEADLINE * 100);
        let answer = call
            .header("Last-Event-ID", &self.cursor)
            .send()
            .await?
            .error_for_status()?;
        let mut events = answer.bytes_stream().eventsource();
        while self.heard.len() < until {
            let next = tokio::time::timeout(DEADLINE, events.next()).await;
            let event = next.with_context(|| format!("{} heard of {until}", self.heard.len()))?;
            let event = event.context("the stream goes on")??;
            self.cursor.clone_from(&event.id);
            if event.data.is_empty() {
                continue;
            }
            anyhow::ensure!(event.event == "outcome", "{event:?}");
            let summary: JobSummary = serde_json::from_str(&event.data)?;
            anyhow::ensure!(summary.status == JobState::Succeeded, "{summary:?}");
            anyhow::ensure!(self.heard.insert(summary.id), "heard twice: {}", summary.id);
        }
        Ok(())
    }
}

/// With a million: `GRISTMILL_EVENTS_JOBS=1000000 cargo test -p gristmill-e2e events`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listener_that_is_cut_off_ten_times_hears_of_every_job_of_an_upload_once() -> anyhow::Result<()> {
    let jobs = std::env::var("GRISTMILL_EVENTS_JOBS").map_or(Ok(JOBS), |jobs| jobs.parse())?;
    let mut stack = Stack::start().await?;
    let _worker = stack.worker("worker", &[]).await?;
    let key = stack.api_key("acme").await?;
    let other = stack.another_ingest("other").await?;
    stack.until_known(&key, &other).await?;
    let doors = [
        Client::new(&stack.url()?, &key),
        Client::new(other.at.url.as_deref().context("an ingest has a URL")?, &key),
    ];
    // a million outcomes take more than a test's store has
    stack.set_store("maxmemory", "0").await?;
    let cursor = doors[0].cursor().await?;
    let uploading = tokio::spawn(upload(doors[0].clone(), jobs));
    let mut listener = Listener {
        heard: HashSet::new(),
        cursor,
    };
    for (cut, door) in (1..=CUTS).zip(doors.iter().cycle()) {
        let until = jobs * cut / (CUTS + 1);
        listener.listen(door, usize::try_from(until)?).await?;
        if cut == CUTS / 2 {
            stack.servers.redis.kill().await?;
            stack.servers.redis.restart().await?;
            // a million outcomes take more than a test's store has
            stack.set_store("maxmemory", "0").await?;
        }
    }
    listener.listen(&doors[1], usize::try_from(jobs)?).await?;
    let ids = uploading.await??;
    assert_eq!(ids.len() as u64, jobs);
    // not all of them in a message, should they differ
    assert!(
        ids == listener.heard,
        "{} of them were accepted",
        ids.intersection(&listener.heard).count()
    );
    Ok(())
}
