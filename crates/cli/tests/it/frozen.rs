//! A worker that was frozen past its lease: somebody else does the job, its late result is refused, and what it had not
//! begun it does not begin.

use std::time::Duration;

use backshift_testkit::wait;

use crate::scene::{PATIENCE, Place, probe, stretched, stretched_ms};

async fn frozen(place: Place) {
    let place = place.with(&[("BACKSHIFT_WORKER_LEASE", &stretched(1_000))]);
    place.migrate().await;
    let sleeper = place.with(&[("BACKSHIFT_WORKER_NAME", "sleeper")]);
    let ids = sleeper.enqueue(&[probe("cold", "block", stretched_ms(2_000), 0)]).await;
    let first = sleeper.worker("probes:1").await;
    let begun = wait::until(PATIENCE, || async { sleeper.count("attempts", "cold").await == 1 });
    assert!(begun.await, "{}", first.output());
    first.process.freeze();
    let place = sleeper.with(&[("BACKSHIFT_WORKER_NAME", "other")]);
    let second = place.worker("probes:1").await;
    place.wait_state(&ids[0], "completed").await;
    first.process.resume();
    // The late result is refused once the sleeper has had the time to deliver it: it is ready for more work then.
    let ids =
        place.enqueue(&(0..6).map(|n| probe(&format!("warm{n}"), "sleep", 200, 0)).collect::<Vec<_>>()).await;
    for id in &ids {
        place.wait_state(id, "completed").await;
    }
    let both = wait::until(Duration::from_secs(5), || async {
        place.probes("effects").await.iter().any(|row| row.3 == "sleeper")
    });
    both.await;
    let effects: Vec<_> = place.probes("effects").await.into_iter().filter(|row| row.0 == "cold").collect();
    assert_eq!(effects.len(), 1, "{effects:?}");
    assert_eq!(effects[0].3, "other", "the one who held the lease");
    let attempts: Vec<_> = place.probes("attempts").await.into_iter().filter(|row| row.0 == "cold").collect();
    assert_eq!(attempts.len(), 2, "{attempts:?}");
    assert!(attempts.iter().all(|row| row.1 == 1), "a frozen worker counts no attempt: {attempts:?}");
    assert!(attempts[1].2 > attempts[0].2, "the token rises: {attempts:?}");
    assert_eq!((first.drained().await, second.drained().await), (Some(0), Some(0)));
    assert_eq!(place.count("effects", "cold").await, 1);
}

#[tokio::test]
async fn on_the_embedded_broker() {
    frozen(Place::embedded()).await;
}

#[tokio::test]
async fn on_postgres() {
    let Some(place) = Place::postgres().await else { return };
    frozen(place).await;
}

#[tokio::test]
async fn on_rabbitmq() {
    let Some(place) = Place::rabbitmq().await else { return };
    frozen(place).await;
}

/// Frozen between the claim and the first handler.
async fn begins_nothing(place: Place) {
    let place = place.with(&[("BACKSHIFT_WORKER_LEASE", &stretched(1_000))]);
    place.migrate().await;
    let lines: Vec<_> = (0..4).map(|n| probe(&format!("cold{n}"), "ok", 0, 0)).collect();
    let ids = place.enqueue(&lines).await;
    let sleeper = [("BACKSHIFT_WORKER_NAME", "sleeper"), ("BACKSHIFT_FAILPOINT", "after-claim:stop")];
    let first = place.start_with("probes:4", &sleeper);
    assert!(first.process.stands_still(PATIENCE).await, "{}", first.output());
    let second = place.start_with("probes:4", &[("BACKSHIFT_WORKER_NAME", "other")]).when_ready().await;
    for id in &ids {
        place.wait_state(id, "completed").await;
    }
    first.process.resume();
    // It is itself again once it has worked something new.
    let warm: Vec<_> = (0..6).map(|n| probe(&format!("warm{n}"), "sleep", 300, 0)).collect();
    for id in &place.enqueue(&warm).await {
        place.wait_state(id, "completed").await;
    }
    assert_eq!((first.drained().await, second.drained().await), (Some(0), Some(0)));
    let attempts = place.probes("attempts").await;
    let late: Vec<_> =
        attempts.iter().filter(|row| row.0.starts_with("cold") && row.3 == "sleeper").collect();
    assert!(late.is_empty(), "started under an old token: {late:?}");
    let cold = attempts.iter().filter(|row| row.0.starts_with("cold")).count();
    assert_eq!(cold, ids.len(), "each was begun once: {attempts:?}");
}

#[tokio::test]
async fn what_was_claimed_and_not_begun_is_not_begun_on_the_embedded_broker() {
    begins_nothing(Place::embedded()).await;
}

#[tokio::test]
async fn what_was_claimed_and_not_begun_is_not_begun_on_postgres() {
    let Some(place) = Place::postgres().await else { return };
    begins_nothing(place).await;
}

#[tokio::test]
async fn what_was_claimed_and_not_begun_is_not_begun_on_rabbitmq() {
    let Some(place) = Place::rabbitmq().await else { return };
    begins_nothing(place).await;
}
