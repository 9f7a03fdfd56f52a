//! What a worker did, and how long each stage took.

gristmill_telemetry::metrics! {
    /// From the stream having stored a job until it was claimed.
    pub(crate) histogram queue_seconds = "gristmill_queue_seconds" { model, lane };
    /// From a worker having a job until its batch was sealed.
    pub(crate) histogram batch_wait_seconds = "gristmill_batch_wait_seconds" { model };
    /// One engine call, with pre- and postprocessing.
    pub(crate) histogram compute_seconds = "gristmill_compute_seconds" { model };
    /// Committing the outcomes of a batch.
    pub(crate) histogram commit_seconds = "gristmill_commit_seconds" { model };
    /// From accept to commit.
    pub(crate) histogram end_to_end_seconds = "gristmill_end_to_end_seconds" { model, lane };
    /// Rows of one engine call.
    pub(crate) histogram batch_rows = "gristmill_batch_rows" { model };
    /// Jobs of one engine call.
    pub(crate) histogram batch_jobs = "gristmill_batch_jobs" { model };
    /// Engine calls.
    pub(crate) counter executions = "gristmill_executions_total" { model };
    /// Jobs claimed to be run, by whether it was the first attempt.
    pub(crate) counter attempts = "gristmill_attempts_total" { model, first };
    /// Jobs that this worker ended, by their terminal state.
    pub(crate) counter jobs_ended = "gristmill_jobs_ended_total" { model, state };
    /// Jobs that failed, by code.
    pub(crate) counter jobs_failed = "gristmill_jobs_failed_total" { model, code };
    /// Jobs that failed and whose inputs could not be kept for their dead letter.
    pub(crate) counter dead_inputs_lost = "gristmill_dead_inputs_lost_total" { model };
    /// Claims or commits that found the job ended already, or a newer attempt in charge.
    pub(crate) counter jobs_passed_over = "gristmill_jobs_passed_over_total" { model };
    /// Parts of jobs that could not be told while the rest ran; their outcomes have them.
    pub(crate) counter progress_lost = "gristmill_progress_lost_total" { model };
    /// Rows that wait in this worker for an engine call.
    pub(crate) gauge rows_waiting = "gristmill_rows_waiting" { model };
    /// Envelopes this worker holds.
    pub(crate) gauge envelopes_held = "gristmill_envelopes_held";
    /// Envelopes that could not be read here and were left to others.
    pub(crate) counter envelopes_unreadable = "gristmill_envelopes_unreadable_total";
    /// Calls to the store that failed and are tried again.
    pub(crate) counter store_retries = "gristmill_store_retries_total" { call };
}
