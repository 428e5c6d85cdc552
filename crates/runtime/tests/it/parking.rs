//! What no handler gets to see: unknown kinds, bytes that are no job, payloads that are too large, known jobs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use backshift_core::{JobOptions, Reason, State, store::Jobs};
use backshift_runtime::WorkerOptions;
use backshift_testkit::memory::Fault;
use tokio::time::sleep;

use crate::world::{Live, Notes, World, handler, options, publish, queue, until};

#[tokio::test(start_paused = true)]
async fn an_unknown_kind_is_parked_and_runs_when_a_worker_knows_it() {
    let world = World::new();
    let ignorant = Live::start(
        world
            .foreign("old")
            .registry(handler("b", JobOptions::default(), |_| async { Ok(()) }))
            .pool(queue(), 1),
    );
    let id = world.publish("a").await;
    until("the parking", async || matches!(world.store.find(id).await, Ok(Some(row)) if row.parked)).await;
    sleep(Duration::from_secs(3600)).await;
    let row = world.row(id).await;
    assert_eq!((row.attempt, row.crashes, row.token.0), (1, 0, 1), "it waits and nobody turns in circles");
    assert!(row.error.unwrap().contains("handler for kind a"));
    let knowing = handler("a", JobOptions::default(), |_| async { Ok(()) });
    let (began, live) =
        (tokio::time::Instant::now(), Live::start(world.foreign("new").registry(knowing).pool(queue(), 1)));
    assert_eq!(world.until_state(id, State::Completed).await.attempt, 1);
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "it waited {:?} for a worker that was there",
        began.elapsed()
    );
    ignorant.stop().await;
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn parking_grows_also_without_a_store() {
    let world = World::new();
    let parkings = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&parkings);
    world.broker.faults().plan(move |call| {
        counted.fetch_add(usize::from(call == "broker.retry"), Ordering::Relaxed);
        Fault::None
    });
    let live = Live::start(world.bare("w").broker(Arc::new(world.broker.clone())).pool(queue(), 1));
    world.publish("a").await;
    sleep(Duration::from_secs(3600)).await;
    // One a second would be 3,600; growing to half a minute it is about 124.
    let parkings = parkings.load(Ordering::Relaxed);
    assert!((100..=180).contains(&parkings), "{parkings}");
    live.stop().await;
    assert!(!world.broker.is_empty(&queue()) && world.broker.dead(&queue()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn malformed_and_oversized_messages_go_to_the_dead_letters_whole() {
    let world = World::new();
    let small = WorkerOptions { max_payload: 10, ..options() };
    let registry = handler("a", JobOptions::default(), |_| async { Ok(()) });
    let live = Live::start(world.foreign("w").options(small).registry(registry).pool(queue(), 2));
    world.broker.put_malformed(&queue(), "{broken", "not JSON");
    let mut large = world.envelope("a");
    large.payload = "{\"x\":\"0123456789\"}".into();
    let large = publish(&world.broker, large).await;
    until("both dead letters", async || world.broker.dead(&queue()).len() == 2).await;
    let mut dead = world.broker.dead(&queue());
    dead.sort_by_key(|message| message.job.is_ok());
    let malformed = dead[0].job.as_ref().unwrap_err();
    assert_eq!((&malformed.raw[..], dead[0].letter.reason), (&b"{broken"[..], Reason::Malformed));
    assert_eq!(dead[1].letter.reason, Reason::TooLarge);
    assert_eq!(world.row(large).await.reason.as_deref(), Some("too-large"));
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_finished_job_is_only_acked_and_another_payload_under_its_id_is_a_conflict() {
    let (world, notes) = (World::new(), Notes::default());
    let seen = notes.clone();
    let registry = handler("a", JobOptions::default(), move |_| {
        seen.add("ran");
        async { Ok(()) }
    });
    let live = Live::start(world.foreign("w").registry(registry).pool(queue(), 2));
    let envelope = world.envelope("a");
    publish(&world.broker, envelope.clone()).await;
    world.until_state(envelope.id, State::Completed).await;
    publish(&world.broker, envelope.clone()).await;
    until("the second copy's end", async || world.broker.is_empty(&queue())).await;
    let mut other = envelope.clone();
    other.payload = "{\"other\":true}".into();
    publish(&world.broker, other).await;
    until("the conflict", async || world.broker.dead(&queue()).len() == 1).await;
    assert_eq!(world.broker.dead(&queue())[0].letter.reason, Reason::IdConflict);
    assert_eq!(notes.count(), 1);
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_anonymous_redelivery_finds_its_own_row() {
    let (world, notes) = (World::new(), Notes::default());
    let seen = notes.clone();
    let registry = handler("a", JobOptions::default(), move |context| {
        let seen = seen.clone();
        async move {
            seen.add(context.id().to_string());
            // The first start is cut off.
            if context.starts() == 1 {
                context.cancelled().await;
            }
            Ok(())
        }
    });
    let first = Live::start(world.foreign("one").registry(registry.clone()).pool(queue(), 1));
    world.broker.put_anonymous(world.envelope("a"));
    until("the first start", async || notes.count() == 1).await;
    first.kill().await;
    let live = Live::start(world.foreign("two").registry(registry).pool(queue(), 1));
    until("an empty queue", async || world.broker.is_empty(&queue())).await;
    let ids = notes.all();
    assert_eq!((ids.len(), &ids[0]), (2, &ids[1]));
    assert_eq!(world.store.list(&Default::default(), &Default::default()).await.unwrap().len(), 1);
    live.stop().await;
}
