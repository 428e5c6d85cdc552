//! Cron with several instances: each tick once, missed ticks by policy, no overlap when that is wished.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use backshift_core::{Client, Clock, JobOptions, Kind, State, Timestamp, store::Schedules, wire};
use backshift_runtime::{Missed, Overlap, Schedule};
use backshift_testkit::memory::{Fault, TokioClock};
use tokio::time::sleep;

use crate::world::{Live, Notes, World, handler, queue, until};

fn schedule(when: &str) -> Schedule {
    Schedule::new("ticker", when, Kind::new("tick").unwrap(), queue(), "{}").unwrap()
}

fn ticks(notes: &Notes, time: Duration) -> backshift_core::Registry {
    let notes = notes.clone();
    handler("tick", JobOptions::default(), move |context| {
        notes.add(context.headers()[wire::TICK].clone());
        async move {
            context.sleep(time).await;
            Ok(())
        }
    })
}

#[tokio::test(start_paused = true)]
async fn several_instances_tick_once_each_on_both_kinds_of_broker() {
    for ledger in [false, true] {
        let (world, notes) = (World::new(), Notes::default());
        let mut lives = Vec::new();
        for name in ["one", "two", "three"] {
            let builder = if ledger { world.ledger(name) } else { world.foreign(name) };
            let builder = builder.registry(ticks(&notes, Duration::ZERO)).pool(queue(), 2);
            lives.push(Live::start(builder.cron(schedule("* * * * *"))));
        }
        sleep(Duration::from_secs(3600 + 30)).await;
        let all = notes.all();
        let distinct: BTreeSet<_> = all.iter().collect();
        assert_eq!((all.len(), distinct.len()), (60, 60), "ledger {ledger}");
        for live in lives {
            live.stop().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn ticks_survive_a_store_that_fails_half_of_the_time() {
    let (world, notes) = (World::new(), Notes::default());
    let mut calls = 0_u32;
    world.store.faults().plan(move |call| {
        calls += 1;
        match (call, calls % 4) {
            ("store.accept" | "store.advance" | "store.last_tick", 0) => Fault::Before,
            ("store.accept" | "store.advance", 1) => Fault::After,
            _ => Fault::None,
        }
    });
    let build = |name| world.foreign(name).registry(ticks(&notes, Duration::ZERO)).pool(queue(), 2);
    let lives = ["one", "two"].map(|name| Live::start(build(name).cron(schedule("@every 30s"))));
    until("forty ticks", async || notes.count() >= 40).await;
    let all = notes.all();
    let distinct: BTreeSet<_> = all.iter().collect();
    assert_eq!(all.len(), distinct.len(), "a tick ran twice");
    for live in lives {
        live.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn missed_ticks_follow_the_policy() {
    for (missed, expected) in [(Missed::Skip, 0), (Missed::RunOnce, 1), (Missed::CatchUp(5), 5)] {
        let (world, notes) = (World::new(), Notes::default());
        let clock: &dyn backshift_core::Clock = &world.clock;
        world.store.last_tick("ticker", clock.now()).await.unwrap();
        // Nobody is there for ten hours and a half.
        sleep(Duration::from_secs(10 * 3600 + 1800)).await;
        let builder = world.foreign("w").registry(ticks(&notes, Duration::ZERO)).pool(queue(), 2);
        let live = Live::start(builder.cron(schedule("0 * * * *").missed(missed)));
        sleep(Duration::from_secs(600)).await;
        assert_eq!(notes.count(), expected, "{missed:?}");
        until("the next tick on time", async || notes.count() == expected + 1).await;
        live.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn overlap_is_allowed_or_left_out() {
    for (overlap, at_least, at_most) in [(Overlap::Allow, 10, 10), (Overlap::Skip, 4, 5)] {
        let (world, notes) = (World::new(), Notes::default());
        let builder = world.ledger("w").registry(ticks(&notes, Duration::from_secs(130))).pool(queue(), 20);
        let broker: Arc<dyn backshift_core::Broker> = Arc::new(world.store.broker());
        let client = Client::new(broker, Some(Arc::new(world.store.clone())));
        let builder = builder.client(client).cron(schedule("@every 60s").overlap(overlap));
        let live = Live::start(builder);
        sleep(Duration::from_secs(615)).await;
        let count = notes.count();
        assert!((at_least..=at_most).contains(&count), "{overlap:?}: {count}");
        live.stop().await;
        assert_eq!(world.store.count(State::Dead), 0);
    }
}

/// The clock of a machine that somebody sets.
#[derive(Clone)]
struct SetClock(TokioClock, Arc<AtomicI64>);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        self.0.now() + jiff::SignedDuration::from_secs(self.1.load(Ordering::SeqCst))
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_repeats_no_tick() {
    for step in [-1800, 3600] {
        let (world, notes) = (World::new(), Notes::default());
        let clock = SetClock(world.clock, Arc::default());
        let builder = world.ledger("w").clock(Arc::new(clock.clone()));
        let builder = builder.registry(ticks(&notes, Duration::ZERO)).pool(queue(), 2);
        let live = Live::start(builder.cron(schedule("* * * * *").missed(Missed::Skip)));
        sleep(Duration::from_secs(600 + 30)).await;
        assert_eq!(notes.count(), 10);
        clock.1.store(step, Ordering::SeqCst);
        // Set back, the ticks of that time have been; set forwards, those of that time are missed.
        sleep(Duration::from_secs(40 * 60)).await;
        let all = notes.all();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "set by {step} s, a tick ran twice");
        let expected = 50 + if step < 0 { step / 60 } else { 0 };
        let went_on = usize::try_from(expected).unwrap();
        assert!((went_on - 1..=went_on + 1).contains(&all.len()), "set by {step} s: {} ticks", all.len());
        live.stop().await;
    }
}
