//! RabbitMQ ends what a worker stands on: its connections, and the queue under its consumer.

use std::time::Duration;

use backshift_testkit::wait;

use super::{Load, nothing_left};
use crate::scene::{PATIENCE, Place};

const QUEUE: &str = "broker";

#[tokio::test]
async fn connections_that_the_server_closes_burn_no_attempt() {
    let Some(place) = Place::rabbitmq().await else {
        return;
    };
    place.migrate().await;
    let load = Load::accepted(&place, QUEUE, 80, "sleep", 250).await;
    let retried = Load::failing(&place, QUEUE, 10, 1).await;
    let worker = place.worker(&format!("{QUEUE}:4")).await;
    load.wait_effects(&place, 4, &worker).await;
    let mut closed = 0;
    let both = wait::until(Duration::from_secs(20), || {
        closed += place.vhost().close_connections();
        let enough = closed >= 2;
        async move { enough }
    });
    assert!(both.await, "{closed} connections were closed\n{}", worker.output());
    load.settles(&place, &worker).await;
    retried.settles(&place, &worker).await;
    assert_eq!(worker.drained().await, Some(0));
    nothing_left(&place, QUEUE).await;
}

/// What waits in a queue goes with it, by the will of whoever deletes it. What runs ends well, and what comes later
/// finds a queue again.
#[tokio::test]
async fn a_queue_that_is_deleted_under_its_consumer_is_made_anew() {
    let Some(place) = Place::rabbitmq().await else {
        return;
    };
    place.migrate().await;
    let running = Load::accepted(&place, QUEUE, 4, "sleep", 1500).await;
    let worker = place.worker(&format!("{QUEUE}:4")).await;
    let all = wait::until(PATIENCE, || async { running.starts(&place).await == 4 });
    assert!(all.await, "{}", worker.output());
    place.vhost().delete_queue(QUEUE).await;
    let anew = wait::until(PATIENCE, || async { place.depth(QUEUE).await.is_some() });
    assert!(anew.await, "nobody declares the queue again\n{}", worker.output());
    let later = Load::accepted(&place, QUEUE, 12, "ok", 0).await;
    running.settles(&place, &worker).await;
    later.settles(&place, &worker).await;
    assert_eq!(running.starts(&place).await, 4, "a job whose queue is gone starts no second time");
    assert_eq!(worker.drained().await, Some(0));
    nothing_left(&place, QUEUE).await;
}
