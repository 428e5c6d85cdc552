//! A worker whose numbers or names make no sense: refused with the remedy, or said at the start.

use std::time::Duration;

use backshift::{
    Backshift, BreakerPolicy, Job, JobContext, JobOptions, JobResult, PoolOptions, Rate, Registry, Shift,
    WorkerOptions,
    middleware::{Breaker, RateLimit},
};
use serde::{Deserialize, Serialize};

use crate::{
    jobs::{Order, embedded, ship},
    log::{LOOKED, logged},
};

/// A kind that says what its test wants.
macro_rules! kind {
    ($type:ident, $name:literal, $options:expr) => {
        #[derive(Serialize, Deserialize)]
        struct $type;

        impl Job for $type {
            const KIND: &'static str = $name;
            const QUEUE: &'static str = "orders";

            fn options() -> JobOptions {
                $options
            }
        }
    };
}

kind!(Never, "never", JobOptions::new().max_attempts(0));
kind!(Hurried, "hurried", JobOptions::new().timeout(Duration::ZERO));
kind!(Charge, "card.charge", JobOptions::new().dependency("bank"));
kind!(Refund, "card.refund", JobOptions::new().dependency("bank"));
kind!(Shipped, "order.shipped", JobOptions::new());

fn well<J: Job>() -> Registry {
    Registry::default().with(async |_: J, _: JobContext| -> JobResult { Ok(()) })
}

fn orders(site: &Backshift, registry: Registry) -> Shift {
    site.worker(registry).pool("orders", 1).unwrap()
}

#[tokio::test]
async fn a_number_with_which_no_job_would_ever_run_is_refused_with_its_name_and_the_remedy() {
    let (_place, _, site) = embedded().await;
    let ships = || site.worker(Registry::default().with(ship));
    let one = || orders(&site, Registry::default().with(ship));
    let with = |options| one().options(options);
    let key = |_: &Order| "x".to_owned();
    let usual = WorkerOptions::default;
    let breaks = |policy| one().breaker(policy);
    let many = PoolOptions { lookahead: usize::MAX, ..PoolOptions::slots(1) };
    for (shift, said) in [
        (ships().pool("orders", 0).unwrap(), "the pool of queue orders has 0 slots, .*: give it 1 or more"),
        (ships().pool("orders", usize::MAX).unwrap(), "of queue orders .*: 65535 together are the most"),
        (ships().pool_with("orders", many).unwrap(), "of queue orders .*: 65535 together are the most"),
        (
            with(WorkerOptions { max_attempts: 0, ..usual() }),
            "WorkerOptions::max_attempts is 0, .*: leave it",
        ),
        (with(WorkerOptions { lease: Duration::ZERO, ..usual() }), "WorkerOptions::lease is 0"),
        (with(WorkerOptions { timeout: Duration::ZERO, ..usual() }), "WorkerOptions::timeout is 0"),
        (with(WorkerOptions { stuck_after: Duration::ZERO, ..usual() }), "WorkerOptions::stuck_after is 0"),
        (with(WorkerOptions { max_payload: 0, ..usual() }), "WorkerOptions::max_payload is 0"),
        (orders(&site, well::<Never>()), "max_attempts of kind never is 0, .*: 1 is once"),
        (orders(&site, well::<Hurried>()), "the time-out of kind hurried is 0, .*: say more"),
        (one().limit(Rate::per_second(0), key), "the limit of kind order.ship is 0 in 1s, .*: say 1 or more"),
        (
            one().limit(Rate { count: 1, per: Duration::ZERO }, key),
            "the limit of kind order.ship is 1 in 0ns",
        ),
        (one().middleware(RateLimit::new(Rate::per_hour(0), |_| None)), "the limit is 0 in 3600s"),
        (one().places(0, key), "the places of kind order.ship are 0, .*: say 1 or more"),
        (breaks(BreakerPolicy { failures: 0, ..BreakerPolicy::default() }), "opens after 0 failures: say 1"),
        (
            breaks(BreakerPolicy { open_for: Duration::ZERO, ..BreakerPolicy::default() }),
            "open for 0ns .*: say a time",
        ),
        (
            breaks(BreakerPolicy { open_at_most: Duration::ZERO, ..BreakerPolicy::default() }),
            "and for 0ns at most",
        ),
    ] {
        let text = shift.build().err().expect(said).to_string();
        let mut rest = text.as_str();
        for part in said.split(".*") {
            rest = rest.split_once(part).unwrap_or_else(|| panic!("{said}: {text}")).1;
        }
    }
    assert!(ships().pool("orders", 65_535).unwrap().build().is_ok());
}

#[tokio::test]
async fn what_guards_nothing_and_what_nothing_guards_is_said_at_the_start() {
    let (_place, _, site) = embedded().await;
    let key = |_: &Order| "x".to_owned();
    let guard = || BreakerPolicy::default();
    let cards = || well::<Charge>().with(async |_: Refund, _: JobContext| -> JobResult { Ok(()) });
    let ships = || Registry::default().with(ship);
    let late = || Registry::default().configure("order.ship", |kind| kind.strict = true).with(ship);
    for (shift, said) in [
        (
            orders(&site, well::<Shipped>()).limit(Rate::per_second(5), key),
            "there is a limit for kind order.ship, and this worker has no handler for it, so nothing is limited here (did you \
             mean order.shipped?)",
        ),
        (
            orders(&site, cards()).places(2, key),
            "a number of places for kind order.ship, and this worker has no handler",
        ),
        (
            orders(&site, cards()),
            "kinds card.charge, card.refund name the dependency \"bank\", and this worker has no breaker, so nothing spares it \
             while it fails: add .breaker(BreakerPolicy::default())",
        ),
        (
            orders(&site, ships()).breaker(guard()),
            "this worker has a breaker, and none of its kinds names a dependency",
        ),
        (site.worker(Registry::default()).pool("orders", 1).unwrap(), "this worker has no handler"),
        (
            orders(&site, late()),
            "options were set for kind order.ship, which had no handler then, so they are lost: call Registry::configure after with",
        ),
    ] {
        let text = logged(shift, LOOKED).await;
        let line = text.lines().find(|line| line.contains(said)).unwrap_or_else(|| panic!("{said}:\n{text}"));
        assert!(line.contains("WARN"), "{line}");
    }
    // Nothing is said of what fits together, however the guard was added.
    for shift in [
        orders(&site, ships()).limit(Rate::per_second(5), key).places(2, key),
        orders(&site, cards()).breaker(guard()),
        orders(&site, cards()).middleware(Breaker::new(cards(), guard())),
        orders(&site, cards()).with(|builder| builder.middleware(Breaker::new(cards(), guard()))),
    ] {
        let text = logged(shift, LOOKED).await;
        assert!(!text.contains("WARN"), "{text}");
    }
}
