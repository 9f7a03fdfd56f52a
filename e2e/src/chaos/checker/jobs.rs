//! The promises about one job.

use std::time::Duration;

use gristmill_schemas::JobState;

use crate::chaos::{
    checker::{Dossier, Evidence, Findings, Promise},
    history::Way,
    plan::TENANTS,
    question,
};

/// Holds one job against every promise about single jobs. What nobody has heard of is judged elsewhere.
pub(super) fn check(job: &Dossier<'_>, evidence: &Evidence, findings: &mut Findings) {
    bounded_executions(job, evidence, findings);
    one_end(job, evidence, findings);
    if !job.is_known() {
        return;
    }
    nothing_lost(job, findings);
    right_answer(job, findings);
    good_reason(job, evidence, findings);
    never_backwards(job, findings);
    true_lineage(job, findings);
    no_late_success(job, evidence, findings);
    prompt_news(job, evidence, findings);
    events_miss_none(job, findings);
    subscription_tells_once(job, evidence, findings);
}

fn nothing_lost(job: &Dossier<'_>, findings: &mut Findings) {
    if let Some(denial) = job.denials.iter().find(|denial| matches!(denial.status, 404 | 410)) {
        findings.of(
            Promise::NothingLost,
            job.id,
            format!("its owner was told {}", denial.code),
        );
        return;
    }
    if !job.accepted {
        return;
    }
    let last = job.sightings.iter().rfind(|sighting| sighting.way.is_some());
    let seen = last.is_some_and(|sighting| sighting.answer.state.is_terminal());
    let stored = job.stored.is_some_and(|stored| stored.state.is_some());
    match (seen, stored) {
        (true, true) => {}
        (false, _) => findings.of(Promise::NothingLost, job.id, "accepted, and its end was never read"),
        (true, false) => findings.of(Promise::NothingLost, job.id, "its end was read, and is not stored"),
    }
}

fn one_end(job: &Dossier<'_>, evidence: &Evidence, findings: &mut Findings) {
    let stored = job.stored.filter(|stored| stored.state.is_some());
    let mut states: Vec<JobState> = job.endings().map(|sighting| sighting.answer.state).collect();
    let mut times: Vec<_> = job
        .endings()
        .filter_map(|sighting| sighting.answer.completed_at)
        .collect();
    let mut outputs: Vec<_> = job.endings().filter_map(|sighting| sighting.answer.outputs).collect();
    states.extend(stored.and_then(|stored| stored.state));
    times.extend(stored.and_then(|stored| stored.committed_at));
    outputs.extend(stored.and_then(|stored| stored.outputs));
    if states.iter().any(|state| *state != states[0]) {
        findings.of(Promise::OneEnd, job.id, format!("it ended as each of {states:?}"));
    } else if outputs.iter().any(|digest| *digest != outputs[0]) {
        findings.of(Promise::OneEnd, job.id, "it has outputs of different digests");
    } else if times.iter().any(|time| *time != times[0]) {
        findings.of(
            Promise::OneEnd,
            job.id,
            format!("it ended at different times: {times:?}"),
        );
    }
    let events = evidence.stored.events.get(&job.id).map_or(&[][..], Vec::as_slice);
    if events.len() > 1 {
        findings.of(
            Promise::OneEnd,
            job.id,
            format!("it has {} events of its end: {events:?}", events.len()),
        );
    } else if stored.is_some() && events.first() != stored.and_then(|stored| stored.state.as_ref()) {
        findings.of(
            Promise::OneEnd,
            job.id,
            format!("its end is stored, and its event is {events:?}"),
        );
    }
}

fn right_answer(job: &Dossier<'_>, findings: &mut Findings) {
    if let Some(other) = job.sightings.iter().find(|sighting| sighting.answer.id != job.id) {
        findings.of(
            Promise::RightAnswer,
            job.id,
            format!("a reply was about {}", other.answer.id),
        );
    }
    let (Some(nonce), stored) = (job.nonce(), job.stored.and_then(|stored| stored.outputs)) else {
        return;
    };
    let expected = question::output_digest(nonce);
    let told = job.endings().filter_map(|sighting| sighting.answer.outputs);
    if told.chain(stored).any(|digest| digest != expected) {
        findings.of(
            Promise::RightAnswer,
            job.id,
            format!("it has not the outputs of nonce {nonce}"),
        );
    }
}

fn good_reason(job: &Dossier<'_>, evidence: &Evidence, findings: &mut Findings) {
    let Some(state) = job.state() else { return };
    let poison = job.nonces.iter().any(|nonce| evidence.allowance.poison.contains(nonce));
    let ended_at = job.stored.and_then(|stored| stored.committed_at);
    let early = ended_at.map_or(Duration::ZERO, |at| job.id.deadline().since(at));
    let excuse = match state {
        JobState::Queued | JobState::Succeeded => !poison,
        JobState::Failed => poison,
        JobState::Cancelled => job.cancel_asked.is_some(),
        JobState::Expired => early <= evidence.allowance.early_expiry,
    };
    if !excuse {
        let failure = job.stored.and_then(|stored| stored.lineage.as_ref()?.failure.as_ref());
        let why = match failure {
            Some(failure) => format!(": {}", failure.message),
            None => format!(", {early:?} before its deadline"),
        };
        findings.of(Promise::GoodReason, job.id, format!("nothing says why it {state}{why}"));
    }
}

fn never_backwards(job: &Dossier<'_>, findings: &mut Findings) {
    let Some(ended) = job.endings().next() else { return };
    let back = |sighting: &&super::Sighting<'_>| {
        !sighting.answer.state.is_terminal() && sighting.invoked > ended.completed && sighting.way.is_some()
    };
    if let Some(back) = job.sightings.iter().find(back) {
        let what = format!(
            "{} at {:?} and waiting again at {:?}",
            ended.answer.state, ended.completed, back.completed
        );
        findings.of(Promise::NeverBackwards, job.id, what);
    }
}

fn true_lineage(job: &Dossier<'_>, findings: &mut Findings) {
    let Some(stored) = job.stored.filter(|stored| stored.state.is_some()) else {
        return;
    };
    let Some(lineage) = &stored.lineage else {
        findings.of(Promise::TrueLineage, job.id, "it has ended and has no lineage");
        return;
    };
    let mut wrong = |what: &str| findings.of(Promise::TrueLineage, job.id, what);
    if lineage.job_id != job.id || Some(lineage.state) != stored.state {
        wrong("its lineage is of another job or another end");
    }
    let owner = job.tenant.map(|tenant| TENANTS[tenant]);
    if lineage.tenant.as_str() != stored.tenant || owner.is_some_and(|owner| owner != stored.tenant) {
        wrong("its lineage or its key names another tenant");
    }
    let ran = stored.state == Some(JobState::Succeeded);
    let input = job.nonce().map(question::input_digest);
    // whoever cancels a job or finds it expired knows its id alone
    if (ran || lineage.input_digest.is_some()) && lineage.input_digest != input {
        wrong("its lineage has not the digest of its input");
    }
    if lineage.output_digest != stored.outputs || ran != lineage.output_digest.is_some() {
        wrong("its lineage has not the digest of its output");
    }
    let told = job
        .sightings
        .iter()
        .filter(|sighting| sighting.way == Some(Way::Lineage));
    let told = told.filter_map(|sighting| sighting.answer.inputs);
    if told.into_iter().any(|digest| Some(digest) != input) {
        wrong("the lineage that was read has not the digest of its input");
    }
}

fn bounded_executions(job: &Dossier<'_>, evidence: &Evidence, findings: &mut Findings) {
    let counted = job.nonce().and_then(|nonce| evidence.executions.get(&nonce).copied());
    let tries = job.stored.map_or(0, super::super::stores::StoredJob::tries);
    let most = tries.max(counted.unwrap_or_default());
    if most > evidence.allowance.attempts {
        let what = format!("it was run {most} times; {} are allowed", evidence.allowance.attempts);
        findings.of(Promise::BoundedExecutions, job.id, what);
    }
    if let Some(counted) = counted.filter(|counted| *counted > tries + 1) {
        let what = format!("it was run {counted} times, of which {tries} were counted");
        findings.of(Promise::BoundedExecutions, job.id, what);
    }
}

fn no_late_success(job: &Dossier<'_>, evidence: &Evidence, findings: &mut Findings) {
    let succeeded = job.state() == Some(JobState::Succeeded)
        || job
            .endings()
            .any(|sighting| sighting.answer.state == JobState::Succeeded);
    if !succeeded {
        return;
    }
    if job.cancel_confirmed.is_some() {
        findings.of(
            Promise::NoLateSuccess,
            job.id,
            "it succeeded, and its cancel was confirmed",
        );
    }
    let ended_at = job.stored.and_then(|stored| stored.committed_at);
    let late = ended_at.map(|at| at.since(job.deadline()));
    if let Some(late) = late.filter(|late| *late > evidence.allowance.late_success) {
        findings.of(
            Promise::NoLateSuccess,
            job.id,
            format!("it succeeded {late:?} past its deadline"),
        );
    }
}

/// Events are asked for of every job that has ended, last of all.
fn subscription_tells_once(job: &Dossier<'_>, evidence: &Evidence, findings: &mut Findings) {
    let heard = evidence.heard.get(&job.id).map_or(&[][..], Vec::as_slice);
    let told: Vec<JobState> = heard.iter().map(|heard| heard.state).collect();
    let events = evidence.stored.events.get(&job.id).cloned().unwrap_or_default();
    if told != events {
        let what = format!("its events are {events:?}, and its tenant's subscriber was told {told:?}");
        findings.of(Promise::SubscriptionTellsOnce, job.id, what);
    }
    let foreign = heard
        .iter()
        .find(|heard| job.tenant.is_some_and(|owner| owner != heard.tenant));
    if let Some(foreign) = foreign {
        findings.of(
            Promise::Isolation,
            job.id,
            format!("tenant {} was told of it", foreign.tenant),
        );
    }
}

fn events_miss_none(job: &Dossier<'_>, findings: &mut Findings) {
    let polled = job.endings().any(|sighting| sighting.way == Some(Way::Poll));
    let told = job.endings().any(|sighting| sighting.way == Some(Way::Event));
    if polled && !told {
        findings.of(
            Promise::EventsMissNone,
            job.id,
            "it has ended, and its events never said so",
        );
    }
}

fn prompt_news(job: &Dossier<'_>, evidence: &Evidence, findings: &mut Findings) {
    let Some(allowed) = evidence.allowance.late_news else {
        return;
    };
    let waited = |way: Option<Way>| matches!(way, Some(Way::LongPoll | Way::Event));
    for sighting in job.endings().filter(|sighting| waited(sighting.way)) {
        let Some(ended_at) = sighting.answer.completed_at else {
            continue;
        };
        let asked_at = evidence.history.clock_at(sighting.invoked);
        let told_at = evidence.history.clock_at(sighting.completed);
        let late = told_at.since(ended_at.max(asked_at));
        if late > allowed {
            findings.of(
                Promise::PromptNews,
                job.id,
                format!("who waited for its end heard of it {late:?} later"),
            );
        }
    }
}
