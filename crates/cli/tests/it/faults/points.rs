//! A worker dies exactly between two steps of an attempt, and another one takes over.
//!
//! The points are those of `backshift_core::Failpoint`; the worker ends itself there without a goodbye.

use backshift_core::Failpoint;
use futures::future::join_all;

use super::{Load, nothing_left};
use crate::scene::{PATIENCE, Place, backshift};

/// The worker of one queue dies at this point when it comes there for the second time.
async fn dies_at(place: &Place, point: Failpoint) {
    let queue = format!("dies-{point}");
    // A copy is made of a retry only.
    let loads = [Load::failing(place, &queue, 4, 1).await, Load::accepted(place, &queue, 6, "ok", 0).await];
    let plan = format!("{point}:abort:2");
    let mut doomed = place.start_with(&format!("{queue}:3"), &[("BACKSHIFT_FAILPOINT", &plan)]);
    let ended = doomed.process.ended(PATIENCE).await;
    let ended = ended.unwrap_or_else(|| panic!("it never came to {point}\n{}", doomed.output()));
    assert_eq!(ended.code(), None, "{point}: it ends by a signal\n{}", doomed.output());
    let heir = place.worker(&format!("{queue}:3")).await;
    for load in &loads {
        load.settles(place, &heir).await;
    }
    assert_eq!(heir.drained().await, Some(0));
    nothing_left(place, &queue).await;
}

/// All points side by side: each has a queue of its own.
async fn dies_everywhere(place: Place) {
    place.migrate().await;
    // A foreign broker is named beside its store.
    let foreign = place.flags.len() == 4;
    let points = Failpoint::ALL.into_iter().filter(|point| foreign || *point != Failpoint::AfterCopy);
    join_all(points.map(|point| dies_at(&place, point))).await;
}

#[tokio::test]
async fn a_worker_dies_at_each_point_on_the_embedded_broker() {
    dies_everywhere(Place::embedded()).await;
}

#[tokio::test]
async fn a_worker_dies_at_each_point_on_postgres() {
    let Some(place) = Place::postgres().await else {
        return;
    };
    dies_everywhere(place).await;
}

#[tokio::test]
async fn a_worker_dies_at_each_point_on_rabbitmq() {
    let Some(place) = Place::rabbitmq().await else {
        return;
    };
    dies_everywhere(place).await;
}

#[tokio::test]
async fn a_worker_dies_at_each_point_on_rabbitmq_with_a_file() {
    let Some(place) = Place::rabbitmq_with_a_file().await else {
        return;
    };
    dies_everywhere(place).await;
}

#[tokio::test]
async fn a_wrong_failpoint_is_a_wrong_configuration() {
    let ended = backshift(&["config", "show"], &[("BACKSHIFT_FAILPOINT", "after-lunch:abort")]).await;
    assert_eq!(ended.code, 78, "{ended:?}");
    assert!(ended.err.contains("before-ack"), "it says what there is: {ended:?}");
}
