//! Long jobs of a foreign broker: when their message is let go, and what becomes of them then.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use backshift_core::{
    Broker, Envelope, JobContext, JobError, JobOptions, Kind, Reason, Registry, State,
    wire::{BODY_NOT_KEPT, SENSITIVE},
};
use backshift_runtime::{WorkerBuilder, WorkerOptions};
use backshift_testkit::memory::Fault;
use tokio::time::{Instant, sleep};

use crate::world::{LEASE, Live, Notes, World, handler, options, publish, queue, until};

const AFTER: Duration = Duration::from_secs(600);
const HOUR: Duration = Duration::from_secs(3600);

/// Notes each start and takes this long.
fn takes(time: Duration, notes: &Notes) -> Registry {
    let notes = notes.clone();
    handler(
        "a",
        JobOptions { timeout: Some(HOUR * 24), ..JobOptions::default() },
        move |context: JobContext| {
            let notes = notes.clone();
            async move {
                notes.add(context.worker().to_string());
                match context.sleep(time).await {
                    true => Ok(()),
                    false => Err(JobError::retry("told to stop")),
                }
            }
        },
    )
}

fn worker(world: &World, name: &str, registry: Registry, slots: usize) -> WorkerBuilder {
    world.foreign(name).registry(registry).pool(queue(), slots)
}

#[tokio::test(start_paused = true)]
async fn a_message_is_let_go_after_ten_minutes_and_not_before() {
    let (world, notes) = (World::new(), Notes::default());
    let live = Live::start(worker(&world, "w", takes(HOUR, &notes), 2));
    let id = world.publish("a").await;
    world.until_state(id, State::Running).await;
    let began = Instant::now();
    sleep(AFTER - Duration::from_secs(30)).await;
    assert_eq!(world.broker.unsettled(&queue()), 1, "let go after {:?}", began.elapsed());
    until("the hand-over", async || world.broker.unsettled(&queue()) == 0).await;
    assert!(began.elapsed() < AFTER + Duration::from_secs(60), "{:?}", began.elapsed());
    // Whatever becomes of connections, nothing of it comes again.
    world.broker.cut();
    let row = world.until_state(id, State::Completed).await;
    assert_eq!((row.attempt, row.crashes, row.token.0), (1, 0, 1));
    live.stop().await;
    assert_eq!(notes.count(), 1);
    assert!(world.broker.is_empty(&queue()));
}

#[tokio::test(start_paused = true)]
async fn what_must_not_be_kept_stays_with_its_broker() {
    let (world, notes) = (World::new(), Notes::default());
    let live = Live::start(worker(&world, "w", takes(HOUR, &notes), 4));
    for mark in [SENSITIVE, BODY_NOT_KEPT] {
        let mut envelope = world.envelope("a");
        envelope.headers.insert(mark.into(), "true".into());
        publish(&world.broker, envelope).await;
    }
    world.broker.put_anonymous(world.envelope("a"));
    until("the starts", async || notes.count() == 3).await;
    sleep(AFTER * 3).await;
    assert_eq!(world.broker.unsettled(&queue()), 3, "none of them is the ledger's");
    until("the ends", async || world.store.count(State::Completed) == 3).await;
    live.stop().await;
    assert!(world.broker.is_empty(&queue()) && notes.count() == 3);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_dies_around_the_hand_over_loses_nothing() {
    for (call, fault) in [
        ("store.hand_over", Fault::Before),
        ("store.hand_over", Fault::After),
        ("store.hand_over", Fault::HangAfter),
        ("broker.ack", Fault::Before),
        ("broker.ack", Fault::After),
        ("broker.ack", Fault::Hang),
    ] {
        let (world, notes) = (World::new(), Notes::default());
        let plan = move |name| if name == call { fault } else { Fault::None };
        match call {
            "broker.ack" => world.broker.faults().plan(plan),
            _ => world.store.faults().plan(plan),
        }
        let first = Live::start(worker(&world, "one", takes(HOUR, &notes), 1));
        let id = world.publish("a").await;
        world.until_state(id, State::Running).await;
        sleep(AFTER + Duration::from_secs(120)).await;
        first.kill().await;
        world.broker.faults().heal();
        world.store.faults().heal();
        let second = Live::start(worker(&world, "two", takes(Duration::ZERO, &notes), 1));
        let row = world.until_state(id, State::Completed).await;
        assert_eq!((row.attempt, row.crashes, row.token.0), (1, 1, 2), "{call} {fault:?}");
        second.stop().await;
        assert_eq!(notes.all(), ["one", "two"], "{call} {fault:?}");
        assert!(world.broker.is_empty(&queue()), "{call} {fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_acknowledgement_starts_no_second_run_anywhere() {
    let (world, notes) = (World::new(), Notes::default());
    let faults = backshift_testkit::memory::Faults::default();
    faults.plan(|name| if name == "broker.ack" { Fault::Before } else { Fault::None });
    let broker: Arc<dyn Broker> = Arc::new(world.broker.through(faults));
    let store = Arc::new(world.store.clone());
    let first = world.bare("one").broker(broker).store(store).registry(takes(HOUR, &notes)).pool(queue(), 1);
    let first = Live::start(first);
    let id = world.publish("a").await;
    world.until_state(id, State::Running).await;
    // Its message comes again, to whoever is there.
    let second = Live::start(worker(&world, "two", takes(HOUR, &notes), 1));
    until("the hand-over", async || world.broker.was_redelivered(id) && world.broker.is_empty(&queue()))
        .await;
    let row = world.until_state(id, State::Completed).await;
    assert_eq!((row.attempt, row.crashes, row.token.0), (1, 0, 1));
    assert_eq!(notes.all(), ["one"]);
    first.shutdown.quiet();
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_middle_leaves_nothing_lent_and_the_job_is_handed_over_later() {
    let (world, notes) = (World::new(), Notes::default());
    let calls = AtomicUsize::new(0);
    world.store.faults().plan(move |name| {
        let first = name == "store.hand_over" && calls.fetch_add(1, Ordering::SeqCst) == 0;
        assert!(!first, "planted");
        Fault::None
    });
    let live = Live::start(worker(&world, "w", takes(HOUR, &notes), 1));
    let id = world.publish("a").await;
    world.until_state(id, State::Running).await;
    until("the hand-over", async || world.broker.unsettled(&queue()) == 0).await;
    let row = world.until_state(id, State::Completed).await;
    assert_eq!((row.attempt, row.crashes, row.token.0), (1, 0, 1));
    live.stop().await;
    assert_eq!(notes.count(), 1);
    assert!(world.broker.is_empty(&queue()));
}

#[tokio::test(start_paused = true)]
async fn no_result_waits_for_the_acknowledgement_of_another() {
    let (world, notes) = (World::new(), Notes::default());
    let slots = 4;
    // No acknowledgement is answered: each would be waited for as long as its limit.
    world.broker.faults().plan(|name| if name == "broker.ack" { Fault::Hang } else { Fault::None });
    let time = AFTER + Duration::from_secs(30);
    let live = Live::start(worker(&world, "w", takes(time, &notes), slots));
    let mut ids = Vec::new();
    for _ in 0..slots {
        ids.push(world.publish("a").await);
    }
    until("the starts", async || notes.count() == slots).await;
    let began = Instant::now();
    until("the results", async || world.store.count(State::Completed) == slots).await;
    assert!(began.elapsed() < time + LEASE / 3, "{:?}", began.elapsed());
    world.broker.faults().heal();
    live.stop().await;
    assert_eq!(notes.count(), slots);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_was_handed_over_is_dead_in_both_places() {
    let world = World::new();
    let registry = handler("a", JobOptions::default(), |context: JobContext| async move {
        context.sleep(AFTER * 2).await;
        Err(JobError::permanent("hopeless"))
    });
    let live = Live::start(worker(&world, "w", registry, 1));
    let id = world.publish("a").await;
    world.until_state(id, State::Dead).await;
    until("the dead letter", async || world.broker.dead(&queue()).len() == 1).await;
    let letter = &world.broker.dead(&queue())[0];
    assert_eq!(letter.job.as_ref().unwrap().id, id);
    assert_eq!((letter.letter.reason, &*letter.letter.error.message), (Reason::Permanent, "hopeless"));
    sleep(HOUR).await;
    live.stop().await;
    assert!(world.broker.is_empty(&queue()) && world.broker.dead(&queue()).len() == 1);
}

#[tokio::test(start_paused = true)]
async fn other_bytes_or_another_kind_under_the_id_of_a_cut_job_are_not_taken_for_its_message() {
    let (world, notes) = (World::new(), Notes::default());
    let registry = takes(LEASE * 4, &notes).with_raw(
        &Kind::new("b").unwrap(),
        JobOptions::default(),
        |_: JobContext| async { Ok(()) },
    );
    let options = WorkerOptions { hand_over_after: HOUR, ..options() };
    let live = Live::start(worker(&world, "w", registry, 8).options(options));
    let own = world.envelope("a");
    let id = publish(&world.broker, own.clone()).await;
    world.until_state(id, State::Running).await;
    let forged = [
        Envelope { payload: "other".into(), ..own.clone() },
        Envelope { kind: Kind::new("b").unwrap(), ..own.clone() },
    ];
    for round in 0..3 {
        // Each is handed out beside the job's own message, and comes again with it.
        world
            .broker
            .faults()
            .plan(|name| if name == "broker.dead_letter" { Fault::Hang } else { Fault::None });
        for envelope in &forged {
            publish(&world.broker, envelope.clone()).await;
        }
        until("the forged ones", async || world.broker.unsettled(&queue()) == 3).await;
        world.broker.faults().heal();
        world.broker.cut();
        until("their end", async || world.broker.dead(&queue()).len() >= 2 * (round + 1)).await;
    }
    let row = world.until_state(id, State::Completed).await;
    assert_eq!((row.attempt, row.crashes, row.token.0), (1, 0, 1), "its own message was adopted");
    live.stop().await;
    assert_eq!(notes.count(), 1);
    let dead = world.broker.dead(&queue());
    assert!(dead.iter().all(|message| message.letter.reason == Reason::IdConflict), "{dead:?}");
    assert!(dead.iter().all(|message| message.job.as_ref().unwrap().payload == "other"
        || message.job.as_ref().unwrap().kind.as_str() == "b"));
    assert!(world.broker.is_empty(&queue()));
}
