//! A job that ended its worker's process three times runs alone, and after twenty lonely ends it is dead.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use backshift_core::{Consumer, JobId, JobOptions, Kind, QueueName, State};
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
