//! The metrics of this process in Prometheus' text format: its own counts, what the ledger says, and system C's names
//! for both where system C's work is done.

mod ledger;
mod names;
mod seeds;

use std::{sync::Arc, time::Duration};

use backshift_core::store::Store;
use backshift_http::health::Page;
use futures::{FutureExt, future::BoxFuture};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::{sync::Mutex, time::Instant};

use crate::exit::Failure;
use names::{ENGINE, MAIL, introduce};

/// Seconds; a mail takes milliseconds on the same machine and minutes with a slow server.
const BUCKETS: [f64; 13] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 30.0, 300.0];

/// How old a page may be: to make one costs more than any other answer that needs no database, and all may ask.
const FRESH: Duration = Duration::from_millis(100);

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
    ledger: Option<Page>,
}

impl Metrics {
    /// Adds what this ledger says of every queue. Not for a port that strangers reach.
    pub(crate) fn with_ledger(self, store: Arc<dyn Store>) -> Self {
        let ledger = shared(ledger::FRESH, move || ledger::lines(Arc::clone(&store)).boxed());
        Self { ledger: Some(ledger), ..self }
    }

    /// What the health routes call: whoever asks within [`FRESH`] gets the page of the one before.
    pub(crate) fn page(&self) -> Page {
        let metrics = self.clone();
        shared(FRESH, move || {
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
            page += &ledger().await;
        }
        page
    }
}

/// The page of this maker, made at most once in this time; those who ask at the same time wait for one.
fn shared(fresh: Duration, make: impl Fn() -> BoxFuture<'static, String> + Send + Sync + 'static) -> Page {
    let last: Arc<Mutex<Option<(Instant, String)>>> = Arc::default();
    let make = Arc::new(make);
    Arc::new(move || {
        let (last, make) = (Arc::clone(&last), Arc::clone(&make));
        async move {
            let mut last = last.lock().await;
            if let Some((_, page)) = last.as_ref().filter(|(at, _)| at.elapsed() < fresh) {
                return page.clone();
            }
            let page = make().await;
            *last = Some((Instant::now(), page.clone()));
            page
        }
        .boxed()
    })
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Numbers its pages, and needs a turn for each.
    fn numbered(fresh: Duration) -> (Page, Arc<AtomicUsize>) {
        let made = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&made);
        let make = move || {
            let number = seen.fetch_add(1, Ordering::SeqCst);
            async move {
                tokio::task::yield_now().await;
                format!("page {number}")
            }
            .boxed()
        };
        (shared(fresh, make), made)
    }

    #[tokio::test]
    async fn a_page_is_made_ten_times_a_second_however_many_ask() {
        assert_eq!(FRESH, Duration::from_millis(100));
        let (page, made) = numbered(Duration::from_secs(3600));
        // Who gives up while it is made leaves it to the next one.
        assert!(page().now_or_never().is_none());
        let crowd = futures::future::join_all((0..100).map(|_| page())).await;
        assert!(crowd.iter().all(|text| text == "page 1"), "{crowd:?}");
        assert_eq!(page().await, "page 1");
        assert_eq!(made.load(Ordering::SeqCst), 2);
        let (page, _) = numbered(Duration::ZERO);
        assert_eq!((page().await, page().await), ("page 0".to_owned(), "page 1".to_owned()));
    }
}
