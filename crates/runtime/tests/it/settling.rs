//! The settler: in the background, bounded, never losing a result, never applying a stale one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use backshift_core::{JobOptions, State};
use backshift_testkit::memory::Fault;
use tokio::time::{Instant, sleep};

use crate::world::{Live, Notes, World, handler, publish, queue, until};

fn counts(notes: &Notes) -> backshift_core::Registry {
    let notes = notes.clone();
    handler("a", JobOptions::default(), move |context| {
        notes.add(context.id().to_string());
        async { Ok(()) }
    })
}

#[tokio::test(start_paused = true)]
async fn a_second_batch_runs_while_the_first_settlement_is_in_flight() {
    let (world, notes) = (World::new(), Notes::default());
    world.store.faults().plan(|call| match call {
        "store.finish" => Fault::Delay(Duration::from_secs(10)),
        _ => Fault::None,
    });
    for _ in 0..6 {
        world.publish("a").await;
    }
    let began = Instant::now();
    let live = Live::start(world.foreign("w").registry(counts(&notes)).pool(queue(), 2));
    until("all six to run", async || notes.count() == 6).await;
    assert!(began.elapsed() < Duration::from_secs(5), "slots waited for settlements: {:?}", began.elapsed());
    assert_eq!(world.store.count(State::Completed), 0);
    until("all six to be settled", async || world.store.count(State::Completed) == 6).await;
    // The first went alone, the other five together: whatever piled up during the round trip.
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn unsettled_results_are_bounded_and_none_is_lost() {
    let (world, notes) = (World::new(), Notes::default());
    let jobs = 3000;
    for _ in 0..jobs {
        world.publish("a").await;
    }
    world.store.faults().plan(|call| match call {
        "store.finish" => Fault::Before,
        _ => Fault::None,
    });
    let live = Live::start(world.foreign("w").registry(counts(&notes)).pool(queue(), 10));
    sleep(Duration::from_secs(60)).await;
    // 512 rooms and 10 slots, and not one more.
    let held = world.broker.unsettled(&queue());
    assert!((512..=522).contains(&held), "{held}");
    assert_eq!(notes.count(), held);
    assert!(live.readiness.report().problems.iter().any(|problem| problem.starts_with("store results")));
    world.store.faults().heal();
    until("the end", async || world.store.count(State::Completed) == jobs).await;
    until("the acks", async || world.broker.is_empty(&queue())).await;
    assert_eq!(notes.count(), jobs);
    assert!(live.readiness.is_ready());
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn lost_answers_and_lost_acks_double_no_result() {
    let (world, notes) = (World::new(), Notes::default());
    let calls = AtomicUsize::new(0);
    world.store.faults().plan(move |call| match call {
        "store.finish" if calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) => Fault::After,
        _ => Fault::None,
    });
    let acks = AtomicUsize::new(0);
    world.broker.faults().plan(move |call| match (call, acks.fetch_add(1, Ordering::Relaxed) % 3) {
        ("broker.ack", 0) => Fault::Before,
        ("broker.ack", 1) => Fault::After,
        _ => Fault::None,
    });
    for _ in 0..50 {
        world.publish("a").await;
    }
    let live = Live::start(world.foreign("w").registry(counts(&notes)).pool(queue(), 5));
    until("the end", async || world.broker.is_empty(&queue())).await;
    assert_eq!((world.store.count(State::Completed), notes.count()), (50, 50));
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_settlement_of_a_sql_receipt_is_finished_through_the_ledger() {
    let (world, notes) = (World::new(), Notes::default());
    world.store.faults().plan(|call| match call {
        "broker.ack" => Fault::Before,
        _ => Fault::None,
    });
    let id = publish(&world.store.broker(), world.envelope("a")).await;
    let live = Live::start(world.ledger("w").registry(counts(&notes)).pool(queue(), 1));
    world.until_state(id, State::Completed).await;
    assert_eq!(notes.count(), 1);
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_result_that_comes_after_a_takeover_is_refused() {
    let (world, notes) = (World::new(), Notes::default());
    let (seen, release) = (notes.clone(), Arc::new(tokio::sync::Notify::new()));
    let gate = Arc::clone(&release);
    let store = world.store.clone();
    let registry = handler("a", JobOptions::default(), move |context| {
        let (seen, gate, store) = (seen.clone(), Arc::clone(&gate), store.clone());
        async move {
            if context.starts() == 1 {
                // Frozen past its lease; it hears nothing of it.
                gate.notified().await;
            }
            let committed = store.commit_with_effect(&context, "effect");
            seen.add(format!("{}: {}", context.starts(), committed.is_ok()));
            Ok(())
        }
    });
    let live = Live::start(world.foreign("frozen").registry(registry.clone()).pool(queue(), 1));
    let id = world.publish("a").await;
    world.until_state(id, State::Running).await;
    world.store.expire_lease(id);
    world.broker.cut();
    let second = Live::start(world.foreign("second").registry(registry).pool(queue(), 1));
    until("the second start", async || notes.count() == 1).await;
    release.notify_waiters();
    until("the late result", async || notes.count() == 2).await;
    assert_eq!(notes.all(), ["2: true", "1: false"]);
    until("an empty queue", async || world.broker.is_empty(&queue())).await;
    assert_eq!(world.store.effects_committed(), [(id, "effect".to_owned())]);
    assert_eq!(live.readiness.report().pools[0].stale, 1);
    assert_eq!(world.row(id).await.state, State::Completed);
    live.stop().await;
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_job_reaches_the_brokers_own_place_although_the_first_try_was_lost() {
    let world = World::new();
    // The ledger has the result, and the broker does not hear of it the first time: the message comes again.
    let first = AtomicUsize::new(0);
    world.broker.faults().plan(move |call| match call {
        "broker.dead_letter" if first.fetch_add(1, Ordering::SeqCst) == 0 => Fault::Before,
        _ => Fault::None,
    });
    let registry = handler("a", JobOptions::default(), |_| async {
        Err(backshift_core::JobError::permanent("550 5.1.1 unknown"))
    });
    let live = Live::start(world.foreign("w").registry(registry).pool(queue(), 1));
    let id = world.publish("a").await;
    world.until_state(id, State::Dead).await;
    until("the dead letter", async || world.broker.dead(&queue()).len() == 1).await;
    let dead = world.broker.dead(&queue());
    assert_eq!(dead[0].letter.reason, backshift_core::Reason::Permanent);
    assert!(dead[0].letter.error.message.contains("550 5.1.1"), "{:?}", dead[0].letter);
    assert!(world.broker.is_empty(&queue()));
    live.stop().await;
}
