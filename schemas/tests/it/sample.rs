//! One full value of every message, always the same: what the golden files hold.

use std::collections::BTreeMap;

use gristmill_schemas::{
    Datatype, Digest, Envelope, Failure, FailureCode, InferRequest, Job, JobId, JobIdKeys, JobResult, JobState, Lane,
    Lineage, ModelName, Outcome, Provenance, Retention, Span, TenantId, Tensor, Timestamp,
    job_id::Mint,
    lineage::{BatchRecord, ModelRecord, Stages, WorkerRecord},
    subject::QueueTag,
};

/// 2023-11-14T22:13:20Z and some.
const ACCEPTED: u64 = 1_700_000_000_123;

pub(crate) fn tenant() -> TenantId {
    "acme".parse().unwrap()
}

pub(crate) fn keys() -> JobIdKeys {
    JobIdKeys::new(BTreeMap::from([(3, [7; 32])])).unwrap()
}

/// An id whose random part is `random` eight times.
pub(crate) fn job_id(random: u8) -> JobId {
    let mint = Mint {
        accepted_at: Timestamp::from_millis(ACCEPTED),
        time_to_live: Span::from_secs(30),
        retention: Retention::from_minutes(24 * 60).unwrap(),
        queue: QueueTag::of(&"magika".parse().unwrap(), &"1".parse().unwrap(), Lane::Interactive),
        random: [random; 8],
    };
    keys().mint(&tenant(), mint)
}

fn provenance() -> Provenance {
    Provenance {
        dataset: Some("reviews/2026-11".to_owned()),
        feature_version: Some("v7".to_owned()),
        parent_jobs: vec![job_id(1)],
    }
}

fn metadata() -> BTreeMap<String, String> {
    let pairs = [("batch", "nightly"), ("größe", "klein")];
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

pub(crate) fn inputs() -> Vec<Tensor> {
    vec![
        Tensor::from_elements("text", &["a cat".as_bytes(), &[], &[0xff, 0x00]]).unwrap(),
        Tensor::from_f32("weights", vec![3, 1], &[1.0, -0.5, 0.1]).unwrap(),
    ]
}

pub(crate) fn job() -> Job {
    Job {
        id: job_id(2),
        tenant: tenant(),
        submitted_by: "laptop".parse().unwrap(),
        model: "minilm".parse().unwrap(),
        version: "1".parse().unwrap(),
        artifact: Digest::of(b"graph"),
        lane: Lane::Batch,
        inputs: inputs(),
        input_digest: Digest::of_tensors(&inputs()),
        provenance: provenance(),
        metadata: metadata(),
        traceparent: Some(
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
                .parse()
                .unwrap(),
        ),
        webhook: None,
    }
}

/// One job with everything, one with nothing that may be left out.
pub(crate) fn envelope() -> Envelope {
    let bare = Job {
        id: job_id(4),
        lane: Lane::Interactive,
        provenance: Provenance::default(),
        metadata: BTreeMap::new(),
        traceparent: None,
        ..job()
    };
    Envelope::new(vec![job(), bare])
}

pub(crate) fn outcome(state: JobState) -> Outcome {
    let result = match state {
        JobState::Succeeded => JobResult::Succeeded(vec![
            Tensor::from_f32("embedding", vec![1, 2], &[0.6, 0.8]).unwrap(),
            Tensor::new("class", Datatype::Int64, vec![1], (-2_i64).to_le_bytes().to_vec()).unwrap(),
        ]),
        JobState::Failed => JobResult::Failed(failure()),
        JobState::Expired => JobResult::Expired,
        JobState::Cancelled => JobResult::Cancelled,
        JobState::Queued => panic!("queued is no outcome"),
    };
    Outcome::new(job_id(2), result)
}

fn failure() -> Failure {
    Failure::new(FailureCode::InferenceFailed, "The engine returned an error.")
}

/// A record in which every field is there, more than one job could fill.
pub(crate) fn lineage() -> Lineage {
    Lineage {
        submitted_by: Some("laptop".parse().unwrap()),
        traceparent: job().traceparent,
        provenance: provenance(),
        metadata: metadata(),
        input_digest: Some(job().input_digest),
        output_digest: Some(Digest::of(b"out")),
        failure: Some(failure()),
        model: Some(model()),
        lane: Some(Lane::Batch),
        batches: vec![batch("b-1", 5), batch("b-2", 0)],
        worker: Some(worker()),
        attempt: 2,
        stages: stages(),
        ..Lineage::of_id(job_id(2), tenant(), JobState::Failed)
    }
}

pub(crate) fn lineage_of_id() -> Lineage {
    Lineage::of_id(job_id(2), tenant(), JobState::Expired)
}

fn model() -> ModelRecord {
    ModelRecord {
        name: "minilm".parse().unwrap(),
        version: "1".parse().unwrap(),
        artifact: Digest::of(b"graph"),
        companions: BTreeMap::from([("tokenizer".to_owned(), Digest::of(b"tokenizer"))]),
        preprocess: "tokenize max_tokens=256".to_owned(),
        postprocess: "mean_pool normalize=l2".to_owned(),
    }
}

fn batch(id: &str, position: u32) -> BatchRecord {
    BatchRecord {
        id: id.to_owned(),
        jobs: 3,
        rows: 8,
        position,
        job_rows: 3,
    }
}

fn worker() -> WorkerRecord {
    WorkerRecord {
        id: "w-1".to_owned(),
        host: "mill".to_owned(),
        version: "0.1.0".to_owned(),
        runtime: "onnxruntime 1.31.1".to_owned(),
        provider: "cpu".to_owned(),
    }
}

fn stages() -> Stages {
    let after = |micros| Some(Timestamp::from_micros(ACCEPTED * 1000 + micros));
    Stages {
        accepted_at: Timestamp::from_millis(ACCEPTED),
        published_at: after(1_001),
        received_at: after(2_002),
        claimed_at: after(3_003),
        compute_started_at: after(4_004),
        compute_finished_at: after(5_005),
        committed_at: after(6_006),
    }
}

pub(crate) fn request() -> InferRequest {
    InferRequest {
        version: Some("default".parse().unwrap()),
        lane: Lane::Batch,
        deadline: Some(Span::from_secs(90)),
        provenance: provenance(),
        metadata: metadata(),
        ..InferRequest::new(minilm(), inputs())
    }
}

pub(crate) fn minilm() -> ModelName {
    "minilm".parse().unwrap()
}
