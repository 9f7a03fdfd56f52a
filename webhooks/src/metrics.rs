//! What becomes of webhooks.

gristmill_telemetry::metrics! {
    /// Attempts at deliveries, by what they led to: delivered, pending (it is tried again), failed.
    pub counter attempts = "gristmill_webhook_attempts_total" { state };
    /// Attempts in progress.
    pub gauge in_flight = "gristmill_webhook_attempts_in_flight";
    /// Times that events of a tenant were past their retention before deliveries were made of them.
    pub counter gaps = "gristmill_webhook_gaps_total";
}
