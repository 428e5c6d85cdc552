//! The way in, seen from the engine: delays, priorities, unique keys and the relay to a foreign broker.

use std::{sync::Arc, time::Duration};

use backshift_core::{
    Accepted, Broker, Client, EnqueueOptions, JobId, JobOptions, Kind, ManualClock, State, Store, Timestamp,
    UniqueKey, UniquePolicy, client::EnqueueError,
};
use backshift_testkit::memory::Fault;
use tokio::time::{Instant, sleep};

use crate::world::{Live, Notes, World, handler, queue, until};

fn client(world: &World, ledger: bool) -> Client {
    let broker: Arc<dyn Broker> = match ledger {
        true => Arc::new(world.store.broker()),
        false => Arc::new(world.broker.clone()),
    };
    let store: Arc<dyn Store> = Arc::new(world.store.clone());
    Client::new(broker, Some(store)).with_clock(Arc::new(world.clock))
}

async fn enqueue(
    world: &World,
    client: &Client,
    name: &str,
    options: EnqueueOptions,
) -> Result<Accepted, EnqueueError> {
    let mut envelope =
        client.envelope(Kind::new("a").unwrap(), queue(), format!("\"{name}\""), options.clone());
    let clock: &dyn backshift_core::Clock = &world.clock;
    envelope.created_at = clock.now();
    client.enqueue_raw(envelope).await
}

fn notes_payload(notes: &Notes) -> backshift_core::Registry {
    let notes = notes.clone();
    handler("a", JobOptions::default(), move |context| {
        notes.add(String::from_utf8_lossy(&context.envelope().payload).trim_matches('"').to_owned());
        async { Ok(()) }
    })
}

fn at(world: &World, seconds: i64) -> EnqueueOptions {
    let clock: &dyn backshift_core::Clock = &world.clock;
    let run_at = clock.now() + jiff::SignedDuration::from_secs(seconds);
    EnqueueOptions { run_at: Some(run_at), ..EnqueueOptions::default() }
}

#[tokio::test(start_paused = true)]
async fn a_delayed_job_runs_soon_after_it_is_due_and_never_before() {
    for ledger in [false, true] {
        let (world, notes) = (World::new(), Notes::default());
        let builder = if ledger { world.ledger("w") } else { world.foreign("w") };
        let live = Live::start(builder.registry(notes_payload(&notes)).pool(queue(), 2));
        let began = Instant::now();
        enqueue(&world, &client(&world, ledger), "later", at(&world, 90)).await.unwrap();
        until("the run", async || notes.count() == 1).await;
        let late = began.elapsed() - Duration::from_secs(90);
        assert!(late < Duration::from_millis(1500), "ledger {ledger}: {late:?} after its time");
        live.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_broker_could_not_take_at_once_the_relay_delivers() {
    let (world, notes) = (World::new(), Notes::default());
    let live = Live::start(world.foreign("w").registry(notes_payload(&notes)).pool(queue(), 2));
    world.broker.faults().plan(|call| match call {
        "broker.publish" => Fault::Before,
        _ => Fault::None,
    });
    let id = JobId::generate();
    let options = EnqueueOptions { id: Some(id), ..EnqueueOptions::default() };
    let accepted = enqueue(&world, &client(&world, false), "durable", options.clone()).await.unwrap();
    assert_eq!(accepted, Accepted::New(id));
    let again = enqueue(&world, &client(&world, false), "durable", options).await.unwrap();
    assert_eq!(again, Accepted::Known { id, same_payload: true });
    sleep(Duration::from_secs(60)).await;
    assert_eq!(notes.count(), 0);
    assert!(live.readiness.report().problems.iter().any(|problem| problem.starts_with("relay to memory")));
    world.broker.faults().heal();
    until("the run", async || notes.count() == 1).await;
    until("readiness", async || live.readiness.is_ready()).await;
    live.stop().await;
    assert_eq!(world.store.count(State::Completed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_delay_is_counted_from_the_clients_clock_and_ends_with_the_calendar() {
    let now: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
    let world = World::new();
    let client = client(&world, true).with_clock(Arc::new(ManualClock::at(now)));
    let of = |options| client.envelope(Kind::new("a").unwrap(), queue(), "{}", options).run_at;
    let hour = Duration::from_secs(3600);
    assert_eq!(of(EnqueueOptions::new().delay(hour)), Some(now + hour));
    assert_eq!(of(EnqueueOptions::new().delay(hour).at(now)), Some(now + hour), "the later of both");
    assert_eq!(of(EnqueueOptions::new().delay(hour).at(now + hour * 2)), Some(now + hour * 2));
    assert_eq!(of(EnqueueOptions::new().delay(Duration::MAX)), Some(Timestamp::MAX));
    assert_eq!(of(EnqueueOptions::new()), None);
}

#[tokio::test(start_paused = true)]
async fn higher_priority_runs_first_and_unique_keys_hold() {
    let (world, notes) = (World::new(), Notes::default());
    let client = client(&world, true);
    for (name, priority) in [("low", -5), ("normal", 0), ("high", 50)] {
        let options = EnqueueOptions { priority, ..EnqueueOptions::default() };
        enqueue(&world, &client, name, options).await.unwrap();
    }
    let unique = |policy| EnqueueOptions {
        unique: Some(UniqueKey { key: "k".into(), policy }),
        ..EnqueueOptions::default()
    };
    let first = enqueue(&world, &client, "first", unique(UniquePolicy::Reject)).await.unwrap();
    let second = enqueue(&world, &client, "second", unique(UniquePolicy::Reject)).await.unwrap();
    assert_eq!(second, Accepted::Unique(first.id()));
    enqueue(&world, &client, "replaced", unique(UniquePolicy::Replace)).await.unwrap();
    let live = Live::start(world.ledger("w").registry(notes_payload(&notes)).pool(queue(), 1));
    until("all", async || world.store.count(State::Completed) == 4).await;
    let all = notes.all();
    assert_eq!((all[0].as_str(), all[3].as_str()), ("high", "low"));
    assert!(all.contains(&"replaced".to_owned()) && !all.contains(&"second".to_owned()));
    live.stop().await;
}
