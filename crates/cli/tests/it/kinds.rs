//! Two real workers on one queue, one of which does not know what is in it: who takes what, and how long that takes.

use std::time::{Duration, Instant};

use backshift_testkit::wait;

use crate::scene::{PATIENCE, Place, probe};

/// Any parking of a minute fails this; a slow machine does not.
const SOON: Duration = Duration::from_secs(45);

async fn who_takes_what(place: Place) {
    place.migrate().await;
    let ignorant =
        place.start_with("probes:8", &[("BACKSHIFT_PROBE", "false"), ("BACKSHIFT_WORKER_NAME", "ignorant")]);
    let ignorant = ignorant.when_ready().await;
    let knowing = place.start_with("probes:2", &[("BACKSHIFT_WORKER_NAME", "knowing")]).when_ready().await;
    let lines: Vec<_> = (0..20).map(|n| probe(&format!("k{n}"), "ok", 0, 0)).collect();
    let ids = place.enqueue(&lines).await;
    let began = Instant::now();
    let done = wait::until(SOON, || async { place.probes("effects").await.len() == 20 });
    assert!(done.await, "{:?}\n{}\n{}", place.probes("effects").await, ignorant.output(), knowing.output());
    println!("20 jobs beside an ignorant worker: {:?}", began.elapsed());
    let attempts = place.probes("attempts").await;
    assert_eq!(attempts.len(), 20, "{attempts:?}");
    assert!(attempts.iter().all(|row| row.1 == 1 && row.3 == "knowing"), "{attempts:?}");
    // The one who knows goes; what comes now waits, and nobody turns in circles.
    assert_eq!(knowing.drained().await, Some(0));
    let late = place.enqueue(&[probe("late", "ok", 0, 0)]).await;
    let parked = wait::until(PATIENCE, || async {
        let ended = place.run(&["jobs", "show", "--json", &late[0]]).await;
        ended.code == 0 && ended.json()["error"].as_str().is_some_and(|error| error.starts_with("parked: "))
    });
    assert!(parked.await, "{:#}\n{}", place.show(&late[0]).await, ignorant.output());
    let again = place.start_with("probes:2", &[("BACKSHIFT_WORKER_NAME", "again")]).when_ready().await;
    let job = place.wait_state(&late[0], "completed").await;
    assert_eq!(job["attempt"], 1, "{job:#}");
    assert_eq!((again.drained().await, ignorant.drained().await), (Some(0), Some(0)));
    assert_eq!(place.completed("probes").await.len(), ids.len() + 1);
}

#[tokio::test]
async fn on_the_embedded_broker_all_go_to_the_one_who_knows() {
    who_takes_what(Place::embedded()).await;
}

#[tokio::test]
async fn on_postgres_all_go_to_the_one_who_knows() {
    let Some(place) = Place::postgres().await else { return };
    who_takes_what(place).await;
}

#[tokio::test]
async fn on_rabbitmq_all_go_to_the_one_who_knows() {
    let Some(place) = Place::rabbitmq().await else { return };
    who_takes_what(place).await;
}
