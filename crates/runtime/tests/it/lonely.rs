//! A job that ended its worker's process three times runs alone, and after twenty lonely ends it is dead.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use backshift_core::{
    Consumer, JobId, JobOptions, Kind, QueueName, Registry, State,
    store::{Jobs, Maintenance, Queues},
};
use backshift_runtime::WorkerBuilder;

use crate::{
    stand_in::{Deaf, StandIn},
    world::{Live, Notes, World, handler, publish, queue, until},
};

/// Kills three workers while each runs the job.
async fn kill_three_workers(world: &World, id: JobId, build: impl Fn(&str) -> WorkerBuilder) {
    for start in 1..=3 {
        let live = Live::start(build(&format!("w{start}")));
        until("a start", async || world.row(id).await.token.0 == start).await;
        live.kill().await;
        world.store.expire_lease(id);
    }
}

#[tokio::test(start_paused = true)]
async fn a_suspect_runs_alone_over_all_pools_of_the_process() {
    let world = World::new();
    let other_queue = QueueName::new("other").unwrap();
    let (inside, notes) = (Arc::new(AtomicUsize::new(0)), Notes::default());
    let (seen, busy) = (notes.clone(), Arc::clone(&inside));
    let suspect = move |context: backshift_core::JobContext| {
        let (seen, busy) = (seen.clone(), Arc::clone(&busy));
        async move {
            if context.starts() > 3 {
                seen.add(format!("beside {}", busy.load(Ordering::SeqCst)));
                context.sleep(Duration::from_secs(5)).await;
                seen.add(format!("beside {}", busy.load(Ordering::SeqCst)));
                return Ok(());
            }
            std::future::pending().await
        }
    };
    let neighbour = move |context: backshift_core::JobContext| {
        let inside = Arc::clone(&inside);
        async move {
            inside.fetch_add(1, Ordering::SeqCst);
            context.sleep(Duration::from_secs(2)).await;
            inside.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        }
    };
    let registry = handler("suspect", JobOptions::default(), suspect).with_raw(
        &Kind::new("neighbour").unwrap(),
        JobOptions::default(),
        neighbour,
    );
    let build = |name: &str| {
        let builder = world.ledger(name).registry(registry.clone());
        builder.pool(queue(), 4).pool(other_queue.clone(), 4)
    };
    let id = publish(&world.store.broker(), world.envelope("suspect")).await;
    kill_three_workers(&world, id, &build).await;
    for place in 0..40 {
        let mut envelope = world.envelope("neighbour");
        if place % 2 == 0 {
            envelope.queue = other_queue.clone();
        }
        publish(&world.store.broker(), envelope).await;
    }
    let live = Live::start(build("last"));
    let row = world.until_state(id, State::Completed).await;
    assert_eq!((row.crashes, row.attempt), (3, 1));
    assert_eq!(notes.all(), ["beside 0", "beside 0"]);
    until("the neighbours", async || world.store.count(State::Completed) == 41).await;
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_other_pools_have_ready_is_put_back_before_a_suspect_runs() {
    let world = World::new();
    let (deaf, notes) = (Deaf::default(), Notes::default());
    let (seen, written) = (Arc::clone(&deaf.0), notes.clone());
    let suspect = move |context: backshift_core::JobContext| {
        let (seen, written) = (Arc::clone(&seen), written.clone());
        async move {
            if context.starts() <= 3 {
                std::future::pending::<()>().await;
            }
            written.add(format!("put back {}", seen.load(Ordering::SeqCst)));
            Ok(())
        }
    };
    let registry = handler("suspect", JobOptions::default(), suspect);
    let consumer =
        move |name: &QueueName| (*name != queue()).then(|| Box::new(deaf.clone()) as Box<dyn Consumer>);
    let broker = Arc::new(StandIn { honest: Arc::new(world.store.broker()), consumer });
    let build = |name: &str| {
        let builder = world.bare(name).broker(broker.clone()).store(Arc::new(world.store.clone()));
        builder.registry(registry.clone()).pool(queue(), 4).pool(QueueName::new("other").unwrap(), 4)
    };
    let id = publish(&world.store.broker(), world.envelope("suspect")).await;
    kill_three_workers(&world, id, &build).await;
    let live = Live::start(build("last"));
    world.until_state(id, State::Completed).await;
    assert_eq!(notes.all(), ["put back 1"]);
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_ends_among_the_dead() {
    let world = World::new();
    let registry = handler("a", JobOptions::default(), |_| std::future::pending());
    let id = publish(&world.store.broker(), world.envelope("a")).await;
    let mut starts = 0;
    while world.row(id).await.state != State::Dead {
        starts += 1;
        let live = Live::start(world.ledger("w").registry(registry.clone()).pool(queue(), 1));
        until("a start or the end", async || {
            let row = world.row(id).await;
            row.token.0 >= starts || row.state == State::Dead
        })
        .await;
        live.kill().await;
        world.store.expire_lease(id);
    }
    let row = world.row(id).await;
    assert_eq!((row.reason.as_deref(), row.crashes, row.attempt), (Some("crash-loop"), 23, 1));
}

/// A suspect that ends its worker three times, short jobs that note who did them, and long ones.
fn three_kinds(notes: &Notes) -> Registry {
    let written = notes.clone();
    let suspect = |context: backshift_core::JobContext| async move {
        if context.starts() <= 3 {
            std::future::pending::<()>().await;
        }
        Ok(())
    };
    let short = move |context: backshift_core::JobContext| {
        let written = written.clone();
        async move {
            context.sleep(Duration::from_millis(100)).await;
            written.add(context.worker().to_string());
            Ok(())
        }
    };
    let long = |context: backshift_core::JobContext| async move {
        context.sleep(Duration::from_secs(8)).await;
        Ok(())
    };
    handler("suspect", JobOptions::default(), suspect)
        .with_raw(&Kind::new("short").unwrap(), JobOptions::default(), short)
        .with_raw(&Kind::new("long").unwrap(), JobOptions::default(), long)
}

/// Four workers, each with a neighbour that takes longer than the first patience, two suspects, and plenty of short jobs.
async fn go_on(ledger: bool) {
    let (world, notes) = (World::new(), Notes::default());
    let registry = three_kinds(&notes);
    let build = |name: &str| {
        let builder = if ledger { world.ledger(name) } else { world.foreign(name) };
        builder.registry(registry.clone()).pool(queue(), 4)
    };
    let send = async |kind: &str| match ledger {
        true => publish(&world.store.broker(), world.envelope(kind)).await,
        false => world.publish(kind).await,
    };
    let suspects = [send("suspect").await, send("suspect").await];
    for start in 1..=3 {
        let live = Live::start(build(&format!("killed{start}")));
        until("both to start", async || {
            let mut tokens = Vec::new();
            for id in suspects {
                tokens.push(world.store.find(id).await.unwrap().map_or(0, |row| row.token.0));
            }
            tokens == [start, start]
        })
        .await;
        live.kill().await;
        suspects.iter().for_each(|id| world.store.expire_lease(*id));
        // Now, so that they stand before what comes.
        world.store.rescue().await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for _ in 0..3 {
        send("long").await;
    }
    for _ in 0..2000 {
        send("short").await;
    }
    let lives: Vec<Live> = ["one", "two", "three", "four"].map(|name| Live::start(build(name))).into();
    until("a suspect's fourth start", async || {
        world.row(suspects[0]).await.token.0 > 3 || world.row(suspects[1]).await.token.0 > 3
    })
    .await;
    let before = notes.count();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let mut went_on = notes.all().split_off(before);
    went_on.sort();
    went_on.dedup();
    assert!(went_on.len() >= 3, "only {went_on:?} took jobs, ledger {ledger}");
    for id in suspects {
        let row = world.until_state(id, State::Completed).await;
        assert_eq!((row.attempt, row.crashes), (1, 3), "ledger {ledger}");
    }
    for live in lives {
        live.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_others_go_on_while_a_suspect_waits_for_its_neighbours() {
    go_on(true).await;
    go_on(false).await;
}

/// Ends three workers at their first three starts, then takes this long.
fn suspect_for(time: Duration) -> Registry {
    handler("suspect", JobOptions::default(), move |context: backshift_core::JobContext| async move {
        if context.starts() <= 3 {
            std::future::pending::<()>().await;
        }
        context.sleep(time).await;
        Ok(())
    })
}

#[tokio::test(start_paused = true)]
async fn patience_doubles_with_each_moment_that_was_not_quiet() {
    let world = World::new();
    let other = QueueName::new("other").unwrap();
    let long = |context: backshift_core::JobContext| async move {
        context.sleep(Duration::from_secs(200)).await;
        Ok(())
    };
    let registry =
        suspect_for(Duration::ZERO).with_raw(&Kind::new("long").unwrap(), JobOptions::default(), long);
    let build = |name: &str| {
        let builder = world.ledger(name).registry(registry.clone());
        builder.pool(queue(), 2).pool(other.clone(), 2)
    };
    let id = publish(&world.store.broker(), world.envelope("suspect")).await;
    kill_three_workers(&world, id, &build).await;
    world.store.pause(&queue(), true).await.unwrap();
    let mut envelope = world.envelope("long");
    envelope.queue = other.clone();
    let neighbour = publish(&world.store.broker(), envelope).await;
    let live = Live::start(build("last"));
    world.until_state(neighbour, State::Running).await;
    world.store.pause(&queue(), false).await.unwrap();
    let row = world.until_state(id, State::Completed).await;
    assert_eq!((row.attempt, row.crashes), (1, 3));
    let starts = world.store.attempts(id).await.unwrap();
    let waited = |start: &backshift_core::AttemptRecord| {
        start.ended_at.unwrap().duration_since(start.started_at).as_secs()
    };
    let waited: Vec<i64> = starts[3..].iter().map(waited).collect();
    assert_eq!(waited[..5], [5, 10, 20, 40, 80], "{waited:?}");
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_seat_that_is_taken_is_asked_for_every_few_seconds_and_not_every_one() {
    let world = World::new();
    let registry = suspect_for(Duration::from_secs(60));
    let build = |name: &str| world.foreign(name).registry(registry.clone()).pool(queue(), 2);
    let suspects = [world.publish("suspect").await, world.publish("suspect").await];
    for start in 1..=3 {
        let live = Live::start(build(&format!("w{start}")));
        until("both to start", async || {
            let mut started = 0;
            for id in suspects {
                let row = world.store.find(id).await.unwrap();
                started += usize::from(row.is_some_and(|row| row.token.0 == start));
            }
            started == 2
        })
        .await;
        live.kill().await;
        suspects.iter().for_each(|id| world.store.expire_lease(*id));
    }
    let lives = ["one", "two"].map(|name| Live::start(build(name)));
    let mut most = 0;
    for id in suspects {
        let row = world.until_state(id, State::Completed).await;
        assert_eq!((row.attempt, row.crashes), (1, 3));
        most = most.max(row.token.0);
    }
    // Three crashes, the run, and in the minute of the other one a look every five seconds or so.
    assert!((6..=4 + 20).contains(&most), "it was started {most} times");
    for live in lives {
        live.stop().await;
    }
}
