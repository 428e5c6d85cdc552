//! Leases: kept while work goes on, given up in time when they cannot be kept, rescued when nobody does.

use std::time::Duration;

use backshift_core::{JobError, JobOptions, State};
use backshift_testkit::memory::Fault;
use tokio::time::{Instant, sleep};

use crate::world::{LEASE, Live, Notes, World, handler, publish, queue, until};

fn long(time: Duration, notes: &Notes) -> backshift_core::Registry {
    let notes = notes.clone();
    handler("a", JobOptions::default(), move |context| {
        let notes = notes.clone();
        async move {
            let began = Instant::now();
            if context.sleep(time).await {
                return Ok(());
            }
            notes.add(began.elapsed().as_secs().to_string());
            Err(JobError::retry("stopped"))
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_job_longer_than_its_lease_keeps_it() {
    for ledger in [false, true] {
        let (world, notes) = (World::new(), Notes::default());
        let builder = if ledger { world.ledger("w") } else { world.foreign("w") };
        let live = Live::start(builder.registry(long(LEASE * 10, &notes)).pool(queue(), 1));
        let envelope = world.envelope("a");
        let id = match ledger {
            true => publish(&world.store.broker(), envelope).await,
            false => publish(&world.broker, envelope).await,
        };
        let row = world.until_state(id, State::Completed).await;
        assert_eq!((row.token.0, row.crashes), (1, 0), "ledger {ledger}");
        live.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn without_confirmed_heartbeats_work_stops_before_the_lease_ends() {
    let (world, notes) = (World::new(), Notes::default());
    world.store.faults().plan(|call| match call {
        "store.beat" => Fault::Before,
        _ => Fault::None,
    });
    let live = Live::start(world.foreign("w").registry(long(LEASE * 10, &notes)).pool(queue(), 1));
    let id = world.publish("a").await;
    until("the stop", async || notes.count() == 1).await;
    let stopped: u64 = notes.all()[0].parse().unwrap();
    assert!((20..=25).contains(&stopped), "stopped after {stopped} s of a lease of 30 s");
    until("the release", async || world.outcomes(id).await.first().is_some_and(|o| o == "released")).await;
    assert_eq!(world.row(id).await.attempt, 1);
    world.store.faults().heal();
    assert_eq!(world.until_state(id, State::Completed).await.attempt, 1);
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_hangs_delays_no_stop() {
    let (world, notes) = (World::new(), Notes::default());
    world.store.faults().plan(|call| match call {
        "store.beat" => Fault::Delay(LEASE * 100),
        _ => Fault::None,
    });
    let live = Live::start(world.foreign("w").registry(long(LEASE * 10, &notes)).pool(queue(), 1));
    world.publish("a").await;
    until("the stop", async || notes.count() == 1).await;
    assert!(notes.all()[0].parse::<u64>().unwrap() <= 25);
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_stops_the_handler_and_its_result_counts_nothing() {
    let (world, notes) = (World::new(), Notes::default());
    let live = Live::start(world.ledger("w").registry(long(LEASE * 10, &notes)).pool(queue(), 1));
    let id = publish(&world.store.broker(), world.envelope("a")).await;
    world.until_state(id, State::Running).await;
    world.store.expire_lease(id);
    until("the stop", async || notes.count() >= 1).await;
    until("the second start", async || world.row(id).await.token.0 == 2).await;
    let row = world.row(id).await;
    assert_eq!((row.attempt, row.crashes), (1, 1));
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_killed_workers_job_runs_elsewhere_without_a_counted_attempt() {
    for ledger in [false, true] {
        let (world, notes) = (World::new(), Notes::default());
        let build = |name| if ledger { world.ledger(name) } else { world.foreign(name) };
        let first = Live::start(build("one").registry(long(LEASE * 10, &notes)).pool(queue(), 1));
        let envelope = world.envelope("a");
        let id = match ledger {
            true => publish(&world.store.broker(), envelope).await,
            false => publish(&world.broker, envelope).await,
        };
        world.until_state(id, State::Running).await;
        first.kill().await;
        let second = Live::start(build("two").registry(long(Duration::ZERO, &notes)).pool(queue(), 1));
        let row = world.until_state(id, State::Completed).await;
        assert_eq!((row.attempt, row.crashes, row.token.0), (1, 1, 2), "ledger {ledger}");
        second.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_pauses_claims_and_burns_nothing() {
    let (world, notes) = (World::new(), Notes::default());
    let live = Live::start(world.foreign("w").registry(long(Duration::ZERO, &notes)).pool(queue(), 2));
    until("readiness", async || live.readiness.is_ready()).await;
    world.store.faults().away();
    let ids: Vec<_> = vec![world.publish("a").await, world.publish("a").await, world.publish("a").await];
    sleep(Duration::from_secs(120)).await;
    assert_eq!(world.broker.unsettled(&queue()), 2);
    let report = live.readiness.report();
    assert!(!report.ready && report.problems.iter().any(|problem| problem.starts_with("store claims")));
    world.store.faults().heal();
    for id in ids {
        let row = world.until_state(id, State::Completed).await;
        assert_eq!((row.attempt, row.token.0, row.crashes), (1, 1, 0));
    }
    until("readiness", async || live.readiness.is_ready()).await;
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_answer_was_lost_is_recognised_as_ones_own() {
    let (world, notes) = (World::new(), Notes::default());
    let mut first = true;
    world.store.faults().plan(move |call| match call {
        "store.claim" if std::mem::take(&mut first) => Fault::After,
        _ => Fault::None,
    });
    let live = Live::start(world.foreign("w").registry(long(Duration::ZERO, &notes)).pool(queue(), 2));
    let began = Instant::now();
    let id = world.publish("a").await;
    assert_eq!(world.until_state(id, State::Completed).await.attempt, 1);
    assert!(began.elapsed() < LEASE / 2, "it waited for its own lease: {:?}", began.elapsed());
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_away_is_reconnected_for_ever() {
    let (world, notes) = (World::new(), Notes::default());
    world.broker.faults().away();
    let live = Live::start(world.foreign("w").registry(long(Duration::ZERO, &notes)).pool(queue(), 2));
    sleep(Duration::from_secs(3600)).await;
    assert!(live.readiness.report().problems.iter().any(|problem| problem.starts_with("queue work")));
    world.broker.faults().heal();
    let id = world.publish("a").await;
    world.until_state(id, State::Completed).await;
    until("readiness", async || live.readiness.is_ready()).await;
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_is_known_before_it_takes_its_first_job() {
    let (world, notes) = (World::new(), Notes::default());
    let id = publish(&world.store.broker(), world.envelope("a")).await;
    world.store.faults().plan(|call| match call {
        "store.announce" => Fault::Delay(Duration::from_secs(4)),
        _ => Fault::None,
    });
    let live = Live::start(world.ledger("w").registry(long(LEASE, &notes)).pool(queue(), 1));
    sleep(Duration::from_secs(3)).await;
    assert_eq!(
        world.row(id).await.state,
        State::Available,
        "taken by somebody whose death nobody would notice"
    );
    world.until_state(id, State::Running).await;
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_refuses_the_announcement_keeps_nobody_from_working() {
    for fault in [Fault::Before, Fault::Hang] {
        let (world, notes) = (World::new(), Notes::default());
        world.store.faults().plan(move |call| if call == "store.announce" { fault } else { Fault::None });
        let live = Live::start(world.foreign("w").registry(long(Duration::ZERO, &notes)).pool(queue(), 1));
        let id = world.publish("a").await;
        world.until_state(id, State::Completed).await;
        live.stop().await;
    }
}
