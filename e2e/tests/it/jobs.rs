//! The life of single jobs: answered, sliced, cancelled, expired, seen by nobody else.

use std::time::Duration;

use gristmill_e2e::{Stack, wait};
use gristmill_schemas::{
    InferRequest, JobState, Lane, Span, Tensor,
    api::{JobPage, QueueView, Queues},
};
use gristmill_servers::Signal;
use reqwest::{Method, StatusCode};

use crate::identity;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_comes_back_as_its_own_answer_by_every_way_of_reading_it() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let _worker = stack.worker("worker", &["--model", "identity"]).await?;
    let client = stack.client("one").await?;
    let row = [1.5_f32, -0.25, 3.0e-9];
    let view = client.submit(&identity(&row), 0).await?;
    let id = view.id.to_string();
    let ended = client.job(&id, 30).await?;
    assert_eq!(ended.status, JobState::Succeeded);
    let outputs = client.result(&id).await?;
    assert_eq!(outputs[0].f32_values().collect::<Vec<_>>(), row);

    let raw = client
        .request(Method::GET, &format!("/v1/jobs/{id}/result"))
        .header("accept", "application/octet-stream");
    let raw = raw.send().await?.error_for_status()?.bytes().await?;
    assert_eq!(raw, outputs[0].data());

    let json: serde_json::Value = client
        .request(Method::GET, &format!("/v1/jobs/{id}/result"))
        .send()
        .await?
        .json()
        .await?;
    let values: Vec<f32> = serde_json::from_value(json["outputs"][0]["data"].clone())?;
    assert_eq!(values, row);

    let events = client
        .request(Method::GET, &format!("/v1/jobs/{id}/events"))
        .send()
        .await?
        .text()
        .await?;
    assert!(
        events.contains("event: outcome") && events.contains("succeeded"),
        "{events}"
    );

    let list = client.request(Method::GET, "/v1/jobs?model=identity&status=succeeded");
    let page: JobPage = list.send().await?.error_for_status()?.json().await?;
    let [listed] = &page.jobs[..] else { panic!("{page:?}") };
    assert_eq!((listed.id, listed.created_at), (ended.id, ended.created_at));
    let queues = client.request(Method::GET, "/v1/queues");
    let queues: Queues = queues.send().await?.error_for_status()?.json().await?;
    let served = |queue: &&QueueView| queue.model.as_str() == "identity" && queue.lane == Lane::Interactive;
    let served = queues.queues.iter().find(served).unwrap();
    assert!(served.envelopes.is_some() && queues.jobs == 0, "{queues:?}");

    let stranger = stack.client("two").await?;
    for path in ["", "/result", "/lineage", "/events"] {
        let reply = stranger
            .request(Method::GET, &format!("/v1/jobs/{id}{path}"))
            .send()
            .await?;
        assert_eq!(reply.status(), StatusCode::NOT_FOUND, "{path}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_larger_than_a_batch_is_put_together_again_in_order() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let worker = stack.worker("worker", &["--model", "identity"]).await?;
    let client = stack.client("rows").await?;
    let rows: Vec<f32> = (0..1000_u16)
        .flat_map(|row| [f32::from(row), f32::from(row) + 0.5])
        .collect();
    let request = InferRequest::new("identity".parse()?, vec![Tensor::from_f32("x", vec![1000, 2], &rows)?]);
    let outputs = client.infer(&request).await?;
    assert_eq!(outputs[0].shape(), [1000, 2]);
    assert_eq!(outputs[0].f32_values().collect::<Vec<_>>(), rows);
    assert!(worker.metric("gristmill_executions_total", "").await? >= 1000.0 / 64.0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_job_never_runs() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let client = stack.client("cancels").await?;
    let mut request = identity(&[1.0]);
    request.provenance.dataset = Some("regretted".to_owned());
    let id = client.submit(&request, 0).await?.id.to_string();
    let reply = client
        .request(Method::POST, &format!("/v1/jobs/{id}/cancel"))
        .send()
        .await?;
    assert_eq!(reply.status(), StatusCode::OK);
    let worker = stack.worker("worker", &["--model", "identity"]).await?;
    wait::until("the worker to pass over it", || async {
        Ok((worker.metric("gristmill_jobs_passed_over_total", "").await? > 0.0).then_some(()))
    })
    .await?;
    assert_eq!(client.job(&id, 0).await?.status, JobState::Cancelled);
    let lineage = client.lineage(&id).await?;
    assert_eq!(lineage.state, JobState::Cancelled);
    assert_eq!(
        lineage.input_digest,
        Some(gristmill_schemas::Digest::of_tensors(&request.inputs))
    );
    assert_eq!(lineage.provenance, request.provenance);
    assert!(lineage.model.is_some() && lineage.worker.is_none() && lineage.batches.is_empty());
    assert_eq!(worker.metric("gristmill_executions_total", "").await?, 0.0);
    let again = client
        .request(Method::POST, &format!("/v1/jobs/{id}/cancel"))
        .send()
        .await?;
    assert_eq!(again.status(), StatusCode::CONFLICT);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_job_of_a_quick_model_may_run_but_stays_cancelled_and_says_so() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let client = stack.client("cancels").await?;
    let worker = stack.worker("worker", &["--model", "identity"]).await?;
    // from here on the worker knows that to run a job costs less than to ask after it
    for _ in 0..3 {
        client.infer(&identity(&[1.0])).await?;
    }
    worker.signal(Signal::SIGSTOP)?;
    let request = identity(&[2.0]);
    let id = client.submit(&request, 0).await?.id.to_string();
    let reply = client.request(Method::POST, &format!("/v1/jobs/{id}/cancel"));
    assert_eq!(reply.send().await?.status(), StatusCode::OK);
    worker.signal(Signal::SIGCONT)?;
    wait::until("the worker to pass over it", || async {
        Ok((worker.metric("gristmill_jobs_passed_over_total", "").await? > 0.0).then_some(()))
    })
    .await?;
    let view = client.job(&id, 0).await?;
    assert!(view.status == JobState::Cancelled && view.outputs.is_none(), "{view:?}");
    let lineage = client.lineage(&id).await?;
    assert_eq!(lineage.state, JobState::Cancelled);
    let digest = gristmill_schemas::Digest::of_tensors(&request.inputs);
    assert!(lineage.input_digest == Some(digest) && lineage.output_digest.is_none());
    assert_eq!(lineage.worker.is_some(), !lineage.batches.is_empty(), "{lineage:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_past_its_deadline_expires_instead_of_running() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let client = stack.client("late").await?;
    let mut request = identity(&[1.0]);
    request.deadline = Some(Span::from_millis(300));
    let view = client.submit(&request, 0).await?;
    // nobody works until its deadline has passed for certain
    wait::until("the deadline to pass", || async {
        let now = gristmill_schemas::Timestamp::from(std::time::SystemTime::now());
        Ok((now > view.deadline.plus(Duration::from_millis(200))).then_some(()))
    })
    .await?;
    let worker = stack.worker("worker", &["--model", "identity"]).await?;
    assert_eq!(client.job(&view.id.to_string(), 30).await?.status, JobState::Expired);
    assert_eq!(worker.metric("gristmill_executions_total", "").await?, 0.0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_item_fails_alone() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let client = stack.client("mixed").await?;
    let text = |bytes: &[u8]| -> anyhow::Result<InferRequest> {
        Ok(InferRequest::new(
            "minilm".parse()?,
            vec![Tensor::from_elements("text", &[bytes])?],
        ))
    };
    // all wait in the stream before anybody works, so that they share a batch
    let good = [
        client.submit(&text(b"a mill by the river")?, 0).await?,
        client.submit(&text(b"grain")?, 0).await?,
    ];
    let bad = client.submit(&text(b"\xff\xfe not UTF-8")?, 0).await?;
    let _worker = stack.worker("worker", &["--model", "minilm"]).await?;
    for view in good {
        assert_eq!(client.job(&view.id.to_string(), 30).await?.status, JobState::Succeeded);
    }
    let bad = client.job(&bad.id.to_string(), 30).await?;
    assert_eq!(bad.status, JobState::Failed);
    assert_eq!(
        bad.failure.map(|failure| failure.code),
        Some(gristmill_schemas::FailureCode::InputInvalid)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_told_to_end_gives_back_what_it_has_not_begun() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let client = stack.client("drains").await?;
    let mut leaving = stack
        .worker("leaving", &["--model", "magika", "--prefetch", "8"])
        .await?;
    let content = vec![b'x'; 64];
    let request = InferRequest::new(
        "magika".parse()?,
        vec![Tensor::from_elements("content", &vec![content; 64])?],
    );
    let mut ids = Vec::new();
    for _ in 0..12 {
        ids.push(client.submit(&request, 0).await?.id.to_string());
    }
    assert!(
        leaving.terminate().await?,
        "it drains and ends well:\n{}",
        leaving.log()
    );
    let staying = stack.worker("staying", &["--model", "magika"]).await?;
    for id in ids {
        assert_eq!(client.job(&id, 30).await?.status, JobState::Succeeded);
        // what was given back burnt no attempt
        assert_eq!(client.lineage(&id).await?.attempt, 1);
    }
    let redelivered = r#"redelivered="true""#;
    assert!(staying.metric("gristmill_deliveries_total", redelivered).await? > 0.0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_holds_few_envelopes_however_many_large_jobs_wait() -> anyhow::Result<()> {
    const JOBS: usize = 24;
    // --prefetch, one batch in the engine and four whose outcomes are being stored, each of one envelope
    const HELD: f64 = 2.0 + 1.0 + 4.0;
    let stack = Stack::start().await?;
    let client = stack.client("large").await?;
    // four batches each, so that each job goes in slices and all of them stand in one queue
    let request = InferRequest::new(
        "magika".parse()?,
        vec![Tensor::from_elements("content", &vec![vec![b'y'; 64]; 32])?],
    );
    for _ in 0..JOBS {
        client.submit(&request, 0).await?;
    }
    let worker = stack.worker("worker", &["--model", "magika"]).await?;
    let most = std::cell::Cell::new(0.0_f64);
    wait::until("every job to end", || async {
        most.set(most.get().max(worker.metric("gristmill_envelopes_held", "").await?));
        let ended = worker.metric("gristmill_jobs_ended_total", "succeeded").await?;
        Ok((ended >= JOBS as f64).then_some(()))
    })
    .await?;
    let most = most.get();
    assert!((1.0..=HELD).contains(&most), "{most} envelopes were held at once");
    Ok(())
}
