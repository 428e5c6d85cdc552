//! The metrics of this process in Prometheus' text format: its own counts, what the ledger says, and system C's names
//! for both where system C's work is done.

mod ledger;
mod names;
mod seeds;

use std::{sync::Arc, time::Duration};

use backshift_core::store::Store;
use backshift_http::health::Page;
use futures::FutureExt;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::exit::Failure;
use ledger::LedgerPage;
use names::{ENGINE, MAIL, introduce};

/// Seconds; a mail takes milliseconds on the same machine and minutes with a slow server.
const BUCKETS: [f64; 13] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 30.0, 300.0];

/// By which names metrics are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// Ours.
    Own,
    /// Ours, and system C's for the same things: its dashboards and alerts go on.
    OfSystemC,
}

/// Renders what was measured.
#[derive(Clone)]
pub(crate) struct Metrics {
    handle: PrometheusHandle,
    names: Names,
    ledger: Option<Arc<LedgerPage>>,
}

impl Metrics {
    /// Adds what this ledger says of every queue. Not for a port that strangers reach.
    pub(crate) fn with_ledger(self, store: Arc<dyn Store>) -> Self {
        Self { ledger: Some(Arc::new(LedgerPage::new(store))), ..self }
    }

    /// What the health routes call.
    pub(crate) fn page(&self) -> Page {
        let metrics = self.clone();
        Arc::new(move || {
            let metrics = metrics.clone();
            async move { metrics.render().await }.boxed()
        })
    }

    async fn render(&self) -> String {
        let mut page = self.handle.render();
        if self.names == Names::OfSystemC {
            page += &seeds::under_their_names(&page);
        }
        if let Some(ledger) = &self.ledger {
            page += &ledger.lines().await;
        }
        page
    }
}

/// Starts measuring; call it once, inside the runtime.
pub(crate) fn start_metrics(names: Names) -> Result<Metrics, Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::failed(format!("metrics: {error}"));
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS)
        .map_err(|error| wrong(&error))?
        .build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|error| wrong(&error))?;
    introduce(ENGINE);
    introduce(MAIL);
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            upkeep.run_upkeep();
        }
    });
    Ok(Metrics { handle, names, ledger: None })
}
