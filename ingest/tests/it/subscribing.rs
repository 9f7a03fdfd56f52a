//! The ends of a tenant's jobs: the stream of them and the list.

use std::{collections::BTreeSet, sync::LazyLock, time::Duration};

use gristmill_broker::{Settled, api_keys::Grant};
use gristmill_schemas::{
    Digest, JobId, JobIdKeys, JobResult, JobState, Lane, Lineage, Outcome, RunningJob, Timestamp,
    api::{JobPage, JobSummary, Queues},
    job_id::{Mint, RANDOM_BYTES},
    key,
    lineage::ModelRecord,
    running::RunningView,
    tensor::Tensor,
};
use reqwest::{RequestBuilder, Response};
use serde_json::Value;

use crate::stand::{DEADLINE, JOB_ID_KEY, Stand, acme, job, mint, problem, until};

/// An id that this stand would have signed; the same for the same number.
fn id(number: u8) -> JobId {
    static MINT: LazyLock<Mint> = LazyLock::new(|| mint(Duration::ZERO));
    let keys = JobIdKeys::new([(1, JOB_ID_KEY)].into()).unwrap();
    let random = [number; RANDOM_BYTES];
    keys.mint(&acme(), Mint { random, ..*MINT })
}

/// Ends a job as a worker does that knows all of it.
async fn end(stand: &Stand, id: JobId, model: &str, run: &str) {
    let outcome = Outcome::new(
        id,
        JobResult::Succeeded(vec![Tensor::from_f32("y", vec![1, 1], &[f32::from(7u8)]).unwrap()]),
    );
    let mut lineage = Lineage::of_id(id, acme(), JobState::Succeeded);
    lineage.model = Some(ModelRecord {
        name: model.parse().unwrap(),
        version: "1".parse().unwrap(),
        artifact: Digest::of(b"graph"),
        companions: [].into(),
        preprocess: String::new(),
        postprocess: String::new(),
    });
    lineage.metadata = [("run".to_owned(), run.to_owned())].into();
    let settled = stand.store.settle(&acme(), &outcome, &lineage).await.unwrap();
    assert_eq!(settled, Settled::Won);
}

/// One who listens.
struct Listener {
    answer: Response,
    text: String,
    last_id: String,
}

/// What was heard: the event's name ("" for an id alone) and its data.
type Heard = (String, Value);

impl Listener {
    async fn open(request: RequestBuilder) -> Self {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let mut listener = Self {
            answer,
            text: String::new(),
            last_id: String::new(),
        };
        let (name, _) = listener.block().await.unwrap();
        assert_eq!(name, "", "it begins with its cursor");
        listener
    }

    /// The next block; `None` at the end.
    async fn block(&mut self) -> Option<Heard> {
        while !self.text.contains("\n\n") {
            let chunk = tokio::time::timeout(DEADLINE, self.answer.chunk());
            self.text
                .push_str(std::str::from_utf8(&chunk.await.expect("in time").unwrap()?).unwrap());
        }
        let (block, rest) = self.text.split_once("\n\n").unwrap();
        let field = |name: &str| {
            block
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap_or_default()
        };
        let heard = (
            field("event: ").to_owned(),
            serde_json::from_str(field("data: ")).unwrap_or_default(),
        );
        self.last_id = field("id: ").to_owned();
        self.text = rest.to_owned();
        Some(heard)
    }

    /// The next event that is more than an id: those come for ever, so that the wait has its own bound.
    async fn event(&mut self) -> Heard {
        let event = async {
            loop {
                let heard = self.block().await.expect("the stream goes on");
                if !heard.0.is_empty() {
                    return heard;
                }
            }
        };
        let event = tokio::time::timeout(DEADLINE, event).await;
        event.expect("an event in time")
    }

    async fn outcome(&mut self) -> JobSummary {
        let (name, data) = self.event().await;
        assert_eq!(name, "outcome", "{data}");
        serde_json::from_value(data).unwrap()
    }
}

fn resumed(stand: &Stand, cursor: &str) -> RequestBuilder {
    stand.get("/v1/events").header("Last-Event-ID", cursor)
}

#[tokio::test]
async fn listener_that_comes_back_by_its_last_id_misses_nothing_and_hears_nothing_twice() {
    let stand = Stand::start().await;
    end(&stand, id(200), "light", "before").await;
    let mut listener = Listener::open(stand.get("/v1/events")).await;
    let expected: BTreeSet<JobId> = (0..120).map(id).collect();
    let mut heard = Vec::new();
    for (number, job) in (0..120).map(id).enumerate() {
        end(&stand, job, "light", "1").await;
        if number % 40 == 39 {
            // more has ended than was heard when it goes away
            heard.push(listener.outcome().await.id);
            let cursor = listener.last_id.clone();
            drop(listener);
            listener = Listener::open(resumed(&stand, &cursor)).await;
        }
    }
    while heard.len() < expected.len() {
        heard.push(listener.outcome().await.id);
    }
    assert_eq!(heard.iter().copied().collect::<BTreeSet<_>>(), expected);
    // whatever came twice would come before this
    end(&stand, id(201), "light", "after").await;
    assert_eq!(listener.outcome().await.id, id(201));
}

#[tokio::test]
async fn event_is_the_job_in_short_and_shows_outputs_where_they_are_asked_for() {
    let stand = Stand::start().await;
    let mut short = Listener::open(stand.get("/v1/events")).await;
    let mut whole = Listener::open(stand.get("/v1/events?include=outputs")).await;
    end(&stand, id(1), "minilm", "7").await;
    let summary = short.outcome().await;
    assert_eq!((summary.id, summary.status), (id(1), JobState::Succeeded));
    assert_eq!(summary.model, Some("minilm".parse().unwrap()));
    assert_eq!(summary.metadata["run"], "7");
    assert!(summary.outputs.is_none() && summary.completed_at >= summary.created_at);
    let outputs = whole.outcome().await.outputs.unwrap();
    assert_eq!(outputs[0].0.name(), "y");
    stand.settle(id(2), JobResult::Cancelled).await;
    for listener in [&mut short, &mut whole] {
        let summary = listener.outcome().await;
        assert_eq!(
            (summary.status, summary.model, summary.outputs),
            (JobState::Cancelled, None, None)
        );
    }
}

#[tokio::test]
async fn filters_let_through_what_they_name_and_what_does_not_tell() {
    let stand = Stand::start().await;
    let ids = async |query: &str, number: usize| {
        let mut listener = Listener::open(stand.get(&format!("/v1/events?since=1h{query}"))).await;
        let mut ids = BTreeSet::new();
        for _ in 0..number {
            ids.insert(listener.outcome().await.id);
        }
        ids
    };
    for (number, model, run) in [(1, "light", "a"), (2, "light", "b"), (3, "minilm", "a")] {
        end(&stand, id(number), model, run).await;
    }
    stand.settle(id(4), JobResult::Cancelled).await;
    assert_eq!(ids("", 4).await, [1, 2, 3, 4].map(id).into());
    assert_eq!(ids("&model=light,identity", 3).await, [1, 2, 4].map(id).into());
    assert_eq!(ids("&metadata.run=a", 3).await, [1, 3, 4].map(id).into());
    assert_eq!(ids("&status=cancelled", 1).await, [id(4)].into());
    assert_eq!(
        ids("&status=succeeded&model=light&metadata.run=b", 1).await,
        [id(2)].into()
    );
    // a key for one model hears of no other, nor of what does not tell
    let grant = Grant {
        models: ["minilm".parse().unwrap()].into(),
        ..Grant::default()
    };
    let limited = stand.key_for("acme", grant).await.reveal();
    let list = stand.http.get(format!("{}/v1/jobs", stand.url)).bearer_auth(limited);
    let page: JobPage = list.send().await.unwrap().json().await.unwrap();
    assert_eq!(page.jobs.iter().map(|job| job.id).collect::<Vec<_>>(), [id(3)]);
}

#[tokio::test]
async fn cursor_from_before_the_window_is_told_by_a_reset_and_what_is_kept_follows() {
    let stand = Stand::start().await;
    let listener = Listener::open(stand.get("/v1/events")).await;
    let (old, kept) = (id(1), id(17));
    let bucket = old.bucket(key::BUCKETS);
    assert_eq!(bucket, kept.bucket(key::BUCKETS));
    end(&stand, old, "light", "1").await;
    end(&stand, kept, "light", "1").await;
    // as if the first had been trimmed a moment ago
    let events = key::events(&acme(), bucket);
    stand.ask_store(&format!("XTRIM {events} MAXLEN 1")).await;
    let first = stand.ask_store(&format!("XRANGE {events} - +")).await;
    let millis = first
        .lines()
        .find_map(|line| line.split_once('-'))
        .unwrap()
        .0
        .to_owned();
    stand
        .ask_store(&format!("HSET {} from {millis}", key::events_window(&acme(), bucket)))
        .await;
    let cursor = listener.last_id;
    let mut late = Listener::open(resumed(&stand, &cursor)).await;
    let (name, data) = late.event().await;
    assert!(name == "reset" && data["detail"].is_string(), "{name} {data}");
    let resumable = late.last_id.clone();
    assert_eq!(late.outcome().await.id, kept);
    // the cursor of the reset itself is sound
    let mut again = Listener::open(resumed(&stand, &resumable)).await;
    assert_eq!(again.outcome().await.id, kept);
}

/// What is read at once is less than this, and all of it is older than where a silent bucket's position is moved to.
#[tokio::test]
async fn old_events_are_all_told_however_many_a_bucket_has() {
    let stand = Stand::start().await;
    let ids: Vec<JobId> = (0..100).map(|number| id(number % 2)).collect();
    let now = Timestamp::from(std::time::SystemTime::now()).as_millis();
    for (number, id) in (0..).zip(&ids) {
        let events = key::events(&acme(), id.bucket(key::BUCKETS));
        let at = now - 600_000 + number;
        let add = format!("XADD {events} {at} id {id} state expired");
        assert!(stand.ask_store(&add).await.starts_with('$'), "{add}");
    }
    let mut listener = Listener::open(stand.get("/v1/events?since=1h")).await;
    for number in 0..50 {
        // two buckets in turn, each in its own order; resumed in the middle of what was read at once
        if number == 20 {
            let cursor = listener.last_id.clone();
            listener = Listener::open(resumed(&stand, &cursor)).await;
        }
        let pair = [listener.outcome().await, listener.outcome().await];
        assert!(pair.iter().all(|job| job.status == JobState::Expired));
    }
    end(&stand, id(9), "light", "1").await;
    assert_eq!(
        listener.outcome().await.id,
        id(9),
        "nothing is left, and nothing came twice"
    );
}

#[tokio::test]
async fn revoked_key_ends_its_streams() {
    let stand = Stand::start().await;
    let key = stand.key_of("acme").await;
    let request = stand.http.get(format!("{}/v1/events", stand.url));
    let mut listener = Listener::open(request.bearer_auth(key.reveal())).await;
    assert!(
        stand
            .store
            .revoke_api_key(&key.id, Timestamp::from_millis(1))
            .await
            .unwrap()
    );
    for number in 0.. {
        end(&stand, id(number), "light", "1").await;
        if listener.block().await.is_none() {
            break;
        }
        assert!(number < u8::MAX, "the stream goes on");
    }
}

#[tokio::test]
async fn tenants_hear_of_their_own_jobs_alone() {
    let stand = Stand::start().await;
    let other = stand.key_of("other").await.reveal();
    let url = format!("{}/v1/events?since=1h", stand.url);
    end(&stand, id(1), "light", "1").await;
    let mut own = Listener::open(stand.get("/v1/events?since=1h")).await;
    assert_eq!(own.outcome().await.id, id(1));
    // the cursor of another tenant's stream opens nothing of it
    let foreign = stand
        .http
        .get(url)
        .bearer_auth(&other)
        .header("Last-Event-ID", own.last_id);
    let mut foreign = Listener::open(foreign).await;
    let lineage = Lineage::of_id(id(9), "other".parse().unwrap(), JobState::Cancelled);
    let outcome = Outcome::new(id(9), JobResult::Cancelled);
    stand.store.settle(&lineage.tenant, &outcome, &lineage).await.unwrap();
    assert_eq!(foreign.outcome().await.id, id(9));
}

#[tokio::test]
async fn list_goes_from_the_newest_to_the_oldest_page_by_page() {
    let stand = Stand::start().await;
    for number in 0..25 {
        end(
            &stand,
            id(number),
            if number % 5 == 0 { "minilm" } else { "light" },
            "1",
        )
        .await;
    }
    let all = async |query: &str| {
        let (mut ids, mut next, mut pages) = (Vec::new(), None::<String>, 0);
        loop {
            let cursor = next.map(|next| format!("&cursor={next}")).unwrap_or_default();
            let answer = stand
                .get(&format!("/v1/jobs?limit=7{query}{cursor}"))
                .send()
                .await
                .unwrap();
            let page: JobPage = answer.json().await.unwrap();
            assert!(page.jobs.len() <= 7 && page.jobs.iter().rev().is_sorted_by_key(|job| job.completed_at));
            ids.extend(page.jobs.iter().map(|job| job.id));
            pages += 1;
            match page.next {
                Some(cursor) => next = Some(cursor),
                None => return (ids, pages),
            }
        }
    };
    let (ids, pages) = all("").await;
    assert_eq!((ids.len(), pages), (25, 4));
    assert_eq!(ids.iter().copied().collect::<BTreeSet<_>>(), (0..25).map(id).collect());
    let (ids, _) = all("&model=minilm").await;
    assert_eq!(
        ids.into_iter().collect::<BTreeSet<_>>(),
        [0, 5, 10, 15, 20].map(id).into()
    );
    assert!(all("&since=2100-01-01T00:00:00Z").await.0.is_empty());
}

/// What a worker reports of a job that it runs.
fn running(number: u8, model: &str) -> RunningJob {
    RunningJob {
        id: id(number),
        model: model.parse().unwrap(),
        version: "1".parse().unwrap(),
        lane: Lane::Interactive,
        worker: "mill-1".to_owned(),
        attempt: 1,
        claimed_at: Timestamp::from_millis(1_700_000_000_000 + u64::from(number)),
        metadata: [("run".to_owned(), (number % 2).to_string())].into(),
    }
}

#[tokio::test]
async fn list_begins_with_what_runs_and_leaves_out_what_has_ended_or_is_somebody_elses() {
    let stand = Stand::start().await;
    let models = ["light", "minilm"];
    let reports = (0..9).map(|number| running(number, models[usize::from(number == 8)]));
    let reports: Vec<_> = reports.map(|job| (acme(), job)).collect();
    let foreign = ("other".parse().unwrap(), running(20, "light"));
    stand.store.report_running(&reports).await.unwrap();
    stand.store.report_running(&[foreign]).await.unwrap();
    for number in [3, 30, 31] {
        end(&stand, id(number), "light", "1").await;
    }
    let all = async |query: &str| {
        let (mut runs, mut ended, mut next) = (Vec::new(), Vec::new(), None::<String>);
        loop {
            // a report counts for a while only
            stand.store.report_running(&reports).await.unwrap();
            let cursor = next.map(|next| format!("&cursor={next}")).unwrap_or_default();
            let call = stand.get(&format!("/v1/jobs?limit=3{query}{cursor}"));
            let page: JobPage = call.send().await.unwrap().json().await.unwrap();
            assert!(page.running.len() + page.jobs.len() <= 3, "{page:?}");
            runs.extend(page.running);
            ended.extend(page.jobs);
            match page.next {
                Some(cursor) => next = Some(cursor),
                None => return (runs, ended),
            }
        }
    };
    let ids = |runs: &[RunningView]| runs.iter().map(|job| job.id).collect::<Vec<_>>();
    let (runs, ended) = all("").await;
    // those of one moment stand by their ids, else the last claimed first; the one that has ended is among those
    assert_eq!(ids(&runs), [8, 7, 6, 5, 4, 2, 1, 0].map(id));
    assert_eq!(ended.len(), 3);
    assert_eq!((runs[0].worker.as_str(), runs[0].attempt), ("mill-1", 1));
    for (query, runs, ended) in [
        ("&status=running", 8, 0),
        ("&status=succeeded", 0, 3),
        ("&status=running,succeeded", 8, 3),
        ("&status=failed,running", 8, 0),
        ("&model=minilm", 1, 0),
        ("&metadata.run=1&status=running", 3, 0),
    ] {
        let (got_runs, got_ended) = all(query).await;
        assert_eq!((got_runs.len(), got_ended.len()), (runs, ended), "{query}");
    }
}

#[tokio::test]
async fn bad_query_is_refused_by_name() {
    let stand = Stand::start().await;
    for (path, field) in [
        ("/v1/jobs?limit=0", "limit"),
        ("/v1/jobs?limit=201", "limit"),
        ("/v1/jobs?status=queued", "status"),
        ("/v1/jobs?status=done", "status"),
        ("/v1/jobs?model=Light", "model"),
        ("/v1/jobs?since=yesterday", "since"),
        ("/v1/jobs?cursor=x", "cursor"),
        ("/v1/jobs?sort=asc", "sort"),
        ("/v1/jobs?include=outputs", "include"),
        ("/v1/events?include=inputs", "include"),
        ("/v1/events?limit=3", "limit"),
        ("/v1/events?status=running", "status"),
        ("/v1/jobs?cursor=r17-x", "cursor"),
        ("/v1/events?cursor=AQAA", "cursor"),
        ("/v1/events?cursor=AQ&since=1h", "since"),
    ] {
        let told = problem(stand.get(path).send().await.unwrap(), 400, "invalid_value").await;
        assert_eq!(told["field"], field, "{path}: {told}");
    }
    let many: String = (0..17).map(|number| format!("&metadata.k{number}=v")).collect();
    let told = problem(
        stand.get(&format!("/v1/jobs?limit=3{many}")).send().await.unwrap(),
        400,
        "invalid_value",
    )
    .await;
    assert_eq!(told["limit"], "16 labels");
    let told = problem(resumed(&stand, "nonsense").send().await.unwrap(), 400, "invalid_value").await;
    assert_eq!(told["field"], "Last-Event-ID");
}

#[tokio::test]
async fn queues_tell_how_many_of_the_tenants_jobs_wait_and_where() {
    let stand = Stand::start().await;
    let queues = async |key: &str| -> Queues {
        let call = stand.http.get(format!("{}/v1/queues", stand.url)).bearer_auth(key);
        call.send().await.unwrap().json().await.unwrap()
    };
    let other = stand.key_of("other").await.reveal();
    let ids = [stand.submit(&job()).await, stand.submit(&job()).await];
    until("counted", async || queues(&stand.key).await.jobs == 2).await;
    assert_eq!(queues(&other).await.jobs, 0);
    stand.settle(ids[0], JobResult::Cancelled).await;
    let view = queues(&stand.key).await;
    assert_eq!(view.jobs, 1);
    let lanes = |model: &str| view.queues.iter().filter(|queue| queue.model.as_str() == model).count();
    assert!(lanes("identity") == 2 && lanes("minilm") == 2, "{view:?}");
    // no worker has ever served them here
    assert!(view.queues.iter().all(|queue| queue.envelopes.is_none()));
    let grant = Grant {
        models: ["light".parse().unwrap()].into(),
        ..Grant::default()
    };
    let limited = queues(&stand.key_for("acme", grant).await.reveal()).await;
    assert_eq!(limited.queues.len(), 2);
}
