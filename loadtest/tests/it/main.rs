//! The load tester against servers that lie, which a real one cannot be made to do.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod liar;

use gristmill_broker::ServerUrl;
use gristmill_loadtest::{
    Arrivals, Encoding, LoadtestArgs, Model, PaceArgs, Report, ReportArgs, TargetArgs, Texts, Wait, WorkArgs,
};
use gristmill_schemas::{Lane, Span};

use clap::Parser;
use liar::Lie;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: LoadtestArgs,
}

const JOBS: u64 = 40;

/// Runs a test of [`JOBS`] jobs against a server with one fault, which befalls job 7 alone.
async fn tested(lie: Lie, wait: Wait) -> Report {
    run(args(lie, wait).await).await
}

/// The same by the clock.
async fn tested_at(lie: Lie, wait: Wait, rate: f64) -> Report {
    let mut args = args(lie, wait).await;
    (args.pace.rate, args.pace.in_flight) = (Some(rate), Some(1));
    run(args).await
}

async fn run(args: LoadtestArgs) -> Report {
    gristmill_loadtest::run_until(args, std::future::pending())
        .await
        .unwrap()
}

async fn args(lie: Lie, wait: Wait) -> LoadtestArgs {
    LoadtestArgs {
        target: TargetArgs {
            url: ServerUrl::new(liar::serve(lie).await),
            api_key: "gm_test".parse().unwrap(),
            encoding: Encoding::Json,
            wait,
            no_idempotency_key: false,
        },
        work: WorkArgs {
            model: Model::Identity,
            rows: 2,
            texts: Texts::Short,
            lane: Lane::Interactive,
            deadline: None,
        },
        pace: PaceArgs {
            // which job came before another is certain only one by one
            in_flight: Some(if lie == Lie::GivesAnIdTwice { 1 } else { 4 }),
            rate: None,
            arrivals: Arrivals::Poisson,
            jobs: JOBS,
            duration: None,
            timeout: Span::from_millis(if lie == Lie::NeverEnds { 3000 } else { 20_000 }),
        },
        scenario: None,
        report: ReportArgs::default(),
    }
}

async fn complaints(lie: Lie) -> Vec<String> {
    let report = tested(lie, Wait::LongPoll).await;
    assert_eq!(report.passed(), report.complaints.is_empty());
    report.complaints
}

#[tokio::test]
async fn honest_server_passes_by_every_way_of_waiting() {
    for wait in [Wait::Prefer, Wait::LongPoll, Wait::Events] {
        let report = tested(Lie::None, wait).await;
        assert!(report.passed(), "{report}");
        let counts = &report.loads[0].counts;
        assert_eq!(
            (counts.submitted, counts.accepted, counts.terminal, counts.succeeded),
            (JOBS, JOBS, JOBS, JOBS)
        );
        assert!(report.loads[0].latency_ms.is_some() && report.loads[0].references == 1);
    }
}

#[tokio::test]
async fn open_loop_counts_from_when_a_job_was_due() {
    let report = tested_at(Lie::None, Wait::Prefer, 400.0).await;
    let load = &report.loads[0];
    assert!(report.passed() && load.counts.terminal == JOBS, "{report}");
    assert_eq!(load.timeline.iter().map(|step| step.ended).sum::<u64>(), JOBS);
    assert!(load.latency_curve.last().is_some_and(|[share, _]| *share >= 1.0));
    // one place, held for seconds by a job that nobody answers: those that were due meanwhile waited for it
    let report = tested_at(Lie::NeverEnds, Wait::Prefer, 400.0).await;
    let slow = report.loads[0].latency_ms.unwrap();
    assert!(
        slow.max > 1000.0 || report.loads[0].counts.lost_in_all() == 1,
        "{report}"
    );
}

#[tokio::test]
async fn search_ends_with_the_highest_rate_that_passed_and_every_rate_it_tried() {
    let url = liar::serve(Lie::None).await;
    let words = [
        "x",
        "--url",
        &url,
        "--api-key",
        "gm_test",
        "--encoding",
        "json",
        "--search",
    ];
    let pace = ["--rate", "100", "--duration", "500ms", "--slo", "errors=0,rate<300"];
    let args = Command::parse_from(words.iter().chain(&pace)).args;
    let report = gristmill_loadtest::run_until(args, std::future::pending())
        .await
        .unwrap();
    // what a gate on the rate itself lets pass is known: the server plays no part in it
    let found = report.highest_rate_per_s.unwrap();
    assert!(report.passed() && (150.0..450.0).contains(&found), "{report}");
    assert!(report.probes.iter().any(|probe| !probe.passed) && report.probes.len() > 3);
}

#[tokio::test]
async fn lost_jobs_are_found() {
    assert_eq!(complaints(Lie::Forgets).await, ["1 lost"]);
    let by_events = tested(Lie::Forgets, Wait::Events).await;
    assert_eq!(by_events.complaints, ["1 lost"]);
    assert_eq!(complaints(Lie::NeverEnds).await, ["1 lost"]);
}

#[tokio::test]
async fn duplicates_are_found() {
    assert_eq!(complaints(Lie::GivesAnIdTwice).await, ["1 duplicated"]);
    assert_eq!(complaints(Lie::GivesTwoIds).await, ["1 duplicated"]);
}

#[tokio::test]
async fn wrong_answers_are_found() {
    assert_eq!(complaints(Lie::MixesUp).await, ["1 wrong"]);
    assert_eq!(complaints(Lie::AnswersForAnother).await, ["1 wrong"]);
}

#[tokio::test]
async fn failures_are_found() {
    assert_eq!(complaints(Lie::Fails).await, ["1 failed, expired or cancelled"]);
}

#[tokio::test]
async fn refusal_ends_the_test_and_is_found() {
    let report = tested(Lie::Refuses, Wait::LongPoll).await;
    assert_eq!(report.complaints, ["1 refused"]);
    assert!(report.loads[0].counts.submitted < JOBS, "{report}");
}

#[tokio::test]
async fn full_server_and_unknown_publish_are_asked_again_and_pass() {
    let report = tested(Lie::IsBusyFirst, Wait::Prefer).await;
    assert!(
        report.passed() && report.loads[0].counts.retries["overloaded"] == 1 && report.loads[0].counts.unknown == 0,
        "{report}"
    );
    let report = tested(Lie::DoesNotKnowFirst, Wait::LongPoll).await;
    assert!(
        report.passed()
            && report.loads[0].counts.retries["publish_unknown"] == 1
            && report.loads[0].counts.unknown == 1,
        "{report}"
    );
    let report = tested(Lie::HangsUpFirst, Wait::LongPoll).await;
    assert!(
        report.passed() && report.loads[0].counts.retries["no_reply"] == 1 && report.loads[0].counts.unknown == 1,
        "{report}"
    );
}

#[tokio::test]
async fn unknown_submission_without_a_key_is_given_up_and_found() {
    for lie in [Lie::DoesNotKnowFirst, Lie::HangsUpFirst] {
        let mut args = args(lie, Wait::LongPoll).await;
        args.target.no_idempotency_key = true;
        let report = run(args).await;
        assert_eq!(report.complaints, ["1 given up: no certain answer in time"], "{report}");
        let counts = &report.loads[0].counts;
        assert!(counts.terminal == JOBS - 1 && counts.retries.is_empty(), "{report}");
    }
}
