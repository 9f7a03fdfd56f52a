//! The metrics of an ingest.

use gristmill_telemetry::{metrics, recording};

metrics! {
    /// HTTP requests answered, by route (as the router writes it) and class of status.
    pub counter requests = "gristmill_http_requests_total" { route, status };
    /// Time from the head of a submission to its 202, the publish included.
    pub histogram accept_seconds = "gristmill_accept_seconds";
    /// Time a submission waits for the stream's acknowledgement.
    pub histogram submit_publish_seconds = "gristmill_submit_publish_seconds";
    /// Jobs accepted, by model and lane.
    pub counter accepted = "gristmill_accepted_total" { model, lane };
    /// Requests refused, by code.
    pub counter refused = "gristmill_refused_total" { code };
    /// Jobs that a reader settled: expired ones, and cancelled ones.
    pub counter settled_by_reader = "gristmill_settled_by_reader_total" { state };
    /// Memory that the store uses.
    pub gauge store_used_bytes = "gristmill_store_used_bytes";
    /// Memory that the store may use; 0 where it has no limit.
    pub gauge store_max_bytes = "gristmill_store_max_bytes";
    /// Jobs that were ended on the stream, without anybody's asking.
    pub counter reconciled = "gristmill_reconciled_total" { state };
    /// Envelopes on the stream whose deadlines this ingest watches; 0 unless it leads.
    pub gauge envelopes_watched = "gristmill_envelopes_watched";
    /// Requests that wait for an outcome now.
    pub gauge waiting = "gristmill_waiting_requests";
    /// Bulk requests in progress.
    pub gauge bulk_requests = "gristmill_bulk_requests";
    /// Event streams open now.
    pub gauge event_streams = "gristmill_event_streams";
}

/// Counts one in while it lives.
#[derive(Debug)]
pub(crate) struct InGauge(recording::Gauge);

impl InGauge {
    pub(crate) fn new(gauge: recording::Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for InGauge {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
