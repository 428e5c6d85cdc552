//! Jobs that were accepted, and the account of what became of them.
//!
//! Effects and starts are read from the probe's tables: a duplicate would be a second row.

use std::{collections::BTreeMap, time::Duration};

use backshift_testkit::wait;
use serde_json::Value;

use crate::scene::{PATIENCE, Place, Worker, probe};

/// Accepted jobs of one queue.
pub(crate) struct Load {
    queue: String,
    /// Key and id of each.
    jobs: BTreeMap<String, String>,
    /// The attempt in which they succeed: 1 + the failures that were asked for.
    attempt: u64,
    /// How long each takes: a machine that was busy when it was asked for need not be any more.
    takes: Duration,
}

impl Load {
    /// Jobs of a mode that succeeds in its first attempt.
    pub(crate) async fn accepted(place: &Place, queue: &str, count: usize, mode: &str, ms: u64) -> Self {
        Self::of(place, queue, keys(queue, mode, count), (mode, ms, 0)).await
    }

    /// Jobs that fail so often before they succeed.
    pub(crate) async fn failing(place: &Place, queue: &str, count: usize, fails: u32) -> Self {
        Self::of(place, queue, keys(queue, "fail", count), ("fail", 0, fails)).await
    }

    /// Jobs with these keys, each with this mode, time and number of failures.
    pub(crate) async fn of(
        place: &Place,
        queue: &str,
        keys: Vec<String>,
        (mode, ms, fails): (&str, u64, u32),
    ) -> Self {
        let line = |key: &String| {
            let mut line = probe(key, mode, ms, fails);
            line["queue"] = queue.into();
            line
        };
        let lines: Vec<Value> = keys.iter().map(line).collect();
        let ids = place.enqueue(&lines).await;
        assert_eq!(ids.len(), keys.len(), "every job is accepted");
        let jobs = keys.into_iter().zip(ids).collect();
        Self {
            queue: queue.to_owned(),
            jobs,
            attempt: u64::from(fails) + 1,
            takes: Duration::from_millis(ms),
        }
    }

    /// How many of them have had their effect.
    pub(crate) async fn effects(&self, place: &Place) -> usize {
        place.probes("effects").await.iter().filter(|row| self.jobs.contains_key(&row.0)).count()
    }

    /// How often they were started.
    pub(crate) async fn starts(&self, place: &Place) -> usize {
        place.probes("attempts").await.iter().filter(|row| self.jobs.contains_key(&row.0)).count()
    }

    /// Waits until so many of them have had their effect.
    pub(crate) async fn wait_effects(&self, place: &Place, count: usize, worker: &Worker) {
        let there = wait::until(PATIENCE + self.takes, || async { self.effects(place).await >= count });
        let reached = there.await;
        let effects = self.effects(place).await;
        assert!(reached, "{}: {effects} effects, not {count}\n{}", self.queue, worker.output());
    }

    /// Waits until all are completed; then the account must be right.
    pub(crate) async fn settles(&self, place: &Place, worker: &Worker) {
        self.wait_effects(place, self.jobs.len(), worker).await;
        let completed = wait::until(PATIENCE, || async {
            place.completed(&self.queue).await.iter().filter(|job| self.knows(job)).count() == self.jobs.len()
        });
        assert!(completed.await, "{}: not all are completed\n{}", self.queue, worker.output());
        for job in place.completed(&self.queue).await.iter().filter(|job| self.knows(job)) {
            assert_eq!(job["attempt"], self.attempt, "an attempt was burnt: {job:#}\n{}", worker.output());
        }
        for key in self.jobs.keys() {
            let effects = place.count("effects", key).await;
            assert_eq!(effects, 1, "{key} has {effects} effects\n{}", worker.output());
        }
    }

    fn knows(&self, job: &Value) -> bool {
        job["id"].as_str().is_some_and(|id| self.jobs.values().any(|known| known == id))
    }
}

fn keys(queue: &str, mode: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{queue}-{mode}-{n}")).collect()
}

/// Nothing is left in the broker: neither in the queue nor among its dead letters. Ask when no worker runs: then nobody takes
/// away what would be left, and a server that counts behind its own log is given the time.
pub(crate) async fn nothing_left(place: &Place, queue: &str) {
    for name in [queue.to_owned(), format!("{queue}.dlq")] {
        let empty = || async { place.depth(&name).await.unwrap_or(0) == 0 };
        assert!(
            wait::until(PATIENCE, empty).await,
            "{:?} messages are left in {name}",
            place.depth(&name).await
        );
    }
}
