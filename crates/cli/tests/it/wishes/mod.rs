//! What a person waits for, with two real processes: a worker, and the command that wishes, or enqueues, as the other one.
//!
//! The cases E62 to E64 ask the same of the engine in one process; here the way between processes is part of it. Times
//! are those of a busy machine: every bound is stretched by its pace, and what was measured is printed.

mod due;
mod outage;
mod people;

use std::time::{Duration, SystemTime};

use backshift_testkit::{
    pace,
    survival::{Evidence, PROBE_EFFECTS, Site, Times},
    wait,
};

use crate::scene::{PATIENCE, Place, Worker};

const QUEUE: &str = "probes";

/// A worker that is ready, and whoever looks past it into its store.
struct Stage {
    place: Place,
    worker: Worker,
    evidence: Evidence,
}

impl Stage {
    async fn set(place: Place, slots: usize) -> Self {
        let worker = place.worker(&format!("{QUEUE}:{slots}")).await;
        // Straight to the store: not through the pooler that the processes may use.
        let store = match &place.database {
            Some(database) => database.url(),
            None => format!("sqlite:{}", place.file().display()),
        };
        let site = Site { broker: store.clone(), store, queue: QUEUE.to_owned() };
        Self { worker, evidence: Evidence::new(&site, PROBE_EFFECTS), place }
    }

    /// A single number of the store.
    async fn number(&self, sql: String) -> u64 {
        self.evidence.number(sql).await.unwrap()
    }

    /// How many jobs have started.
    async fn starts(&self) -> u64 {
        self.number("SELECT count(*) FROM backshift_probe_attempts".to_owned()).await
    }

    /// Waits until so many jobs have started.
    async fn wait_starts(&self, count: u64) {
        let there = wait::until(PATIENCE, || async { self.starts().await >= count });
        assert!(there.await, "{} starts, not {count}\n{}", self.starts().await, self.worker.output());
    }

    /// When the last of the jobs with this key started; the store's clock is this machine's.
    async fn last_start(&self, key: &str) -> SystemTime {
        self.evidence.last_start(key).await.unwrap()
    }
}

/// Fails the test when this share of the times is longer than that on a machine of this pace.
fn assert_share(times: &Times, share: f64, limit: Duration) {
    let bound = pace::stretched(limit);
    let (taken, pace) = (times.percentile(share), pace::factor());
    assert!(
        taken <= bound.as_secs_f64(),
        "p{:.0} is {taken:.3} s, more than {limit:?} at a pace of {pace:.1}: {times}: {:?}",
        share * 100.0,
        times.seconds
    );
}
