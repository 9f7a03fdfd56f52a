//! The recorder behind every metric, its histogram buckets, and the macro that declares metrics. Which metrics there are is
//! said by the `metrics.rs` of each crate.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

/// Recorded values wait in memory until they are folded into buckets; without a scrape nothing else does it.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// What durations are counted in: seconds, from below one engine call on a tiny model to the longest sensible deadline.
const SECONDS_BUCKETS: [f64; 18] = [
    0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0,
];

/// What everything else is counted in (rows, jobs, bytes of small things): powers of two.
const COUNT_BUCKETS: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

crate::metrics! {
    /// Always 1; its label says which version of Gristmill this process runs.
    gauge build_info = "gristmill_build_info" { version };
}

/// Reads the metrics of this process; cheap to clone.
#[derive(Clone, Debug)]
pub struct MetricsHandle(PrometheusHandle);

impl MetricsHandle {
    /// All metrics in the text format of Prometheus.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.render()
    }
}

/// Records the metrics of this process from now on, and keeps their memory flat. A further call returns the same handle,
/// so that an ingest and workers in one process (a test) need not know of each other.
///
/// # Errors
///
/// Somebody else has installed a recorder, or the upkeep thread cannot be started.
pub fn install() -> anyhow::Result<MetricsHandle> {
    static INSTALLED: Mutex<Option<MetricsHandle>> = Mutex::new(None);
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = installed.as_ref() {
        return Ok(handle.clone());
    }
    let recorder = recorder()?;
    let handle = MetricsHandle(recorder.handle());
    ::metrics::set_global_recorder(recorder).context("another metrics recorder is installed")?;
    start_upkeep(handle.clone())?;
    describe();
    build_info(env!("CARGO_PKG_VERSION")).set(1.0);
    *installed = Some(handle.clone());
    Ok(handle)
}

/// Buckets are chosen by the unit at the end of the name, in this one place; with buckets for all, nothing becomes a
/// summary (which could not be added up over replicas).
fn recorder() -> anyhow::Result<PrometheusRecorder> {
    let builder = PrometheusBuilder::new()
        .set_buckets(&COUNT_BUCKETS)?
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)?;
    Ok(builder.build_recorder())
}

/// A thread and not a task: it must outlive any one runtime, and run when the runtime is starved.
fn start_upkeep(handle: MetricsHandle) -> anyhow::Result<()> {
    let upkeep = move || {
        loop {
            std::thread::sleep(UPKEEP_INTERVAL);
            handle.0.run_upkeep();
        }
    };
    std::thread::Builder::new()
        .name("metrics-upkeep".to_owned())
        .spawn(upkeep)
        .context("start metrics upkeep")?;
    Ok(())
}

/// Declares the metrics of a crate, once, in its `metrics.rs`.
///
/// ```
/// gristmill_telemetry::metrics! {
///     /// Rows in one engine call.
///     pub histogram batch_rows = "gristmill_batch_rows" { model, version };
///     /// Jobs that ended as failed, by code.
///     pub counter failures = "gristmill_failures_total" { code };
///     /// Bytes held by jobs that wait in this process.
///     pub gauge held_bytes = "gristmill_held_bytes";
/// }
///
/// describe(); // at start, after `gristmill_telemetry::metrics::install`
/// let rows = batch_rows("minilm", "1"); // keep it; on a hot path only record
/// rows.record(8.0);
/// ```
///
/// Every metric becomes a function that takes its labels and returns a handle (`Counter`, `Gauge` or `Histogram` of the
/// `metrics` crate), and the doc comment becomes its help text. Getting a handle is a look-up; recording on it is an
/// atomic add: hot code keeps the handle, got after [`install`](crate::metrics::install). The name's end chooses the
/// buckets: `_seconds` for durations (record a `Duration`), powers of two up to 1024 for everything else. Labels are
/// `&'static str` or `String`, from closed sets, never ids. `describe()` hands the help texts over.
#[macro_export]
macro_rules! metrics {
    ($(
        $(#[doc = $help:literal])+
        $visibility:vis $kind:ident $metric:ident = $name:literal $({ $($label:ident),+ $(,)? })?;
    )+) => {
        $(
            $(#[doc = $help])+
            $visibility fn $metric(
                $($($label: impl Into<$crate::recording::SharedString>),+)?
            ) -> $crate::metrics!(@handle $kind) {
                $crate::recording::$kind!($name $($(, stringify!($label) => $label.into())+)?)
            }
        )+

        /// Hands the help text of every metric above to the recorder.
        pub(crate) fn describe() {
            $( $crate::metrics!(@describe $kind, $name, concat!($($help),+).trim()); )+
        }
    };
    (@handle counter) => { $crate::recording::Counter };
    (@handle gauge) => { $crate::recording::Gauge };
    (@handle histogram) => { $crate::recording::Histogram };
    (@describe counter, $name:literal, $help:expr) => { $crate::recording::describe_counter!($name, $help) };
    (@describe gauge, $name:literal, $help:expr) => { $crate::recording::describe_gauge!($name, $help) };
    (@describe histogram, $name:literal, $help:expr) => { $crate::recording::describe_histogram!($name, $help) };
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::metrics! {
        /// Rows in one
        /// engine call.
        histogram rows = "test_batch_rows" { model };
        /// Time in the engine.
        histogram compute = "test_compute_seconds";
        /// Jobs that failed.
        counter failures = "test_failures_total" { code, lane };
    }

    fn rendered(record: impl FnOnce()) -> String {
        let recorder = recorder().unwrap();
        let handle = MetricsHandle(recorder.handle());
        ::metrics::with_local_recorder(&recorder, || {
            describe();
            record();
        });
        handle.render()
    }

    #[test]
    fn doc_comment_is_the_help_text() {
        let text = rendered(|| {
            rows("minilm").record(3.0);
            failures("bad_input", String::from("batch")).increment(2);
        });
        assert!(
            text.contains("# HELP test_batch_rows Rows in one engine call."),
            "{text}"
        );
        assert!(text.contains("# TYPE test_failures_total counter"), "{text}");
        assert!(
            text.contains(r#"test_failures_total{code="bad_input",lane="batch"} 2"#),
            "{text}"
        );
    }

    #[test]
    fn unit_in_the_name_chooses_the_buckets() {
        let text = rendered(|| {
            rows("minilm").record(3.0);
            compute().record(Duration::from_micros(150));
        });
        assert!(
            text.contains(r#"test_batch_rows_bucket{model="minilm",le="2"} 0"#),
            "{text}"
        );
        assert!(
            text.contains(r#"test_batch_rows_bucket{model="minilm",le="4"} 1"#),
            "{text}"
        );
        assert!(text.contains(r#"test_compute_seconds_bucket{le="0.0001"} 0"#), "{text}");
        assert!(text.contains(r#"test_compute_seconds_bucket{le="0.0002"} 1"#), "{text}");
        assert!(!text.contains("quantile"), "{text}");
    }

    #[test]
    fn installing_twice_returns_the_same_metrics() {
        let first = install().unwrap();
        let second = install().unwrap();
        failures("seen_by_both", "batch").increment(1);
        assert!(first.render().contains("gristmill_build_info{version="));
        assert!(second.render().contains("seen_by_both"));
    }
}
