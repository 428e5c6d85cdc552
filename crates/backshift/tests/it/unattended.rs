//! A worker says at its start which of its kinds stand in a queue that nobody works.

use std::time::Duration;

use backshift::{Backshift, Job, JobContext, JobResult, Registry, Schedule, Shift, testkit::wait};
use serde::{Deserialize, Serialize};

use crate::{
    jobs::{Order, embedded, ship},
    log::{LOOKED, logged},
};

fn ships(site: &Backshift, name: &str, queue: &str) -> Shift {
    site.worker(Registry::default().with(ship)).name(name).unwrap().pool(queue, 1).unwrap()
}

#[tokio::test]
async fn a_queue_that_no_worker_works_is_named_with_its_kinds_and_the_remedy() {
    let (_place, _, site) = embedded().await;
    let text = logged(ships(&site, "alone", "elsewhere"), "and wait: add").await;
    let line = text.lines().find(|line| line.contains("and wait: add")).unwrap();
    assert!(!line.contains("typing error"), "{line}");
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
    let text = logged(ships(&site, "this", "elsewhere"), LOOKED).await;
    assert!(!text.contains("and wait: add"), "{text}");
    drop(stop);
    other.await.unwrap();
}

#[tokio::test]
async fn a_mistyped_pool_is_named_beside_the_queue_that_was_meant() {
    let (_place, _, site) = embedded().await;
    let text = logged(ships(&site, "slip", "ordres"), "and wait: add").await;
    assert!(
        text.contains(r#"its pool "ordres" is for no kind of this worker: is it a typing error?"#),
        "{text}"
    );
}

#[derive(Serialize, Deserialize)]
struct Shipped;

impl Job for Shipped {
    const KIND: &'static str = "order.shipped";
    const QUEUE: &'static str = "orders";
}

#[tokio::test]
async fn a_schedule_whose_kind_nobody_does_is_named_and_one_that_another_worker_does_is_not() {
    let (_place, _, site) = embedded().await;
    let shipped = || Schedule::of("nightly", "0 3 * * *", &Shipped).unwrap();
    let text = logged(ships(&site, "alone", "orders").cron(shipped()), LOOKED).await;
    let line = text.lines().find(|line| line.contains("jobs of this schedule wait")).unwrap();
    for part in ["WARN", "nightly", "order.shipped", r#".pool("orders", 10)"#, "(did you mean order.ship?)"] {
        assert!(line.contains(part), "{part}: {line}");
    }

    let done = Registry::default().with(async |_: Shipped, _: JobContext| -> JobResult { Ok(()) });
    let other = site.worker(done).name("other").unwrap().pool("orders", 1).unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let other = tokio::spawn(async move { other.run(async { drop(stopped.await) }).await.unwrap() });
    let there =
        async || site.store().workers().await.unwrap().iter().any(|worker| worker.name.as_str() == "other");
    assert!(wait::until(Duration::from_secs(30), there).await);
    let orders = Schedule::of("daily", "0 4 * * *", &Order { number: 1 }).unwrap();
    let text = logged(ships(&site, "beside", "orders").cron(shipped()).cron(orders), LOOKED).await;
    assert!(!text.contains("jobs of this schedule wait"), "{text}");
    drop(stop);
    other.await.unwrap();
}
