//! A sound history passes; each history with one planted fault is found out, under the name of the promise it breaks.

use std::{collections::BTreeMap, time::Duration};

use gristmill_schemas::{
    Digest, Failure, FailureCode, JobId, JobIdKeys, JobState, Lane, Lineage, Retention, Span, TenantId, Timestamp,
    job_id::Mint, subject::QueueTag,
};

use super::{Allowance, Evidence, Promise, check};
use crate::chaos::{
    history::{Answer, Call, Denial, End, History, Op, Way},
    plan::TENANTS,
    question,
    stores::{Stored, StoredJob},
    subscriber::{AllHeard, Heard},
};

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A pipeline that does as told, one second at a time.
struct Story {
    began: Timestamp,
    keys: JobIdKeys,
    evidence: Evidence,
}

impl Story {
    fn new() -> Self {
        let history = History::default();
        Self {
            began: history.clock_at(Duration::ZERO),
            keys: JobIdKeys::new(BTreeMap::from([(1, [7; 32])])).unwrap(),
            evidence: Evidence {
                history,
                ops: Vec::new(),
                stored: Stored::default(),
                heard: AllHeard::new(),
                executions: BTreeMap::new(),
                secrets: Vec::new(),
                allowance: Allowance::default(),
            },
        }
    }

    fn id(&self, nonce: u64) -> JobId {
        let tenant: TenantId = TENANTS[0].parse().unwrap();
        let random = nonce.to_be_bytes();
        let mint = Mint {
            accepted_at: self.began.plus(seconds(1.0)),
            time_to_live: Span::from_secs(60),
            retention: Retention::from_minutes(24 * 60).unwrap(),
            queue: QueueTag::of(&"identity".parse().unwrap(), &"1".parse().unwrap(), Lane::Interactive),
            random,
        };
        self.keys.mint(&tenant, mint)
    }

    fn answer(&self, nonce: u64, state: JobState) -> Answer {
        let succeeded = state == JobState::Succeeded;
        Answer {
            id: self.id(nonce),
            state,
            completed_at: state.is_terminal().then(|| self.began.plus(seconds(2.0))),
            outputs: succeeded.then(|| question::output_digest(nonce)),
            inputs: None,
            failure: None,
        }
    }

    fn op(&mut self, call: Call, at: f64, end: End) {
        self.evidence.ops.push(Op {
            tenant: 0,
            call,
            invoked: seconds(at),
            completed: seconds(at + 0.1),
            end,
        });
    }

    fn submit(&mut self, nonce: u64, key: Option<&str>, end: End) {
        let key = key.map(str::to_owned);
        self.op(Call::Submit { nonce, key }, 1.0, end);
    }

    fn read(&mut self, nonce: u64, way: Way, at: f64, answer: Answer) {
        let id = self.id(nonce);
        self.op(Call::Read { id, way }, at, End::Ok(answer));
    }

    fn store(&mut self, nonce: u64, state: JobState) {
        let id = self.id(nonce);
        let succeeded = state == JobState::Succeeded;
        let mut lineage = Lineage::of_id(id, TENANTS[0].parse().unwrap(), state);
        lineage.input_digest = Some(question::input_digest(nonce));
        lineage.output_digest = succeeded.then(|| question::output_digest(nonce));
        lineage.attempt = 1;
        self.evidence.stored.jobs.push(StoredJob {
            tenant: TENANTS[0].to_owned(),
            id,
            state: Some(state),
            committed_at: Some(self.began.plus(seconds(2.0))),
            outputs: succeeded.then(|| question::output_digest(nonce)),
            lineage: Some(lineage),
            attempts: 0,
        });
        self.evidence.stored.events.insert(id, vec![state]);
        self.evidence.heard.insert(id, vec![Heard { tenant: 0, state }]);
    }

    /// A job that was accepted, ended and read by every way.
    fn job(&mut self, nonce: u64, key: Option<&str>, state: JobState) {
        let queued = self.answer(nonce, JobState::Queued);
        self.submit(nonce, key, End::Ok(queued.clone()));
        self.read(nonce, Way::Poll, 1.05, queued);
        for way in [Way::LongPoll, Way::Event, Way::Lineage, Way::Poll] {
            let mut answer = self.answer(nonce, state);
            answer.inputs = (way == Way::Lineage).then(|| question::input_digest(nonce));
            self.read(nonce, way, 3.0, answer);
        }
        self.store(nonce, state);
    }

    fn stored(&mut self, nonce: u64) -> &mut StoredJob {
        let id = self.id(nonce);
        self.evidence.stored.jobs.iter_mut().find(|job| job.id == id).unwrap()
    }

    fn answers(&mut self, nonce: u64) -> impl Iterator<Item = &mut Answer> {
        let id = self.id(nonce);
        self.evidence
            .ops
            .iter_mut()
            .filter_map(move |op| match (&op.call, &mut op.end) {
                (Call::Read { id: read, .. }, End::Ok(answer)) if *read == id => Some(answer),
                _ => None,
            })
    }
}

/// Jobs of every kind, and nothing wrong with any of them.
fn sound() -> Story {
    let mut story = Story::new();
    story.job(1, None, JobState::Succeeded);
    story.job(2, Some("key"), JobState::Succeeded);
    let mut again = story.answer(2, JobState::Succeeded);
    again.outputs = None;
    story.submit(2, Some("key"), End::Info("connection lost".to_owned()));
    story.submit(2, Some("key"), End::Ok(again));
    story.job(3, None, JobState::Cancelled);
    let (id, cancelled) = (story.id(3), story.answer(3, JobState::Cancelled));
    story.op(Call::Cancel(id), 1.2, End::Ok(cancelled));
    story.op(Call::Foreign(id), 1.3, denied(404, "job_not_found", None));
    story.submit(4, None, denied(429, "overloaded", Some(seconds(1.0))));
    // accepted, but its client never heard of it
    story.submit(5, None, End::Info("connection lost".to_owned()));
    story.store(5, JobState::Succeeded);
    story
}

fn denied(status: u16, code: &str, retry_after: Option<Duration>) -> End {
    End::Fail(Denial {
        status,
        code: code.to_owned(),
        retry_after,
        id: None,
    })
}

/// The promises that a history breaks, each once.
fn broken(story: &Story) -> Vec<Promise> {
    check(&story.evidence).by_promise().into_keys().collect()
}

/// What one planted fault breaks.
fn found(plant: impl FnOnce(&mut Story)) -> Vec<Promise> {
    let mut story = sound();
    plant(&mut story);
    broken(&story)
}

#[test]
fn sound_history_passes() {
    let verdict = check(&sound().evidence);
    assert_eq!(verdict.violations, []);
    assert_eq!((verdict.accepted, verdict.max_executions), (3, 1));
}

#[test]
fn lost_job_is_found_whether_it_waits_for_ever_or_is_denied() {
    let waits = found(|story| {
        let queued = story.answer(9, JobState::Queued);
        story.submit(9, None, End::Ok(queued.clone()));
        story.read(9, Way::Poll, 130.0, queued);
    });
    assert_eq!(waits, [Promise::NothingLost]);
    let never_asked_after = found(|story| {
        let queued = story.answer(9, JobState::Queued);
        story.submit(9, None, End::Ok(queued));
    });
    assert_eq!(never_asked_after, [Promise::NothingLost]);
    let denied = found(|story| {
        let id = story.id(1);
        let call = Call::Read { id, way: Way::Poll };
        story.op(call, 4.0, denied(404, "job_not_found", None));
    });
    assert_eq!(denied, [Promise::NothingLost]);
}

#[test]
fn outcome_that_was_read_and_is_not_stored_is_found() {
    let found = found(|story| {
        let id = story.id(1);
        story.evidence.stored.jobs.retain(|job| job.id != id);
        story.evidence.stored.events.remove(&id);
        story.evidence.heard.remove(&id);
    });
    assert_eq!(found, [Promise::NothingLost]);
}

#[test]
fn two_digests_of_one_job_are_found() {
    let found = found(|story| {
        story.answers(1).last().unwrap().outputs = Some(Digest::of(b"another"));
    });
    assert_eq!(found, [Promise::OneEnd, Promise::RightAnswer]);
}

#[test]
fn second_commit_is_found_by_its_time_and_by_its_event() {
    let rewritten = found(|story| {
        let later = story.began.plus(seconds(5.0));
        story.stored(1).committed_at = Some(later);
    });
    assert_eq!(rewritten, [Promise::OneEnd]);
    let twice = found(|story| {
        let id = story.id(1);
        story.evidence.stored.events.insert(id, vec![JobState::Succeeded; 2]);
        let heard = story.evidence.heard[&id][0];
        story.evidence.heard.insert(id, vec![heard; 2]);
    });
    assert_eq!(twice, [Promise::OneEnd]);
}

#[test]
fn ghost_is_found() {
    assert_eq!(found(|story| story.store(77, JobState::Succeeded)), [Promise::NoGhosts]);
    // one unanswered submission accounts for one job
    let twice = found(|story| {
        story.store(5, JobState::Succeeded);
        let other = story.id(78);
        story.evidence.stored.jobs.last_mut().unwrap().id = other;
        story
            .evidence
            .stored
            .jobs
            .last_mut()
            .unwrap()
            .lineage
            .as_mut()
            .unwrap()
            .job_id = other;
        story.evidence.stored.events.insert(other, vec![JobState::Succeeded]);
        let heard = story.evidence.heard.remove(&story.id(5)).unwrap();
        story.evidence.heard.insert(other, heard);
    });
    assert_eq!(twice, [Promise::NoGhosts]);
}

#[test]
fn swapped_outputs_are_found() {
    let found = found(|story| {
        for (nonce, other) in [(1, 2), (2, 1)] {
            let digest = Some(question::output_digest(other));
            story
                .answers(nonce)
                .filter(|answer| answer.outputs.is_some())
                .for_each(|answer| answer.outputs = digest);
            story.stored(nonce).outputs = digest;
            story.stored(nonce).lineage.as_mut().unwrap().output_digest = digest;
        }
    });
    assert_eq!(found, [Promise::RightAnswer]);
}

#[test]
fn stranger_who_is_shown_a_job_is_found() {
    let found = found(|story| {
        let (id, shown) = (story.id(1), story.answer(1, JobState::Succeeded));
        story.op(Call::Foreign(id), 4.0, End::Ok(shown));
    });
    assert_eq!(found, [Promise::Isolation]);
}

#[test]
fn reply_about_another_job_is_found() {
    let found = found(|story| {
        let other = story.answer(2, JobState::Queued);
        story.read(1, Way::Poll, 1.6, other);
    });
    assert_eq!(found, [Promise::RightAnswer]);
}

#[test]
fn job_that_waits_again_is_found() {
    let found = found(|story| {
        let queued = story.answer(1, JobState::Queued);
        story.read(1, Way::Poll, 3.5, queued);
        let ended = story.answer(1, JobState::Succeeded);
        story.read(1, Way::Poll, 4.0, ended);
    });
    assert_eq!(found, [Promise::NeverBackwards]);
}

#[test]
fn success_after_a_confirmed_cancel_is_found() {
    let found = found(|story| {
        let (id, cancelled) = (story.id(1), story.answer(1, JobState::Cancelled));
        story.op(Call::Cancel(id), 1.2, End::Ok(cancelled));
    });
    assert_eq!(found, [Promise::OneEnd, Promise::NoLateSuccess]);
}

#[test]
fn success_past_the_deadline_is_found() {
    let found = found(|story| {
        let late = story.began.plus(seconds(64.0));
        story.stored(1).committed_at = Some(late);
        story
            .answers(1)
            .for_each(|answer| answer.completed_at = answer.completed_at.map(|_| late));
    });
    assert_eq!(found, [Promise::NoLateSuccess]);
}

#[test]
fn end_without_a_reason_is_found() {
    for state in [JobState::Failed, JobState::Expired, JobState::Cancelled] {
        assert_eq!(
            found(|story| story.job(9, None, state)),
            [Promise::GoodReason],
            "{state}"
        );
    }
}

#[test]
fn failure_of_poison_is_expected_and_its_success_is_not() {
    let of = |state| {
        found(|story| {
            story.evidence.allowance.poison.push(9);
            story.job(9, None, state);
            story.stored(9).lineage.as_mut().unwrap().failure =
                (state == JobState::Failed).then(|| Failure::new(FailureCode::InferenceFailed, "poison"));
        })
    };
    assert_eq!(of(JobState::Failed), []);
    assert_eq!(of(JobState::Succeeded), [Promise::GoodReason]);
}

#[test]
fn missing_and_false_lineages_are_found() {
    assert_eq!(found(|story| story.stored(1).lineage = None), [Promise::TrueLineage]);
    type Lie = fn(&mut Lineage);
    let lies: [Lie; 4] = [
        |lineage| lineage.input_digest = Some(Digest::of(b"another")),
        |lineage| lineage.output_digest = None,
        |lineage| lineage.state = JobState::Failed,
        |lineage| lineage.tenant = TENANTS[1].parse().unwrap(),
    ];
    for lie in lies {
        assert_eq!(
            found(|story| lie(story.stored(1).lineage.as_mut().unwrap())),
            [Promise::TrueLineage]
        );
    }
}

#[test]
fn too_many_attempts_and_uncounted_ones_are_found() {
    assert_eq!(
        found(|story| story.stored(1).attempts = 6),
        [Promise::BoundedExecutions]
    );
    let uncounted = found(|story| story.evidence.executions.extend([(1, 3)]));
    assert_eq!(uncounted, [Promise::BoundedExecutions]);
}

#[test]
fn two_jobs_of_one_key_are_found() {
    let found = found(|story| {
        let other = Answer {
            id: story.id(99),
            ..story.answer(2, JobState::Queued)
        };
        story.submit(2, Some("key"), End::Ok(other));
    });
    assert!(found.contains(&Promise::Idempotency), "{found:?}");
}

#[test]
fn refusal_without_retry_after_is_found() {
    for (status, code) in [(429, "overloaded"), (503, "broker_unavailable")] {
        assert_eq!(
            found(|story| story.submit(9, None, denied(status, code, None))),
            [Promise::RetryAfter]
        );
    }
}

#[test]
fn server_error_is_found() {
    assert_eq!(
        found(|story| story.submit(9, None, denied(500, "internal", None))),
        [Promise::KnownReplies]
    );
}

#[test]
fn late_reply_is_found_and_a_long_event_stream_is_none() {
    let slow = |way: Way| {
        found(move |story| {
            let (id, ended) = (story.id(1), story.answer(1, JobState::Succeeded));
            story.op(Call::Read { id, way }, 4.0, End::Ok(ended));
            story.evidence.ops.last_mut().unwrap().completed = seconds(40.0);
        })
    };
    assert_eq!(slow(Way::Poll), [Promise::PromptReplies]);
    assert_eq!(slow(Way::Event), []);
}

#[test]
fn late_news_is_found_where_it_is_not_allowed() {
    let late = |allowed: Option<Duration>| {
        found(move |story| {
            story.evidence.allowance.late_news = allowed;
            let (id, ended) = (story.id(1), story.answer(1, JobState::Succeeded));
            let call = Call::Read { id, way: Way::LongPoll };
            story.op(call, 1.0, End::Ok(ended));
            story.evidence.ops.last_mut().unwrap().completed = seconds(8.0);
        })
    };
    assert_eq!(late(Some(seconds(3.0))), [Promise::PromptNews]);
    assert_eq!(late(None), []);
}

#[test]
fn events_that_end_without_the_end_are_found() {
    let found = found(|story| {
        let id = story.id(1);
        let followed = |call: &Call| matches!(call, Call::Read { id: read, way: Way::Event } if *read == id);
        story.evidence.ops.retain(|op| !followed(&op.call));
        let call = Call::Read { id, way: Way::Event };
        story.op(call, 4.0, End::Info("the stream has ended".to_owned()));
    });
    assert_eq!(found, [Promise::EventsMissNone]);
}

#[test]
fn subscription_that_misses_repeats_or_alters_an_end_is_found_and_so_is_a_strangers() {
    let told = |states: &'static [(usize, JobState)]| {
        found(|story| {
            let id = story.id(1);
            let heard = states.iter().map(|&(tenant, state)| Heard { tenant, state });
            story.evidence.heard.insert(id, heard.collect());
        })
    };
    assert_eq!(told(&[(0, JobState::Succeeded)]), []);
    assert_eq!(told(&[]), [Promise::SubscriptionTellsOnce]);
    assert_eq!(told(&[(0, JobState::Succeeded); 2]), [Promise::SubscriptionTellsOnce]);
    assert_eq!(told(&[(0, JobState::Expired)]), [Promise::SubscriptionTellsOnce]);
    assert_eq!(told(&[(1, JobState::Succeeded)]), [Promise::Isolation]);
    let unknown = found(|story| {
        let heard = story.evidence.heard[&story.id(1)].clone();
        story.evidence.heard.insert(story.id(99), heard);
    });
    assert_eq!(unknown, [Promise::NoGhosts]);
}

#[test]
fn left_over_envelopes_and_secrets_are_found() {
    assert_eq!(
        found(|story| story.evidence.stored.envelopes = 1),
        [Promise::NothingLeftOver]
    );
    assert_eq!(
        found(|story| story.evidence.secrets.push("a log".to_owned())),
        [Promise::NoSecrets]
    );
}
