//! What the stores are asked for and how they stand.

gristmill_telemetry::metrics! {
    /// Jobs in one published envelope.
    pub histogram envelope_jobs = "gristmill_envelope_jobs";
    /// Time from handing a job to the publisher until the stream has stored its envelope.
    pub histogram publish_seconds = "gristmill_publish_seconds";
    /// Publishes by what became of them: stored, stream_full, unavailable, unknown.
    pub counter publishes = "gristmill_publishes_total" { result };
    /// Envelopes that the stream holds.
    pub gauge stream_envelopes = "gristmill_stream_envelopes";
    /// Bytes that the stream holds.
    pub gauge stream_bytes = "gristmill_stream_bytes";
    /// Envelopes delivered, by whether it was for the first time.
    pub counter deliveries = "gristmill_deliveries_total" { redelivered };
    /// Deliveries that were dropped without being acked or given back: a defect of ours.
    pub counter deliveries_unsettled = "gristmill_deliveries_unsettled_total";
    /// Connections to the broker or the store that were lost.
    pub counter connections_lost = "gristmill_connections_lost_total" { server };
}
