//! Jobs that nobody runs and nobody asks for: each ends at its deadline all the same.

use gristmill_e2e::{Stack, wait::until};
use gristmill_schemas::{Digest, InferRequest, JobState};
use reqwest::Method;

use crate::identity;

fn living(request: &InferRequest, deadline: &str) -> InferRequest {
    InferRequest {
        deadline: Some(deadline.parse().expect("a length of time")),
        ..request.clone()
    }
}

#[tokio::test]
async fn jobs_without_a_worker_expire_unasked_and_leave_the_stream() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let client = stack.client("waits").await?;
    let mut request = identity(&[1.0]);
    request.provenance.dataset = Some("forgotten".to_owned());
    // together, so that envelopes hold jobs of several deadlines
    let wanted: Vec<InferRequest> = (0..40)
        .map(|i| living(&request, ["1s", "2s", "90s", "3s"][i % 4]))
        .collect();
    let views = futures_util::future::join_all(wanted.iter().map(|request| client.submit(request, 0))).await;
    let ids: Vec<String> = views
        .into_iter()
        .map(|view| anyhow::Ok(view?.id.to_string()))
        .collect::<Result<_, _>>()?;
    // one that has no owner any more: cancelled by its id alone, it leaves with its envelope
    let reply = client.request(Method::POST, &format!("/v1/jobs/{}/cancel", ids[1]));
    assert!(reply.send().await?.status().is_success());
    until("the jobs to be ended", || async {
        let ended = stack
            .ingest
            .metric("gristmill_reconciled_total", r#"state="expired""#)
            .await?;
        Ok((ended == 29.0).then_some(()))
    })
    .await?;
    for (i, id) in ids.iter().enumerate().filter(|(i, _)| i % 4 != 2) {
        let cancelled = i == 1;
        let state = if cancelled {
            JobState::Cancelled
        } else {
            JobState::Expired
        };
        let lineage = client.lineage(id).await?;
        assert_eq!(lineage.state, state);
        assert_eq!(lineage.provenance, request.provenance);
        assert_eq!(lineage.input_digest, Some(Digest::of_tensors(&request.inputs)));
        assert!(lineage.model.is_some() && lineage.worker.is_none() && lineage.stages.published_at.is_some());
    }
    let settled_by_reader = stack
        .ingest
        .metric("gristmill_settled_by_reader_total", r#"state="expired""#);
    assert_eq!(settled_by_reader.await?, 0.0);
    // whoever is still alive is run, by a worker that comes late
    let worker = stack.worker("late", &[]).await?;
    for id in ids.iter().skip(2).step_by(4) {
        assert_eq!(client.job(id, 30).await?.status, JobState::Succeeded);
    }
    let ran = worker
        .metric("gristmill_jobs_ended_total", r#"state="succeeded""#)
        .await?;
    assert_eq!(ran, 10.0);
    until("the stream to be empty", || async {
        Ok((stack.stream_envelopes().await? == 0).then_some(()))
    })
    .await
}

#[tokio::test]
async fn envelope_of_nothing_but_expired_jobs_leaves_the_stream_without_a_worker() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let client = stack.client("waits").await?;
    let id = client.submit(&living(&identity(&[1.0]), "1s"), 0).await?.id.to_string();
    until("the stream to be empty", || async {
        Ok((stack.stream_envelopes().await? == 0).then_some(()))
    })
    .await?;
    assert_eq!(client.job(&id, 0).await?.status, JobState::Expired);
    Ok(())
}
