//! Jobs that nobody runs and nobody asks for: each ends at its deadline all the same.

use std::time::Duration;

use anyhow::Context;
use gristmill_e2e::{Client, Process, Stack, wait::until};
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

/// The text of an event stream until its end.
async fn events(client: &Client, id: &str) -> anyhow::Result<String> {
    let stream = client.request(Method::GET, &format!("/v1/jobs/{id}/events"));
    Ok(stream.send().await?.error_for_status()?.text().await?)
}

#[tokio::test]
async fn whoever_waits_for_a_job_that_the_broker_lost_is_told_its_end() -> anyhow::Result<()> {
    let flags = ["--expiry-grace", "500ms"].map(str::to_owned);
    let stack = Stack::start_in(tempfile::tempdir()?, &flags).await?;
    let client = stack.client("waits").await?;
    let id = client.submit(&living(&identity(&[1.0]), "3s"), 0).await?.id.to_string();
    let (follow, poll) = (client.clone(), client.clone());
    let (followed, polled) = (id.clone(), id.clone());
    let follows = tokio::spawn(async move { events(&follow, &followed).await });
    let polls = tokio::spawn(async move { poll.job(&polled, 25).await });
    until("both to wait", || async {
        Ok((stack.ingest.metric("gristmill_waiting_requests", "").await? == 2.0).then_some(()))
    })
    .await?;
    stack.purge_stream().await?;
    let told = follows.await??;
    let (status, outcome) = told.split_once("event: outcome").context("there is an outcome")?;
    assert!(status.contains(r#""status":"queued""#), "{told}");
    assert!(outcome.contains(r#""status":"expired""#), "{told}");
    let view = polls.await??;
    assert_eq!(view.status, JobState::Expired);
    // when the grace was over, and not at the end of the wait
    let settled = view.completed_at.context("it has ended")?;
    assert!(settled.since(view.deadline) < Duration::from_secs(10), "{view:?}");
    let expired = r#"state="expired""#;
    let by_reader = stack
        .ingest
        .metric("gristmill_settled_by_reader_total", expired)
        .await?;
    let reconciled = stack.ingest.metric("gristmill_reconciled_total", expired).await?;
    assert_eq!((by_reader, reconciled), (1.0, 0.0));
    Ok(())
}

#[tokio::test]
async fn another_ingest_takes_over_from_one_that_dies() -> anyhow::Result<()> {
    let mut stack = Stack::start().await?;
    let client = stack.client("waits").await?;
    let second = stack.another_ingest("ingest-2").await?;
    let wanted = living(&identity(&[1.0]), "15s");
    for _ in 0..3 {
        client.submit(&wanted, 0).await?;
    }
    let watched = async |ingest: &Process| ingest.metric("gristmill_envelopes_watched", "").await;
    until("the jobs to be watched", || async {
        Ok((watched(&stack.ingest).await? == 3.0).then_some(()))
    })
    .await?;
    // one at a time
    assert_eq!(watched(&second).await?, 0.0);
    stack.ingest.kill().await?;
    until("the jobs to be ended by the other", || async {
        let ended = second
            .metric("gristmill_reconciled_total", r#"state="expired""#)
            .await?;
        Ok((ended == 3.0).then_some(()))
    })
    .await?;
    until("the stream to be empty", || async {
        Ok((stack.stream_envelopes().await? == 0).then_some(()))
    })
    .await
}

#[tokio::test]
async fn cancelled_jobs_leave_a_nearly_full_stream_before_their_deadline() -> anyhow::Result<()> {
    let flags = ["--stream-max-bytes", "20000"].map(str::to_owned);
    let stack = Stack::start_in(tempfile::tempdir()?, &flags).await?;
    let client = stack.client("fills").await?;
    let wanted = living(&identity(&[1.0; 256]), "90s");
    let mut ids = Vec::new();
    let refused = loop {
        match client.submit(&wanted, 0).await {
            Ok(view) => ids.push(view.id.to_string()),
            Err(error) => break error.to_string(),
        }
    };
    assert!(refused.contains("stream_full"), "{refused}");
    let (kept, cancelled) = ids.split_first().context("some were accepted")?;
    for id in cancelled {
        let reply = client.request(Method::POST, &format!("/v1/jobs/{id}/cancel")).send();
        assert!(reply.await?.status().is_success());
    }
    until("room on the stream", || async {
        Ok((stack.stream_envelopes().await? == 1).then_some(()))
    })
    .await?;
    assert_eq!(client.job(kept, 0).await?.status, JobState::Queued);
    let lineage = client.lineage(&cancelled[0]).await?;
    assert_eq!(lineage.input_digest, Some(Digest::of_tensors(&wanted.inputs)));
    client.submit(&wanted, 0).await?;
    Ok(())
}

#[tokio::test]
async fn record_that_cannot_be_read_keeps_its_envelope_and_no_other() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let client = stack.client("waits").await?;
    let broken = client.submit(&living(&identity(&[1.0]), "1s"), 0).await?.id;
    let key = gristmill_schemas::key::job(&"waits".parse()?, &broken);
    let redis = redis::Client::open(stack.servers.redis.url())?;
    let mut connection = redis.get_multiplexed_async_connection().await?;
    let _: () = redis::cmd("SET")
        .arg(key)
        .arg("nonsense")
        .query_async(&mut connection)
        .await?;
    let sound = client.submit(&living(&identity(&[1.0]), "2s"), 0).await?.id.to_string();
    until("the sound one to be ended", || async {
        let ended = stack
            .ingest
            .metric("gristmill_reconciled_total", r#"state="expired""#)
            .await?;
        Ok((ended == 1.0).then_some(()))
    })
    .await?;
    assert_eq!(client.job(&sound, 0).await?.status, JobState::Expired);
    until("only the broken one's envelope to be left", || async {
        Ok((stack.stream_envelopes().await? == 1).then_some(()))
    })
    .await
}
