//! Rate and concurrency limits per key, shared through the store: over the limit is a snooze, not a failure.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use backshift_core::{JobContext, JobOptions, State, store::Rate};
use backshift_runtime::middleware::{Concurrency, Metrics, RateLimit};
use tokio::time::Instant;

use crate::world::{Live, World, handler, queue, until};

#[tokio::test(start_paused = true)]
async fn a_rate_limit_spreads_jobs_and_burns_no_attempt() {
    let world = World::new();
    let rate = Rate { count: 10, per: Duration::from_secs(60) };
    let limit = Arc::new(RateLimit::new(rate, |context: &JobContext| Some(context.kind().to_string())));
    let registry = handler("a", JobOptions::default(), |_| async { Ok(()) });
    let builder = world.foreign("w").middleware(Metrics).middleware(limit);
    let live = Live::start(builder.registry(registry).pool(queue(), 50));
    let began = Instant::now();
    let mut ids = Vec::new();
    for _ in 0..30 {
        ids.push(world.publish("a").await);
    }
    until("the burst", async || world.store.count(State::Completed) >= 10).await;
    assert!(began.elapsed() < Duration::from_secs(5) && world.store.count(State::Completed) == 10);
    until("all", async || world.store.count(State::Completed) == 30).await;
    assert!(began.elapsed() >= Duration::from_secs(115), "20 more take two minutes: {:?}", began.elapsed());
    for id in ids {
        assert_eq!(world.row(id).await.attempt, 1);
    }
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_concurrency_limit_holds_over_several_workers() {
    let world = World::new();
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (running, seen) = (Arc::clone(&now), Arc::clone(&most));
    let registry = handler("a", JobOptions::default(), move |context| {
        let (running, seen) = (Arc::clone(&running), Arc::clone(&seen));
        async move {
            seen.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            context.sleep(Duration::from_secs(5)).await;
            running.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        }
    });
    let build = |name| {
        let limit = Concurrency::new(Duration::from_secs(1), |_: &JobContext| Some(("tenant-1".into(), 3)));
        world.foreign(name).middleware(limit).registry(registry.clone()).pool(queue(), 10)
    };
    let lives = [Live::start(build("one")), Live::start(build("two"))];
    for _ in 0..20 {
        world.publish("a").await;
    }
    until("all", async || world.store.count(State::Completed) == 20).await;
    assert_eq!(most.load(Ordering::SeqCst), 3);
    for live in lives {
        live.stop().await;
    }
}
