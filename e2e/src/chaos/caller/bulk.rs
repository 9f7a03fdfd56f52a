//! Uploads of many jobs at once.

use std::time::Duration;

use futures_util::StreamExt;
use gristmill_schemas::{InferRequest, JobState, WebhookUrl, api::BulkReply};
use reqwest::{Method, RequestBuilder, header};
use tokio::time::timeout;

use super::{Caller, PATIENCE};
use crate::chaos::{
    history::{Answer, Call, Denial, End},
    question,
};

impl Caller {
    /// Hands jobs in as lines of one upload, each under a key of its own and with a webhook; what became of each, in their order.
    pub async fn submit_in_bulk(&self, door: usize, nonces: &[u64], webhook: &WebhookUrl) -> Vec<End> {
        let (mut body, mut invoked) = (Vec::new(), Vec::new());
        for &nonce in nonces {
            let key = format!("bulk-{nonce}");
            let request = InferRequest {
                webhook: Some(webhook.clone()),
                ..question::request(nonce)
            };
            let mut line: serde_json::Value = serde_json::from_slice(&request.to_json()).expect("a request is JSON");
            line["idempotency_key"] = key.clone().into();
            body.extend(line.to_string().into_bytes());
            body.push(b'\n');
            let call = Call::Submit { nonce, key: Some(key) };
            invoked.push(self.history.invoke(self.tenant, call));
        }
        let http = self.door(door).request(Method::POST, "/v1/jobs/bulk");
        let http = http.header(header::CONTENT_TYPE, "application/x-ndjson").body(body);
        let mut ends = vec![End::Info("no reply".to_owned()); nonces.len()];
        // what has come of the replies counts, whatever becomes of the rest
        let _ = timeout(PATIENCE, replies(http, &mut ends)).await;
        for (invoked, end) in invoked.into_iter().zip(&ends) {
            invoked.end(end);
        }
        ends
    }
}

/// Reads the lines of an upload's replies as they come.
async fn replies(http: RequestBuilder, ends: &mut [End]) -> anyhow::Result<()> {
    let mut pieces = http.send().await?.error_for_status()?.bytes_stream();
    let mut text = Vec::new();
    while let Some(piece) = pieces.next().await {
        text.extend_from_slice(&piece?);
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            let reply: BulkReply = serde_json::from_slice(&line)?;
            if let Some(place) = ends.get_mut(usize::try_from(reply.index)?) {
                *place = end_of(reply);
            }
        }
    }
    Ok(())
}

fn end_of(reply: BulkReply) -> End {
    match (reply.id, reply.error) {
        (Some(id), _) => End::Ok(Answer {
            id,
            state: JobState::Queued,
            completed_at: None,
            outputs: None,
            inputs: None,
            failure: None,
        }),
        (None, Some(problem)) => End::Fail(Denial {
            status: problem.status,
            code: problem.code,
            // a line has no header that could say so
            retry_after: Some(Duration::ZERO),
            id: problem.id,
        }),
        (None, None) => End::Info("a reply that says nothing".to_owned()),
    }
}
