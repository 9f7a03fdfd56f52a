//! An upload in bulk whose ingest is killed under it: sent again to another one, each line is one job, and all of them end.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use gristmill_e2e::{Client, Stack};
use gristmill_schemas::{
    JobId, JobState,
    api::{BulkReply, JobView},
};
use reqwest::{Method, Response};

const LINES: usize = 3000;

fn body() -> String {
    let line = |index| {
        format!(
            r#"{{"model":"identity","idempotency_key":"row-{index}","inputs":[{{"name":"x","datatype":"FP32","shape":[1,1],"data":[{index}]}}]}}"#
        ) + "\n"
    };
    (0..LINES).map(line).collect()
}

async fn upload(client: &Client) -> anyhow::Result<Response> {
    let call = client.request(Method::POST, "/v1/jobs/bulk");
    let call = call.header("content-type", "application/x-ndjson").body(body());
    Ok(call.send().await?.error_for_status()?)
}

fn read(bytes: &[u8]) -> Vec<BulkReply> {
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let lines = bytes[..whole]
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upload_that_broke_off_is_sent_again_and_each_line_is_one_job() -> anyhow::Result<()> {
    let mut stack = Stack::start().await?;
    let _worker = stack.worker("worker", &[]).await?;
    let key = stack.api_key("acme").await?;
    let (mut told, mut chunks) = (
        Vec::new(),
        upload(&Client::new(&stack.url()?, &key)).await?.bytes_stream(),
    );
    while read(&told).len() < LINES / 10 {
        told.extend(chunks.next().await.expect("it goes on")?);
    }
    stack.ingest.kill().await?;
    while let Some(Ok(more)) = chunks.next().await {
        told.extend(more);
    }
    let kept = read(&told);
    assert!(kept.len() < LINES, "it broke off: {}", kept.len());

    let other = stack.another_ingest("other").await?;
    stack.until_known(&key, &other).await?;
    let client = Client::new(other.at.url.as_deref().expect("an ingest has a URL"), &key);
    let all = read(&upload(&client).await?.bytes().await?);
    assert!(
        all.iter().all(|reply| reply.id.is_some()),
        "{:?}",
        all.iter().find(|reply| reply.id.is_none())
    );
    let ids: BTreeSet<JobId> = all.iter().filter_map(|reply| reply.id).collect();
    assert_eq!((all.len(), ids.len()), (LINES, LINES));
    for (before, after) in kept.iter().zip(&all) {
        assert_eq!((before.index, before.id), (after.index, after.id));
        assert!(after.replayed, "{after:?}");
    }
    let ends = stream::iter(ids).map(async |id| {
        let call = client.request(Method::GET, &format!("/v1/jobs/{id}?wait=30s"));
        let view: JobView = call.send().await?.error_for_status()?.json().await?;
        anyhow::ensure!(view.status == JobState::Succeeded, "{view:?}");
        Ok(())
    });
    ends.buffer_unordered(32).try_collect::<Vec<()>>().await?;
    Ok(())
}
