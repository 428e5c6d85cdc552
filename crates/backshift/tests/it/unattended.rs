//! A worker says at its start which of its kinds stand in a queue that nobody works.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use backshift::{Backshift, Registry, testkit::wait};

use crate::jobs::{embedded, ship};

/// Keeps the log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs a worker on this queue until the log has the text; what the log has then.
async fn logged(site: &Backshift, name: &str, queue: &str, until: &str) -> String {
    let log = Log::default();
    let kept = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(move || kept.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let shift = site.worker(Registry::default().with(ship)).name(name).unwrap().pool(queue, 1).unwrap();
    let heard = wait::until(Duration::from_secs(30), || async { log.text().contains(until) });
    shift.run(async { assert!(heard.await, "{until:?} was not logged:\n{}", log.text()) }).await.unwrap();
    log.text()
}

#[tokio::test]
async fn a_queue_that_no_worker_works_is_named_with_its_kinds_and_the_remedy() {
    let (_place, _, site) = embedded().await;
    let text = logged(&site, "alone", "elsewhere", "and wait: add").await;
    let line = text.lines().find(|line| line.contains("and wait: add")).unwrap();
    assert!(
        line.contains("WARN") && line.contains("order.ship") && line.contains(r#".pool("orders", 10)"#),
        "{line}"
    );
}

#[tokio::test]
async fn a_queue_that_this_worker_or_another_one_works_is_not() {
    let (_place, _, site) = embedded().await;
    let other = site.worker(Registry::default().with(ship)).name("other").unwrap().pool("orders", 1).unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let other = tokio::spawn(async move { other.run(async { drop(stopped.await) }).await.unwrap() });
    let there =
        async || site.store().workers().await.unwrap().iter().any(|worker| worker.name.as_str() == "other");
    assert!(wait::until(Duration::from_secs(30), there).await);
    let text = logged(&site, "this", "elsewhere", "was looked at for").await;
    assert!(!text.contains("and wait: add"), "{text}");
    drop(stop);
    other.await.unwrap();
}
