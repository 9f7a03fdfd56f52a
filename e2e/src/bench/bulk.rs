//! How fast jobs are taken in bulk, and what memory it takes: one upload of so many lines, which the client writes while it
//! reads the replies. A worker works them off meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use futures_util::{StreamExt, stream};
use gristmill_loadtest::WorkArgs;
use gristmill_schemas::{InferRequest, api::BulkReply};

use crate::bench::{backlog::resident, site::Site, target::CpuMicros};

/// Lines that are made at once.
const CHUNK: u64 = 1024;
/// How often the ingest's memory is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// What an upload showed.
#[derive(Debug)]
pub struct Shown {
    /// Jobs a second that were kept.
    pub rate: f64,
    /// Of each process; the client's is the benchmark's own.
    pub cpu_us: CpuMicros,
    /// By how many bytes the ingest's resident memory grew at most.
    pub growth: u64,
}

/// Uploads so many jobs of the model `identity`, no two alike.
///
/// # Errors
/// A line was refused or has no reply.
pub async fn upload(site: &Site, lines: u64) -> anyhow::Result<Shown> {
    #[derive(Parser)]
    struct Defaults {
        #[command(flatten)]
        work: WorkArgs,
    }
    let work = Defaults::parse_from(["bulk"]).work;
    let (target, ingest) = (site.target()?, site.stack.ingest.pid());
    let body =
        stream::iter((0..lines).step_by(CHUNK as usize)).map(move |from| chunk(&work, from..lines.min(from + CHUNK)));
    let (before, cpu_before, began) = (resident(ingest)?, target.cpu()?, Instant::now());
    let call = reqwest::Client::new()
        .post(format!("{}/v1/jobs/bulk", target.url))
        .bearer_auth(&target.api_key)
        .header("content-type", "application/x-ndjson");
    let reply = call
        .body(reqwest::Body::wrap_stream(body))
        .send()
        .await?
        .error_for_status()?;
    let (mut chunks, mut rest, mut next) = (reply.bytes_stream(), Vec::new(), 0);
    let (mut most, mut looked) = (before, began);
    while let Some(chunk) = chunks.next().await {
        rest.extend_from_slice(&chunk?);
        let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        for line in rest[..whole]
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let reply: BulkReply = serde_json::from_slice(line)?;
            ensure!(reply.index == next && reply.id.is_some(), "line {next}: {reply:?}");
            next += 1;
        }
        rest.drain(..whole);
        if looked.elapsed() > LOOK {
            (most, looked) = (most.max(resident(ingest)?), Instant::now());
        }
    }
    ensure!(next == lines, "{next} of {lines} lines have a reply");
    Ok(Shown {
        cpu_us: target.cpu_since(&cpu_before, lines as f64)?,
        rate: lines as f64 / began.elapsed().as_secs_f64(),
        growth: most.max(resident(ingest)?) - before,
    })
}

fn chunk(work: &WorkArgs, nonces: std::ops::Range<u64>) -> anyhow::Result<Vec<u8>> {
    let model: gristmill_schemas::ModelName = work.model.as_str().parse().context("the model's name")?;
    let mut chunk = Vec::new();
    for inputs in gristmill_loadtest::inputs(work, nonces) {
        chunk.extend(InferRequest::new(model.clone(), inputs).to_json());
        chunk.push(b'\n');
    }
    Ok(chunk)
}
