//! The metrics of this process in Prometheus' text format, under the seed's names.

use std::{sync::Arc, time::Duration};

use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::exit::Failure;

/// Seconds; a mail takes milliseconds on the same machine and minutes with a slow server.
const BUCKETS: [f64; 13] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 30.0, 300.0];

/// Renders what was measured.
#[derive(Clone)]
pub(crate) struct Metrics(PrometheusHandle);

impl Metrics {
    /// The function that the health routes call.
    pub(crate) fn renderer(&self) -> Arc<dyn Fn() -> String + Send + Sync> {
        let handle = self.0.clone();
        Arc::new(move || handle.render())
    }
}

/// Starts measuring; call it once, inside the runtime.
pub(crate) fn start_metrics() -> Result<Metrics, Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::failed(format!("metrics: {error}"));
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS)
        .map_err(|error| wrong(&error))?
        .build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|error| wrong(&error))?;
    touch();
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            upkeep.run_upkeep();
        }
    });
    Ok(Metrics(handle))
}

/// Every promised name is there from the start, so that an alert on it does not see "no data".
fn touch() {
    for name in [
        "messages_consumed_total",
        "messages_processed_success",
        "messages_processed_errors",
        "email_ambiguous_total",
        "email_suppressed_total",
    ] {
        counter!(name).increment(0);
    }
    for name in [
        "active_goroutines",
        "active_tasks",
        "queue_depth",
        "message_publish_rate",
        "message_consume_rate",
        "connection_count",
        "mail_transport_paused",
    ] {
        gauge!(name).set(0.0);
    }
    for name in ["message_processing_duration_seconds", "smtp_send_duration_seconds"] {
        let _ = histogram!(name);
    }
}
