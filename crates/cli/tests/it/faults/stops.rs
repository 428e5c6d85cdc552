//! SIGTERM under load, one worker after the other: what runs ends, what waits is the next one's, nothing starts twice.

use super::{Load, nothing_left};
use crate::scene::Place;

const QUEUE: &str = "rolling";
const JOBS: usize = 80;

async fn rolling_restart(place: Place) {
    // A job takes a tenth of a second; a machine that stands still for a moment is not a drain that was cut short.
    let place = place.with(&[("BACKSHIFT_SHUTDOWN_GRACE", "1m")]);
    place.migrate().await;
    let load = Load::accepted(&place, QUEUE, JOBS, "sleep", 100).await;
    for part in 1..4 {
        let worker = place.worker(&format!("{QUEUE}:4")).await;
        load.wait_effects(&place, JOBS * part / 5, &worker).await;
        assert_eq!(worker.drained().await, Some(0));
    }
    let last = place.worker(&format!("{QUEUE}:8")).await;
    load.settles(&place, &last).await;
    assert_eq!(
        load.starts(&place).await,
        JOBS,
        "a drain within its grace starts nothing twice\n{}",
        last.output()
    );
    assert_eq!(last.drained().await, Some(0));
    nothing_left(&place, QUEUE).await;
}

#[tokio::test]
async fn a_rolling_restart_on_the_embedded_broker_starts_nothing_twice() {
    rolling_restart(Place::embedded()).await;
}

#[tokio::test]
async fn a_rolling_restart_on_postgres_starts_nothing_twice() {
    let Some(place) = Place::postgres().await else {
        return;
    };
    rolling_restart(place).await;
}

#[tokio::test]
async fn a_rolling_restart_on_rabbitmq_starts_nothing_twice() {
    let Some(place) = Place::rabbitmq().await else {
        return;
    };
    rolling_restart(place).await;
}
