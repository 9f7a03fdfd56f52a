//! Being called when jobs end: every delivery comes to the end that is documented, whatever its receiver does, and no
//! receiver is another's affair.

use std::{collections::BTreeSet, time::Duration};

use anyhow::Context;
use eventsource_stream::Eventsource;
use futures_util::StreamExt;
use gristmill_broker::WebhookSettings;
use gristmill_e2e::{
    Client, Stack,
    sink::{Mode, Sink},
    wait,
};
use gristmill_schemas::{
    InferRequest, JobId, WebhookSecret,
    webhook::{Delivery, DeliveryPage, DeliveryState},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::identity;

/// Jobs for each sink.
const JOBS: usize = 20;
/// How long the failing sink fails, unless `GRISTMILL_WEBHOOK_FAILS_S` says otherwise.
const FAILS: u64 = 3;

fn secret() -> WebhookSecret {
    WebhookSecret::of([7; 32])
}

/// A stack whose webhooks may call this machine, with retries that double until they are as long as `fails`.
async fn stack(fails: Duration) -> anyhow::Result<(Stack, Client)> {
    let mut retries = vec!["500ms".to_owned()];
    let mut pause = 1;
    while pause <= fails.as_secs() * 2 {
        retries.push(format!("{pause}s"));
        pause *= 2;
    }
    let flags = [
        "--webhook-allow",
        "127.0.0.1/32",
        "--webhook-retries",
        &retries.join(","),
    ];
    let stack = Stack::start_in(tempfile::tempdir()?, &flags.map(str::to_owned)).await?;
    let client = stack.client("acme").await?;
    Ok((stack, client))
}

async fn with_webhooks(stack: &Stack, client: &Client, url: Option<&str>) -> anyhow::Result<()> {
    let settings = WebhookSettings {
        url: url.map(str::parse).transpose()?,
        ..WebhookSettings::new(secret())
    };
    stack.store()?.put_webhooks(&"acme".parse()?, &settings).await?;
    // known once a webhook that may not be called is refused for that reason
    wait::until("the ingest to know the tenant's webhooks", || async {
        let refused = submit(client, "https://127.0.0.2/").await?;
        Ok(refused["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("not public"))
            .then_some(()))
    })
    .await
}

async fn submit(client: &Client, webhook: &str) -> anyhow::Result<Value> {
    let body = json!({
        "model": "identity",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [1.5]}],
        "webhook": webhook,
    });
    let call = client.request(Method::POST, "/v1/jobs").json(&body);
    Ok(call.send().await?.json().await?)
}

fn told(url: &str) -> anyhow::Result<InferRequest> {
    Ok(InferRequest {
        webhook: Some(url.parse()?),
        ..identity(&[1.5])
    })
}

async fn submit_all(client: &Client, url: &str, jobs: usize) -> anyhow::Result<BTreeSet<JobId>> {
    let mut ids = BTreeSet::new();
    for _ in 0..jobs {
        ids.insert(client.submit(&told(url)?, 0).await?.id);
    }
    Ok(ids)
}

async fn deliveries(client: &Client, query: &str) -> anyhow::Result<DeliveryPage> {
    let call = client.request(Method::GET, &format!("/v1/webhooks/deliveries?{query}"));
    Ok(call.send().await?.error_for_status()?.json().await?)
}

async fn delivery(client: &Client, id: &str) -> anyhow::Result<Delivery> {
    let call = client.request(Method::GET, &format!("/v1/webhooks/deliveries/{id}"));
    Ok(call.send().await?.error_for_status()?.json().await?)
}

/// Waits until the deliveries of all these jobs to their own webhooks are as asked for.
async fn until_all(
    client: &Client,
    ids: &BTreeSet<JobId>,
    holds: impl Fn(&Delivery) -> bool,
) -> anyhow::Result<Vec<Delivery>> {
    let mut all = Vec::new();
    for id in ids {
        let id = format!("{id}-job");
        let one = wait::until("a delivery to come to its end", || async {
            let call = client.request(Method::GET, &format!("/v1/webhooks/deliveries/{id}"));
            let answer = call.send().await?;
            if answer.status() == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            Ok(Some(answer.json::<Delivery>().await?).filter(&holds))
        });
        all.push(one.await?);
    }
    Ok(all)
}

/// With a sink that fails for a minute: `GRISTMILL_WEBHOOK_FAILS_S=60 cargo test -p gristmill-e2e webhooks`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_delivery_ends_as_documented_and_no_sink_is_anothers_affair() -> anyhow::Result<()> {
    let fails = std::env::var("GRISTMILL_WEBHOOK_FAILS_S").map_or(Ok(FAILS), |fails| fails.parse())?;
    let fails = Duration::from_secs(fails);
    let (stack, client) = stack(fails).await?;
    let [failing, stalling, trap, gone, all] = [
        Mode::Status(503),
        Mode::Stall,
        Mode::Status(200),
        Mode::Status(410),
        Mode::Status(204),
    ]
    .map(Sink::start);
    let (failing, stalling, trap, gone, all) = tokio::try_join!(failing, stalling, trap, gone, all)?;
    let moved = Sink::start(Mode::Redirect(trap.url.clone())).await?;
    with_webhooks(&stack, &client, Some(&all.url)).await?;
    let cursor = client.cursor().await?;
    let _worker = stack.worker("worker", &[]).await?;

    let stalled = submit_all(&client, &stalling.url, JOBS).await?;
    let failed = submit_all(&client, &failing.url, JOBS).await?;
    let redirected = submit_all(&client, &moved.url, JOBS).await?;
    let given_up = submit_all(&client, &gone.url, JOBS).await?;
    let well = {
        let failing = &failing;
        async move {
            // the time that the receiver fails is the fault itself: there is nothing to wait for
            tokio::time::sleep(fails).await;
            failing.set(Mode::Status(200));
        }
    };
    let ends = async {
        let every: BTreeSet<JobId> = [&stalled, &failed, &redirected, &given_up]
            .into_iter()
            .flatten()
            .copied()
            .collect();
        hear_all(&client, &cursor, &every).await?;
        for delivery in until_all(&client, &given_up, |delivery| delivery.state == DeliveryState::Failed).await? {
            assert_eq!(
                (delivery.attempts, delivery.last_result.as_deref()),
                (1, Some("HTTP 410"))
            );
        }
        // the tenant's own sink is told of every job, those included whose own sink is not
        wait::until("the tenant's sink to be told of every job", || async {
            let told: anyhow::Result<BTreeSet<JobId>> = all
                .received()
                .iter()
                .map(|received| Ok(received.message()?.data.id))
                .collect();
            Ok((told? == every).then_some(()))
        })
        .await
    };
    let ((), ended) = tokio::join!(well, ends);
    ended?;

    for delivery in until_all(&client, &failed, |delivery| delivery.state == DeliveryState::Delivered).await? {
        assert_eq!(delivery.last_result.as_deref(), Some("HTTP 200"));
    }
    for delivery in until_all(&client, &redirected, |delivery| delivery.attempts > 0).await? {
        assert_eq!(
            delivery.last_result.as_deref(),
            Some("HTTP 302: redirects are not followed")
        );
        assert_eq!(
            delivery.state == DeliveryState::Pending,
            delivery.next_attempt_at.is_some()
        );
    }
    assert!(trap.received().is_empty(), "a redirect was followed");
    // one attempt at a time hangs there, and holds up nobody but those behind it
    let first = wait::until("an attempt at the sink that stalls to be given up", || async {
        let pending = deliveries(&client, "state=pending&limit=200").await?.deliveries;
        let given_up = |one: &Delivery| one.last_result.as_deref() == Some("no answer within 10s");
        Ok(pending.into_iter().find(given_up))
    })
    .await?;
    assert!(stalled.contains(&first.job_id));
    Ok(())
}

/// Hears of all of them on the tenant's event stream, each once.
async fn hear_all(client: &Client, cursor: &str, ids: &BTreeSet<JobId>) -> anyhow::Result<()> {
    let call = client
        .request(Method::GET, "/v1/events")
        .header("Last-Event-ID", cursor);
    let mut events = call.send().await?.error_for_status()?.bytes_stream().eventsource();
    let mut heard = BTreeSet::new();
    while heard.len() < ids.len() {
        let event = events.next().await.context("the stream goes on")??;
        if event.event == "outcome" {
            let summary: Value = serde_json::from_str(&event.data)?;
            let id = summary["id"].as_str().context("an id")?.parse()?;
            anyhow::ensure!(ids.contains(&id) && heard.insert(id), "{summary}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn job_that_was_cancelled_by_its_id_is_told_once_somebody_has_met_it() -> anyhow::Result<()> {
    let (stack, client) = stack(Duration::from_secs(1)).await?;
    let sink = Sink::start(Mode::Status(200)).await?;
    with_webhooks(&stack, &client, None).await?;
    let id = client.submit(&told(&sink.url)?, 0).await?.id;
    let cancel = client.request(Method::POST, &format!("/v1/jobs/{id}/cancel"));
    cancel.send().await?.error_for_status()?;
    // nobody has seen more of it than its id
    assert!(sink.received().is_empty());
    let _worker = stack.worker("worker", &[]).await?;
    until_all(&client, &BTreeSet::from([id]), |delivery| {
        delivery.state == DeliveryState::Delivered
    })
    .await?;
    let received = sink.received();
    let message = received[0].message()?;
    assert_eq!((message.kind.as_str(), message.data.id), ("job.cancelled", id));
    assert_eq!(message.data.model, Some("identity".parse()?));
    assert_eq!(received.len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delivery_is_signed_is_the_same_at_each_attempt_and_can_be_sent_again() -> anyhow::Result<()> {
    let (stack, client) = stack(Duration::from_secs(1)).await?;
    let sink = Sink::start(Mode::Status(500)).await?;
    with_webhooks(&stack, &client, None).await?;
    let _worker = stack.worker("worker", &[]).await?;
    let id = client.submit(&told(&sink.url)?, 0).await?.id;
    let failed = until_all(&client, &BTreeSet::from([id]), |delivery| {
        delivery.state == DeliveryState::Failed
    })
    .await?;
    let attempts = sink.received();
    assert!(
        attempts.len() > 1 && failed[0].attempts as usize == attempts.len(),
        "{failed:?}"
    );
    for received in &attempts {
        let id = received.header("webhook-id");
        assert_eq!(
            (id, &received.body),
            (failed[0].id.to_string().as_str(), &attempts[0].body)
        );
        let sent = received.header("webhook-timestamp").parse()?;
        let signature = secret().sign(&id.parse()?, sent, &received.body);
        assert_eq!(received.header("webhook-signature"), signature);
    }
    let listed = deliveries(&client, "state=failed").await?;
    assert_eq!(listed.deliveries, failed);

    // nobody else's, and not by a key that may only read
    let stranger = stack.client("other").await?;
    let path = format!("/v1/webhooks/deliveries/{}", failed[0].id);
    let foreign = stranger.request(Method::GET, &path).send().await?;
    assert_eq!(foreign.status(), StatusCode::NOT_FOUND);

    sink.set(Mode::Status(200));
    let again = client
        .request(Method::POST, &format!("{path}/redeliver"))
        .send()
        .await?;
    assert_eq!(again.status(), StatusCode::ACCEPTED);
    let delivered = until_all(&client, &BTreeSet::from([id]), |delivery| {
        delivery.state == DeliveryState::Delivered
    })
    .await?;
    assert_eq!((delivered[0].attempts, sink.received().len()), (1, attempts.len() + 1));
    assert!(deliveries(&client, "state=failed").await?.deliveries.is_empty());
    assert_eq!(delivery(&client, &failed[0].id.to_string()).await?, delivered[0]);
    Ok(())
}

/// The table of URLs that have led others astray. The stack allows 127.0.0.1 and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_urls_are_refused_by_name_and_what_only_resolving_tells_is_never_called() -> anyhow::Result<()> {
    let (stack, client) = stack(Duration::from_secs(1)).await?;
    // before there is a secret there are no webhooks
    let refused = submit(&client, "https://example.com/").await?;
    assert_eq!(
        (&refused["code"], &refused["field"]),
        (&json!("invalid_value"), &json!("webhook"))
    );
    assert!(
        refused["detail"].as_str().context("a detail")?.contains("no secret"),
        "{refused}"
    );
    let sink = Sink::start(Mode::Status(200)).await?;
    with_webhooks(&stack, &client, None).await?;
    for url in [
        "https://127.2/",
        "https://0x7f000002/",
        "https://2130706434/",
        "https://[::ffff:127.0.0.2]/",
        "https://[::1]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://10.0.0.1/",
        "https://user@example.com/",
        "https://user:word@example.com/",
        "https://example.com/\r\nX-Injected: 1",
        "https://example.com/\u{0}",
        "http://1.1.1.1/",
        "ftp://example.com/",
        "https:\\\\example.com/",
        "//example.com/",
        "",
    ] {
        let refused = submit(&client, url).await?;
        assert_eq!(
            (&refused["code"], &refused["field"]),
            (&json!("invalid_value"), &json!("webhook")),
            "{url:?}: {refused}"
        );
    }
    // a name may lead anywhere by the time it is called: this one leads within, over TLS or not
    let _worker = stack.worker("worker", &[]).await?;
    let port = sink.url.rsplit(':').next().context("a port")?;
    for (url, result) in [
        (format!("http://localhost:{port}"), "HTTP 200"),
        (
            "https://nowhere.invalid/".to_owned(),
            "the host's name cannot be resolved",
        ),
    ] {
        let id = client.submit(&told(&url)?, 0).await?.id;
        let tried = until_all(&client, &BTreeSet::from([id]), |delivery| delivery.attempts > 0).await?;
        assert_eq!(tried[0].last_result.as_deref(), Some(result), "{url}");
    }
    Ok(())
}

/// Without CAs nobody can be called over https; everything else must be served all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn system_that_trusts_no_certificate_has_webhooks_over_https_fail_and_nothing_else() -> anyhow::Result<()> {
    let (stack, client) = stack(Duration::from_secs(1)).await?;
    with_webhooks(&stack, &client, None).await?;
    let nowhere = [
        ("SSL_CERT_FILE", "/nowhere/at/all"),
        ("SSL_CERT_DIR", "/nowhere/at/all"),
    ];
    let ingest = stack.ingest_with("without-certificates", &nowhere).await?;
    stack.until_known(&stack.api_key("acme").await?, &ingest).await?;
    assert!(ingest.log().contains("trusts no certificate"), "{}", ingest.log());
    Ok(())
}

/// A full store answers reads: what is due is still due there, though it was sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempt_that_the_store_cannot_note_is_not_made_again_until_it_can() -> anyhow::Result<()> {
    let (stack, client) = stack(Duration::from_secs(1)).await?;
    let sink = Sink::start(Mode::Hold).await?;
    with_webhooks(&stack, &client, None).await?;
    let _worker = stack.worker("worker", &[]).await?;
    let id = client.submit(&told(&sink.url)?, 30).await?.id;
    wait::until("the attempt to be there", || async {
        Ok((sink.received().len() == 1).then_some(()))
    })
    .await?;
    stack.set_store("maxmemory", "1").await?;
    sink.set(Mode::Status(500));
    let notes = || stack.ingest.log().matches("is noted later").count();
    wait::until("it to be noted in vain, twice", || async {
        Ok((notes() >= 2).then_some(()))
    })
    .await?;
    assert_eq!(sink.received().len(), 1, "sent again, though nothing was noted");
    sink.set(Mode::Status(200));
    stack.set_store("maxmemory", "0").await?;
    let delivered = until_all(&client, &BTreeSet::from([id]), |delivery| {
        delivery.state == DeliveryState::Delivered
    })
    .await?;
    assert_eq!((delivered[0].attempts, sink.received().len()), (2, 2));
    Ok(())
}
