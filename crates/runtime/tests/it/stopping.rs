//! Quiet, drain, abort: in this order, within the grace, and without burning an attempt.

use std::time::Duration;

use backshift_core::{JobError, JobOptions, JobResult, State, store::Jobs};
use backshift_runtime::Drained;
use backshift_testkit::memory::Fault;
use tokio::time::{Instant, sleep};

use crate::world::{Live, Notes, World, handler, publish, queue, until};

/// A handler that works this long and notes when it was told to stop.
fn works(time: Duration, notes: &Notes) -> backshift_core::Registry {
    let notes = notes.clone();
    handler("a", JobOptions::default(), move |context| {
        let notes = notes.clone();
        async move {
            notes.add("began");
            match context.sleep(time).await {
                true => notes.add("ended"),
                false => {
                    notes.add("told to stop");
                    return Err(JobError::retry("stopped in the middle"));
                }
            }
            Ok(())
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_running_jobs_end_and_takes_no_more() {
    let (world, notes) = (World::new(), Notes::default());
    let live =
        Live::start(world.foreign("w").registry(works(Duration::from_secs(10), &notes)).pool(queue(), 1));
    let (first, second) = (world.publish("a").await, world.publish("a").await);
    until("the first to begin", async || notes.count() == 1).await;
    live.shutdown.quiet();
    until("the drain to show", async || live.readiness.report().draining).await;
    assert!(!live.readiness.is_ready());
    assert_eq!(live.stop().await, Drained::default());
    assert_eq!(notes.all(), ["began", "ended"]);
    assert_eq!(world.row(first).await.state, State::Completed);
    assert!(world.store.find(second).await.unwrap().is_none());
    assert!(!world.broker.is_empty(&queue()));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_end_within_the_grace_is_told_to_stop_and_goes_back_uncounted() {
    let (world, notes) = (World::new(), Notes::default());
    let live =
        Live::start(world.foreign("w").registry(works(Duration::from_secs(300), &notes)).pool(queue(), 1));
    let id = world.publish("a").await;
    until("the start", async || notes.count() == 1).await;
    let began = Instant::now();
    assert_eq!(
        live.stop().await,
        Drained { returned: 1, unconfirmed: 0 },
        "it obeyed, and went back all the same"
    );
    assert!(began.elapsed() <= Duration::from_secs(30), "{:?}", began.elapsed());
    assert_eq!(notes.all(), ["began", "told to stop"]);
    let row = world.row(id).await;
    assert_eq!((row.state, row.attempt, row.crashes), (State::Available, 1, 0));
    // It is in the queue again and runs to its end elsewhere.
    let next =
        Live::start(world.foreign("next").registry(works(Duration::from_secs(1), &notes)).pool(queue(), 1));
    assert_eq!(world.until_state(id, State::Completed).await.attempt, 1);
    next.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_does_not_listen_is_dropped_at_the_end_of_the_grace() {
    for ledger in [false, true] {
        let world = World::new();
        let registry = handler("a", JobOptions::default(), |_| std::future::pending::<JobResult>());
        let builder = if ledger { world.ledger("w") } else { world.foreign("w") };
        let live = Live::start(builder.registry(registry).pool(queue(), 1));
        let envelope = world.envelope("a");
        let id = match ledger {
            true => publish(&world.store.broker(), envelope).await,
            false => publish(&world.broker, envelope).await,
        };
        world.until_state(id, State::Running).await;
        let began = Instant::now();
        let drained = live.stop().await;
        assert_eq!(drained, Drained { returned: 1, unconfirmed: 0 });
        assert!(began.elapsed() <= Duration::from_secs(30), "{:?}", began.elapsed());
        let row = world.row(id).await;
        assert_eq!((row.state, row.attempt, row.crashes), (State::Available, 1, 0), "ledger {ledger}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_second_wish_aborts_at_once() {
    let world = World::new();
    let registry = handler("a", JobOptions::default(), |_| std::future::pending::<JobResult>());
    let live = Live::start(world.foreign("w").registry(registry).pool(queue(), 3));
    let ids = [world.publish("a").await, world.publish("a").await, world.publish("a").await];
    for id in ids {
        world.until_state(id, State::Running).await;
    }
    live.shutdown.quiet();
    sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    live.shutdown.abort();
    assert_eq!(live.end().await.unwrap(), Drained { returned: 3, unconfirmed: 0 });
    assert!(began.elapsed() <= Duration::from_secs(3), "{:?}", began.elapsed());
    for id in ids {
        let row = world.row(id).await;
        assert_eq!((row.state, row.attempt), (State::Available, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_in_time_also_when_the_servers_are_away() {
    let (world, notes) = (World::new(), Notes::default());
    let live =
        Live::start(world.foreign("w").registry(works(Duration::from_secs(5), &notes)).pool(queue(), 1));
    world.publish("a").await;
    until("the start", async || notes.count() == 1).await;
    world.store.faults().away();
    world.broker.faults().away();
    let began = Instant::now();
    let drained = live.stop().await;
    assert!(began.elapsed() <= Duration::from_secs(32), "{:?}", began.elapsed());
    assert_eq!(drained.unconfirmed, 1);
    // Nothing is lost: the message is there again, and the lease runs out.
    assert!(!world.broker.is_empty(&queue()));
    world.store.faults().heal();
    world.broker.faults().heal();
    let next =
        Live::start(world.foreign("next").registry(works(Duration::from_secs(1), &notes)).pool(queue(), 1));
    until("its end", async || world.broker.is_empty(&queue())).await;
    assert_eq!(world.store.count(State::Completed), 1);
    next.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_in_flight_when_the_drain_begins_is_no_crash() {
    let (world, notes) = (World::new(), Notes::default());
    world.store.faults().plan(|call| match call {
        "store.claim" => Fault::Delay(Duration::from_secs(8)),
        _ => Fault::None,
    });
    let registry = works(Duration::from_secs(1), &notes);
    let live = Live::start(world.foreign("w").registry(registry).pool(queue(), 1));
    let id = world.publish("a").await;
    until("the delivery", async || world.broker.unsettled(&queue()) == 1).await;
    live.stop().await;
    let row = world.row(id).await;
    assert_eq!((row.state, row.crashes), (State::Completed, 0));
}
