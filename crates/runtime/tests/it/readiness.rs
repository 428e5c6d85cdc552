//! Ready means consuming; pauses are no fault; a stuck queue gets a new consumer and then a new process.

use std::{sync::Arc, time::Duration};

use backshift_core::{
    Consumer, JobOptions, QueueName, State,
    store::{Jobs, Queues},
};
use backshift_runtime::RunError;
use tokio::time::{Instant, sleep};

use crate::{
    stand_in::{Deaf, StandIn},
    world::{Live, World, handler, publish, queue, until},
};

#[tokio::test(start_paused = true)]
async fn a_paused_queue_is_left_alone_and_the_worker_stays_ready() {
    for ledger in [false, true] {
        let world = World::new();
        let registry = handler("a", JobOptions::default(), |_| async { Ok(()) });
        let builder = if ledger { world.ledger("w") } else { world.foreign("w") };
        let live = Live::start(builder.registry(registry).pool(queue(), 1));
        until("readiness", async || live.readiness.is_ready()).await;
        world.store.pause(&queue(), true).await.unwrap();
        until("the pause", async || live.readiness.report().pools[0].paused).await;
        let envelope = world.envelope("a");
        let id = match ledger {
            true => publish(&world.store.broker(), envelope).await,
            false => publish(&world.broker, envelope).await,
        };
        sleep(Duration::from_secs(300)).await;
        assert!(world.store.find(id).await.unwrap().is_none_or(|row| row.state == State::Available));
        assert!(live.readiness.is_ready(), "{:?}", live.readiness.report());
        world.store.pause(&queue(), false).await.unwrap();
        world.until_state(id, State::Completed).await;
        live.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stuck_queue_is_not_ready_and_ends_the_worker_after_a_new_consumer_did_not_help() {
    let world = World::new();
    world.publish("a").await;
    let deaf = |_: &QueueName| Some(Box::new(Deaf::default()) as Box<dyn Consumer>);
    let broker = StandIn { honest: Arc::new(world.broker.clone()), consumer: deaf };
    let live = Live::start(world.bare("w").broker(Arc::new(broker)).pool(queue(), 1));
    let began = Instant::now();
    until("readiness", async || live.readiness.is_ready()).await;
    until("the fault to show", async || live.readiness.report().pools[0].stuck).await;
    assert!((30..=45).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    let error = live.end().await.unwrap_err();
    assert!(matches!(error, RunError::Stuck(stuck) if stuck == queue()));
    assert!(began.elapsed() <= Duration::from_secs(120), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_idle_queue_is_not_stuck() {
    let world = World::new();
    let registry = handler("a", JobOptions::default(), |_| async { Ok(()) });
    let live = Live::start(world.foreign("w").registry(registry).pool(queue(), 1));
    sleep(Duration::from_secs(24 * 3600)).await;
    assert!(live.readiness.is_ready());
    let id = world.publish("a").await;
    world.until_state(id, State::Completed).await;
    live.stop().await;
}

#[test]
fn a_worker_says_what_it_lacks() {
    let nameless = backshift_runtime::Worker::builder().build().err().unwrap();
    assert!(nameless.to_string().contains("name()"));
    let brokerless = backshift_runtime::Worker::builder().pool(queue(), 1).build().err().unwrap();
    assert!(brokerless.to_string().contains("broker()"));
}
