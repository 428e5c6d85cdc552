//! Jobs for later that another process enqueues: how late an idle worker starts them.
//!
//! The median is what is promised: a machine that also builds is late now and then, and that is not the worker's doing.

use std::time::Duration;

use backshift_testkit::{pace, survival::Times};
use rand::RngExt as _;
use serde_json::Value;

use super::{Stage, assert_share};
use crate::scene::{Place, probe};

const LATE: Duration = Duration::from_millis(50);
const JOBS: u64 = 20;
const EARLIER: u64 = 9;

/// A job that is due in so many milliseconds.
fn later(key: &str, ms: u64) -> Value {
    let mut line = probe(key, "ok", 0, 0);
    line["in"] = format!("{ms}ms").into();
    line
}

/// From a job's time until the row that its handler writes first, by the store's clock.
async fn lateness(stage: &Stage, id: &str) -> Duration {
    let micros = match stage.place.database {
        None => "a.started_at - j.run_at",
        Some(_) => "extract(epoch FROM a.started_at - j.run_at) * 1000000",
    };
    let sql = format!(
        "SELECT {micros} FROM background_jobs j JOIN backshift_probe_attempts a ON a.job_id = j.id WHERE j.id = '{id}'"
    );
    Duration::from_micros(stage.number(sql).await)
}

async fn in_time(stage: &Stage, what: &str, ids: &[String]) {
    let mut times = Times::of(what.to_owned());
    for id in ids {
        times.add(lateness(stage, id).await);
    }
    println!("{times}");
    assert_share(&times, 0.5, LATE);
}

/// The worker is told of all of them at once and keeps their times.
async fn many(stage: &Stage) {
    let lines: Vec<_> =
        (0..JOBS).map(|n| later(&format!("due{n}"), rand::rng().random_range(1_000..4_000))).collect();
    let ids = stage.place.enqueue(&lines).await;
    stage.wait_starts(JOBS).await;
    in_time(stage, "idle worker, 20 jobs for later", &ids).await;
}

/// The worker waits for a job that is due much later; each of these is due before its next look of every second.
async fn earlier(stage: &Stage) {
    stage.place.enqueue(&[later("much-later", 600_000)]).await;
    let begun = stage.starts().await;
    let mut ids = Vec::new();
    for n in 1..=EARLIER {
        let soon = pace::stretched(Duration::from_millis(250)).as_millis() as u64;
        ids.extend(stage.place.enqueue(&[later(&format!("earlier{n}"), soon)]).await);
        stage.wait_starts(begun + n).await;
    }
    in_time(stage, "idle worker, jobs due before the next one", &ids).await;
}

async fn at_their_time(place: Place) {
    place.migrate().await;
    let stage = Stage::set(place, 8).await;
    many(&stage).await;
    earlier(&stage).await;
    assert_eq!(
        stage.starts().await,
        JOBS + EARLIER,
        "one started twice, or the one that is due much later did"
    );
    assert_eq!(stage.worker.drained().await, Some(0));
}

#[tokio::test]
async fn jobs_for_later_start_at_their_time_on_the_embedded_broker() {
    at_their_time(Place::embedded()).await;
}

#[tokio::test]
async fn jobs_for_later_start_at_their_time_on_postgres() {
    let Some(place) = Place::postgres().await else { return };
    at_their_time(place).await;
}
