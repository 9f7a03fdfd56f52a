//! What becomes of jobs that cannot be run: each ends alone, leaves one dead letter, and may be driven through again.

use futures_util::future::join_all;
use gristmill_e2e::{
    Client, Process, Stack, binary,
    graphs::{self, request, values},
    wait::until,
};
use gristmill_schemas::{
    FailureCode, JobState,
    api::JobView,
    dead_letter::{DeadLetterDetail, DeadLetterPage, DeadLetterResults},
};
use reqwest::{Method, StatusCode};
use serde_json::json;

struct Bench {
    stack: Stack,
    flags: Vec<String>,
}

impl Bench {
    async fn start() -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let flags = graphs::install(dir.path())?;
        let stack = Stack::start_in(dir, &flags).await?;
        Ok(Self { stack, flags })
    }

    async fn worker(&self, name: &str, more: &[&str]) -> anyhow::Result<Process> {
        let flags = self.flags.iter().map(String::as_str).chain(more.iter().copied());
        self.stack.worker(name, &flags.collect::<Vec<_>>()).await
    }
}

async fn page(client: &Client, query: &str) -> anyhow::Result<DeadLetterPage> {
    let call = client.request(Method::GET, &format!("/v1/dead-letters{query}"));
    Ok(call.send().await?.error_for_status()?.json().await?)
}

async fn submitted(client: &Client, model: &str, xs: &[i64]) -> anyhow::Result<Vec<JobView>> {
    let requests: Vec<_> = xs.iter().map(|x| request(model, &[*x])).collect();
    let views = join_all(requests.iter().map(|request| client.submit(request, 30))).await;
    views.into_iter().collect()
}

#[tokio::test]
async fn a_culprit_among_sixteen_leaves_one_dead_letter_and_another_version_mends_it() -> anyhow::Result<()> {
    let bench = Bench::start().await?;
    let client = bench.stack.client("owner").await?;
    let stranger = bench.stack.client("stranger").await?;
    let _worker = bench.worker("worker", &[]).await?;
    let xs: Vec<i64> = (0..16).map(|x| if x == 5 { 99 } else { x }).collect();
    let views = submitted(&client, "pick", &xs).await?;
    for (x, view) in xs.iter().zip(&views) {
        if *x == 99 {
            assert_eq!(view.status, JobState::Failed);
            continue;
        }
        assert_eq!(values(&client.result(&view.id.to_string()).await?), [x * x]);
    }
    let failed = &views[5];
    let listed = page(&client, "").await?;
    assert_eq!((listed.dead_letters.len(), listed.next), (1, None));
    let letter = &listed.dead_letters[0];
    assert_eq!(
        (letter.id, letter.input_kept, letter.redriven_as),
        (failed.id, true, None)
    );
    assert_eq!(
        letter.failure.as_ref().map(|failure| failure.code),
        Some(FailureCode::InferenceFailed)
    );
    assert!(page(&stranger, "").await?.dead_letters.is_empty());

    let path = format!("/v1/dead-letters/{}", failed.id);
    let call = client.request(Method::GET, &format!("{path}?include=inputs"));
    let detail: DeadLetterDetail = call.send().await?.error_for_status()?.json().await?;
    assert_eq!(detail.inputs.unwrap()[0].0, request("pick", &[99]).inputs[0]);
    assert_eq!(detail.lineage, client.lineage(&failed.id.to_string()).await?);
    for method in [Method::GET, Method::DELETE] {
        let reply = stranger.request(method, &path).send().await?;
        assert_eq!(reply.status(), StatusCode::NOT_FOUND);
    }

    let redrive = |version: &'static str| {
        let call = client.request(Method::POST, &format!("{path}/redrive"));
        async move { anyhow::Ok(call.json(&json!({"version": version})).send().await?) }
    };
    // asked for by several at once, and once more afterwards, it is one job
    let replies = join_all((0..4).map(|_| redrive("2"))).await;
    let mut made = Vec::new();
    for reply in replies {
        made.push(reply?.error_for_status()?.json::<JobView>().await?.id);
    }
    made.push(redrive("2").await?.error_for_status()?.json::<JobView>().await?.id);
    made.dedup();
    assert_eq!(made.len(), 1, "{made:?}");
    let mended = client.job(&made[0].to_string(), 30).await?;
    assert_eq!(mended.status, JobState::Succeeded);
    assert_eq!(values(&client.result(&mended.id.to_string()).await?), [9]);
    let lineage = client.lineage(&mended.id.to_string()).await?;
    assert_eq!(lineage.provenance.parent_jobs, [failed.id]);
    assert_eq!(lineage.model.unwrap().version.as_str(), "2");
    assert!(page(&client, "").await?.dead_letters.is_empty());
    assert_eq!(client.job(&failed.id.to_string(), 0).await?.status, JobState::Failed);
    Ok(())
}

#[tokio::test]
async fn many_dead_letters_are_paged_redriven_and_dropped() -> anyhow::Result<()> {
    let bench = Bench::start().await?;
    let client = bench.stack.client("owner").await?;
    let _worker = bench.worker("worker", &[]).await?;
    let views = submitted(&client, "pick", &(100..110).collect::<Vec<_>>()).await?;
    let mut ids = Vec::new();
    let mut query = "?limit=4".to_owned();
    loop {
        let page = page(&client, &query).await?;
        ids.extend(page.dead_letters.iter().map(|letter| letter.id));
        let times: Vec<_> = page.dead_letters.iter().map(|letter| letter.failed_at).collect();
        assert!(times.is_sorted_by(|newer, older| newer >= older));
        match page.next {
            Some(next) => query = format!("?limit=4&cursor={next}"),
            None => break,
        }
    }
    let mut expected: Vec<_> = views.iter().map(|view| view.id).collect();
    let mut found = ids.clone();
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);

    let many = async |action: &str, body: serde_json::Value| {
        let call = client.request(Method::POST, &format!("/v1/dead-letters/{action}"));
        anyhow::Ok(
            call.json(&body)
                .send()
                .await?
                .error_for_status()?
                .json::<DeadLetterResults>()
                .await?
                .results,
        )
    };
    let dropped = many("drop", json!({"ids": ids[..4]})).await?;
    assert!(dropped.iter().all(|result| result.dropped && result.problem.is_none()));
    let results = many("redrive", json!({"ids": ids, "version": "2"})).await?;
    assert_eq!(results.iter().map(|result| result.id).collect::<Vec<_>>(), ids);
    for (place, result) in results.iter().enumerate() {
        match (&result.redriven_as, &result.problem) {
            (None, Some(problem)) => assert_eq!((place < 4, problem.code.as_str()), (true, "dead_letter_not_found")),
            (Some(id), None) => {
                assert!(place >= 4);
                let view = client.job(&id.to_string(), 30).await?;
                assert_eq!(view.status, JobState::Succeeded);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(page(&client, "").await?.dead_letters.is_empty());
    for (query, field) in [("?limit=0", "limit"), ("?limit=x", "limit"), ("?cursor=7", "cursor")] {
        let reply = client.request(Method::GET, &format!("/v1/dead-letters{query}"));
        let reply = reply.send().await?;
        assert_eq!(reply.status(), StatusCode::BAD_REQUEST);
        assert_eq!(reply.json::<serde_json::Value>().await?["field"], field);
    }
    Ok(())
}

#[tokio::test]
async fn endless_and_boundless_runs_fail_with_their_codes_and_their_neighbours_do_not() -> anyhow::Result<()> {
    let bench = Bench::start().await?;
    let client = bench.stack.client("owner").await?;
    let _worker = bench.worker("worker", &[]).await?;
    let terabytes = 1 << 45;
    for (model, poison, code) in [
        ("spin", i64::MAX, FailureCode::MaxRuntimeExceeded),
        ("allocate", terabytes, FailureCode::InferenceFailed),
    ] {
        let views = submitted(&client, model, &[1, 2, poison, 3]).await?;
        for (place, view) in views.iter().enumerate() {
            let failed = view.failure.as_ref().map(|failure| failure.code);
            assert_eq!(failed, (place == 2).then_some(code), "{model} {view:?}");
        }
    }
    let codes: Vec<_> = page(&client, "").await?.dead_letters.into_iter().collect();
    assert_eq!(codes.len(), 2);
    Ok(())
}

#[tokio::test]
async fn job_that_kills_its_workers_is_given_up_after_its_attempts_and_its_neighbours_are_not() -> anyhow::Result<()> {
    let bench = Bench::start().await?;
    let client = bench.stack.client("owner").await?;
    let flags = ["--ack-wait", "3s", "--max-attempts", "2"];
    // one endless job, held by workers that die of it before its time is up
    let doomed = client.submit(&request("spin", &[i64::MAX]), 0).await?.id.to_string();
    for attempt in 0..2 {
        let mut worker = bench.worker(&format!("victim-{attempt}"), &flags).await?;
        until("the run to begin", || async {
            let claimed = worker.metric("gristmill_attempts_total", "").await?;
            Ok((claimed >= 1.0).then_some(()))
        })
        .await?;
        worker.kill().await?;
    }
    let _last = bench.worker("last", &flags).await?;
    let view = client.job(&doomed, 30).await?;
    let failure = view.failure.expect("it is given up");
    assert_eq!(failure.code, FailureCode::AttemptsExhausted);
    let listed = page(&client, "").await?.dead_letters;
    assert_eq!(listed.len(), 1);
    assert!(listed[0].input_kept && listed[0].attempts == 3, "{listed:?}");
    Ok(())
}

#[tokio::test]
async fn failure_whose_inputs_cannot_be_kept_ends_all_the_same_and_is_not_redriven() -> anyhow::Result<()> {
    let mut bench = Bench::start().await?;
    let client = bench.stack.client("owner").await?;
    let worker = bench.worker("worker", &[]).await?;
    let id = client.submit(&request("spin", &[i64::MAX]), 0).await?.id.to_string();
    until("the run to begin", || async {
        let claimed = worker.metric("gristmill_attempts_total", "").await?;
        Ok((claimed >= 1.0).then_some(()))
    })
    .await?;
    bench.stack.servers.nats.kill().await?;
    let view = client.job(&id, 30).await?;
    assert_eq!(
        view.failure.map(|failure| failure.code),
        Some(FailureCode::MaxRuntimeExceeded)
    );
    assert_eq!(worker.metric("gristmill_dead_inputs_lost_total", "").await?, 1.0);
    bench.stack.servers.nats.restart().await?;
    let listed = page(&client, "").await?.dead_letters;
    assert!(listed.len() == 1 && !listed[0].input_kept, "{listed:?}");
    let redrive = client.request(Method::POST, &format!("/v1/dead-letters/{id}/redrive"));
    let refused = redrive.json(&json!({"version": "1"})).send().await?;
    assert_eq!(refused.status(), StatusCode::GONE);
    assert_eq!(refused.json::<serde_json::Value>().await?["code"], "input_gone");
    Ok(())
}

#[tokio::test]
async fn people_list_show_redrive_and_drop_by_the_command_line() -> anyhow::Result<()> {
    let bench = Bench::start().await?;
    let (url, key) = (bench.stack.url()?, bench.stack.api_key("owner").await?);
    let client = Client::new(&url, &key);
    let _worker = bench.worker("worker", &[]).await?;
    let views = submitted(&client, "pick", &[20, 21, 22]).await?;
    let gristmill = async |args: &[&str]| {
        let mut command = tokio::process::Command::new(binary::gristmill()?);
        command.args(["dlq"]).args(args).env("GRISTMILL_OUTPUT", "json");
        let ended = command.envs([("GRISTMILL_URL", &url), ("GRISTMILL_API_KEY", &key)]);
        let ended = ended.output().await?;
        let words = String::from_utf8(ended.stdout)?;
        anyhow::Ok((
            ended.status.success(),
            serde_json::from_str(&words).unwrap_or(serde_json::Value::Null),
        ))
    };
    let (_, listed) = gristmill(&["list", "--model", "pick", "--code", "inference_failed"]).await?;
    assert_eq!(listed.as_array().map(Vec::len), Some(3));
    let (_, none) = gristmill(&["list", "--code", "attempts_exhausted"]).await?;
    assert_eq!(none, json!([]));
    let id = views[0].id.to_string();
    let (_, shown) = gristmill(&["show", &id, "--inputs"]).await?;
    assert_eq!(shown["inputs"][0]["data"], json!([20]));
    let (dropped, _) = gristmill(&["drop", &id]).await?;
    assert!(dropped);
    let (again, results) = gristmill(&["drop", &id]).await?;
    assert!(!again, "{results}");
    let (redriven, results) = gristmill(&["redrive", "--all", "--version", "2"]).await?;
    assert!(redriven, "{results}");
    for result in results.as_array().into_iter().flatten() {
        let id = result["redriven_as"].as_str().unwrap_or_default();
        assert_eq!(client.job(id, 30).await?.status, JobState::Succeeded);
    }
    assert_eq!(gristmill(&["list"]).await?.1, json!([]));
    Ok(())
}
