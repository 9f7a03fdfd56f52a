//! Jobs, outcomes and lineage for the tests.

use std::{collections::BTreeMap, time::SystemTime};

use gristmill_schemas::{
    Digest, Failure, FailureCode, Job, JobId, JobIdKeys, JobResult, Lane, Lineage, Outcome, Provenance, Retention,
    Span, TenantId, Tensor, job_id::Mint, subject::QueueTag,
};

/// The tenant of most tests.
pub(crate) fn tenant() -> TenantId {
    "miller".parse().unwrap()
}

/// A fresh job id of a tenant.
pub(crate) fn id_of(tenant: &TenantId) -> JobId {
    let mut random = [0; 8];
    getrandom::fill(&mut random).unwrap();
    let keys = JobIdKeys::new([(1, [7; 32])].into()).unwrap();
    let mint = Mint {
        accepted_at: SystemTime::now().into(),
        time_to_live: Span::from_secs(60),
        retention: Retention::from_minutes(24 * 60).unwrap(),
        queue: QueueTag::of(&"identity".parse().unwrap(), &"1".parse().unwrap(), Lane::Interactive),
        random,
    };
    keys.mint(tenant, mint)
}

/// A fresh job id of [`tenant`].
pub(crate) fn id() -> JobId {
    id_of(&tenant())
}

/// A job of so many rows, each of one number.
pub(crate) fn job(rows: u16) -> Job {
    let values: Vec<f32> = (0..rows).map(f32::from).collect();
    job_with(Tensor::from_f32("x", vec![rows.into(), 1], &values).unwrap())
}

/// A job of one row of so many bytes.
pub(crate) fn job_of_bytes(bytes: usize) -> Job {
    job_with(Tensor::from_elements("x", &[vec![b'x'; bytes]]).unwrap())
}

fn job_with(input: Tensor) -> Job {
    let inputs = vec![input];
    Job {
        id: id(),
        tenant: tenant(),
        submitted_by: "k1".parse().unwrap(),
        model: "identity".parse().unwrap(),
        version: "1".parse().unwrap(),
        artifact: Digest::of(b"graph"),
        lane: Lane::Interactive,
        input_digest: Digest::of_tensors(&inputs),
        inputs,
        provenance: Provenance::default(),
        metadata: BTreeMap::new(),
        traceparent: None,
        webhook: None,
    }
}

/// A success with one output.
pub(crate) fn success(id: JobId) -> (Outcome, Lineage) {
    let output = Tensor::from_f32("y", vec![1, 2], &[1.0, 2.0]).unwrap();
    ended(id, JobResult::Succeeded(vec![output]))
}

/// A failure.
pub(crate) fn failure(id: JobId) -> (Outcome, Lineage) {
    let failure = Failure::new(FailureCode::InferenceFailed, "the stone broke");
    ended(id, JobResult::Failed(failure))
}

/// Any outcome, with the least of a lineage.
pub(crate) fn ended(id: JobId, result: JobResult) -> (Outcome, Lineage) {
    let outcome = Outcome::new(id, result);
    let lineage = Lineage::of_id(id, tenant(), outcome.state());
    (outcome, lineage)
}
