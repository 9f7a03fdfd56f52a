//! The stream of one job: what it tells while it runs, to whom, and from where.

use gristmill_broker::RowsRun;
use gristmill_schemas::{JobId, JobResult, Progress, Tensor, Timestamp, progress::ProgressView};
use reqwest::{Response, StatusCode};

use crate::stand::{DEADLINE, Stand, acme, job};

/// One row of four, after which so many are done.
fn row(rows_done: u32) -> Progress {
    Progress {
        attempt: 1,
        from_row: rows_done - 1,
        rows: 1,
        rows_done,
        rows_total: 4,
        outputs: Some(vec![Tensor::from_f32("y", vec![1, 1], &[rows_done as f32]).unwrap()]),
    }
}

async fn tell(stand: &Stand, id: &JobId, progress: &Progress) {
    let tenant = acme();
    let rows = [RowsRun {
        tenant: &tenant,
        id,
        progress,
    }];
    stand.store.tell_progress(&rows).await.unwrap();
}

/// One who follows a job.
struct Follower {
    answer: Response,
    text: String,
}

impl Follower {
    async fn open(stand: &Stand, key: &str, (id, query): (&JobId, &str), last: &str) -> Self {
        let call = stand.http.get(format!("{}/v1/jobs/{id}/events{query}", stand.url));
        let answer = call
            .bearer_auth(key)
            .header("Last-Event-ID", last)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let text = String::new();
        Self { answer, text }
    }

    /// The next event: its name, id and data; `None` at the end.
    async fn event(&mut self) -> Option<[String; 3]> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    block
                        .lines()
                        .find_map(|line| line.strip_prefix(name))
                        .map(str::to_owned)
                };
                let event = field("event: ").map(|event| [event, field("id: ").unwrap(), field("data: ").unwrap()]);
                self.text = rest.to_owned();
                match event {
                    Some(event) => return Some(event),
                    // a comment that keeps the connection alive
                    None => continue,
                }
            }
            let chunk = tokio::time::timeout(DEADLINE, self.answer.chunk())
                .await
                .expect("in time");
            self.text += std::str::from_utf8(&chunk.unwrap()?).unwrap();
        }
    }

    async fn progress(&mut self) -> (String, ProgressView) {
        let [name, id, data] = self.event().await.unwrap();
        assert_eq!(name, "progress");
        (id, serde_json::from_str(&data).unwrap())
    }
}

#[tokio::test]
async fn rows_are_told_with_their_outputs_where_these_are_asked_for_and_from_where_the_client_stopped() {
    let stand = Stand::start().await;
    let id = stand.submit(&job()).await;
    tell(&stand, &id, &row(1)).await;
    let mut whole = Follower::open(&stand, &stand.key, (&id, "?include=outputs"), "").await;
    let mut bare = Follower::open(&stand, &stand.key, (&id, ""), "status").await;
    for follower in [&mut whole, &mut bare] {
        assert_eq!(follower.event().await.unwrap()[0], "status");
    }
    let (first, told) = whole.progress().await;
    assert_eq!(
        (told.rows_done, told.outputs.unwrap()[0].0.f32_values().next()),
        (1, Some(1.0))
    );
    assert!(bare.progress().await.1.outputs.is_none());
    tell(&stand, &id, &row(2)).await;
    assert_eq!(whole.progress().await.1.rows_done, 2);
    tell(&stand, &id, &row(3)).await;
    stand.settle(id, JobResult::Cancelled).await;
    // comes back after the end, having had the first
    let mut late = Follower::open(&stand, &stand.key, (&id, ""), &first).await;
    let [name, place, _] = late.event().await.unwrap();
    assert_eq!((name.as_str(), place), ("status", first));
    for (follower, rest) in [(&mut whole, 3..=3), (&mut bare, 2..=3), (&mut late, 2..=3)] {
        for rows_done in rest {
            assert_eq!(follower.progress().await.1.rows_done, rows_done);
        }
        let [name, place, data] = follower.event().await.unwrap();
        assert_eq!((name.as_str(), place.as_str()), ("outcome", "outcome"));
        assert!(data.contains("cancelled"), "{data}");
        assert_eq!(follower.event().await, None);
    }
    // an id that is none of ours begins at the beginning, and no id breaks the stream
    let beyond = format!("{}-{}", u64::MAX, u64::MAX);
    for strange in ["grain", &beyond] {
        let mut stranger = Follower::open(&stand, &stand.key, (&id, ""), strange).await;
        assert_eq!(stranger.event().await.unwrap()[0], "status");
        assert_eq!(stranger.event().await.unwrap()[0], "outcome");
    }
}

#[tokio::test]
async fn revoked_key_hears_no_more_of_a_job() {
    let stand = Stand::start().await;
    let id = stand.submit(&job()).await;
    let key = stand.key_of("acme").await;
    let mut follower = Follower::open(&stand, &key.reveal(), (&id, ""), "").await;
    assert_eq!(follower.event().await.unwrap()[0], "status");
    let revoked = stand.store.revoke_api_key(&key.id, Timestamp::from_millis(1)).await;
    assert!(revoked.unwrap());
    for rows_done in 1.. {
        // more and more rows, until the ingest has heard of it
        let progress = Progress {
            rows_total: u32::MAX,
            ..row(rows_done)
        };
        tell(&stand, &id, &progress).await;
        if follower.event().await.is_none() {
            break;
        }
        assert!(rows_done < 10_000, "the stream goes on");
    }
}
