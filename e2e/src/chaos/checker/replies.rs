//! The promises about replies, about keys, and about what there is that should not be.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use gristmill_schemas::JobId;

use crate::chaos::{
    checker::{Dossier, Evidence, Findings, Promise},
    history::{Call, End, Op, Way},
};

/// No reply may take longer.
const REPLY_LIMIT: Duration = Duration::from_secs(35);

type Dossiers<'e> = BTreeMap<JobId, Dossier<'e>>;

/// Holds the history as a whole against every promise that is not about one job.
pub(super) fn check(evidence: &Evidence, jobs: &Dossiers<'_>, findings: &mut Findings) {
    for op in &evidence.ops {
        prompt(op, findings);
        refusal(op, findings);
        isolation(op, findings);
    }
    idempotency(evidence, jobs, findings);
    no_ghosts(evidence, jobs, findings);
    for id in evidence.heard.keys().filter(|id| !jobs.contains_key(id)) {
        findings.of(
            Promise::NoGhosts,
            *id,
            "a subscriber was told of it, and no store has it",
        );
    }
    if evidence.stored.envelopes > 0 {
        let what = format!("{} envelopes are still on the stream", evidence.stored.envelopes);
        findings.general(Promise::NothingLeftOver, what);
    }
    for place in &evidence.secrets {
        findings.general(Promise::NoSecrets, format!("an API key's secret stands in {place}"));
    }
}

fn prompt(op: &Op, findings: &mut Findings) {
    let took = op.completed.saturating_sub(op.invoked);
    // an event stream is open for as long as its job waits
    let is_stream = matches!(op.call, Call::Read { way: Way::Event, .. });
    if took > REPLY_LIMIT && !is_stream {
        findings.general(Promise::PromptReplies, format!("{:?} took {took:?}", op.call));
    }
}

fn refusal(op: &Op, findings: &mut Findings) {
    let End::Fail(denial) = &op.end else { return };
    if matches!(denial.status, 429 | 503) && denial.retry_after.is_none() {
        let what = format!("{} {} without Retry-After", denial.status, denial.code);
        findings.general(Promise::RetryAfter, what);
    }
    let known = match op.call {
        Call::Foreign(_) => [404, 404],
        // a job that has ended cannot be cancelled, one that failed has no result
        Call::Cancel(_) | Call::Read { .. } => [409, 404],
        Call::Submit { .. } => [429, 503],
    };
    // what a job's owner is denied is judged with the job
    if !matches!(denial.status, 0 | 429 | 503 | 410) && !known.contains(&denial.status) {
        let what = format!("{:?} was answered {} {}", op.call, denial.status, denial.code);
        findings.general(Promise::KnownReplies, what);
    }
}

fn isolation(op: &Op, findings: &mut Findings) {
    if let (Call::Foreign(id), End::Ok(_)) = (&op.call, &op.end) {
        findings.of(Promise::Isolation, *id, format!("tenant {} was shown it", op.tenant));
    }
}

fn idempotency(evidence: &Evidence, jobs: &Dossiers<'_>, findings: &mut Findings) {
    let mut keys: BTreeMap<(usize, &str), (u64, BTreeSet<JobId>)> = BTreeMap::new();
    for op in &evidence.ops {
        let Call::Submit { nonce, key: Some(key) } = &op.call else {
            continue;
        };
        let (_, ids) = keys
            .entry((op.tenant, key))
            .or_insert_with(|| (*nonce, BTreeSet::new()));
        match &op.end {
            End::Ok(answer) => drop(ids.insert(answer.id)),
            End::Fail(denial) => ids.extend(denial.id),
            End::Info(_) => {}
        }
    }
    for ((_, key), (nonce, ids)) in &keys {
        if ids.len() > 1 {
            findings.general(
                Promise::Idempotency,
                format!("the key {key} is {} jobs: {ids:?}", ids.len()),
            );
        }
        let unheard = jobs.values().filter(|job| !job.is_known());
        let twins = unheard
            .filter(|job| job.asks_one_of([*nonce].into_iter()).is_some())
            .count();
        if twins + ids.len() > 1 && twins > 0 {
            findings.general(
                Promise::Idempotency,
                format!("the key {key} was executed as {} jobs", twins + ids.len()),
            );
        }
    }
    for job in jobs.values().filter(|job| job.nonces.len() > 1) {
        findings.of(
            Promise::Idempotency,
            job.id,
            format!("it is the job of submissions {:?}", job.nonces),
        );
    }
}

/// A job that has ended and of which no client has heard must be one whose submission was never answered.
fn no_ghosts(evidence: &Evidence, jobs: &Dossiers<'_>, findings: &mut Findings) {
    let mut unanswered: BTreeMap<u64, u64> = BTreeMap::new();
    for op in &evidence.ops {
        if let (Call::Submit { nonce, .. }, End::Info(_)) = (&op.call, &op.end) {
            *unanswered.entry(*nonce).or_default() += 1;
        }
    }
    let ended = |job: &&Dossier<'_>| job.stored.is_some_and(|stored| stored.state.is_some());
    for job in jobs.values().filter(|job| !job.is_known()).filter(ended) {
        let candidates = unanswered
            .iter()
            .filter(|(_, left)| **left > 0)
            .map(|(nonce, _)| *nonce);
        match job.asks_one_of(candidates) {
            Some(nonce) => *unanswered.entry(nonce).or_default() -= 1,
            None => findings.of(Promise::NoGhosts, job.id, "it has ended, and nobody has handed it in"),
        }
    }
}
