//! What people see of the engine: metrics, workers in the ledger, parts that come back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use backshift_core::{
    JobError, JobOptions, QueueName, State,
    store::{Ledger, Maintenance},
};
use backshift_runtime::{Guarantee, middleware::Metrics};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::time::sleep;

use crate::{
    stand_in::StandIn,
    world::{LEASE, Live, World, handler, limits, publish, queue, until},
};

#[test]
fn what_happens_is_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let (handle, runtime) = (recorder.handle(), tokio::runtime::Builder::new_current_thread());
    let runtime = { runtime }.enable_time().start_paused(true).build().unwrap();
    metrics::with_local_recorder(&recorder, || runtime.block_on(work_a_little()));
    let text = handle.render();
    for line in [
        "backshift_jobs_taken_total{kind=\"a\",queue=\"work\"} 3",
        "backshift_jobs_completed_total{kind=\"a\",queue=\"work\"} 3",
        "backshift_attempts_failed_total{kind=\"a\",queue=\"work\"} 3",
        "backshift_attempt_duration_seconds_count{kind=\"a\",queue=\"work\"} 6",
        "backshift_jobs_running 0",
        "backshift_queue_depth{queue=\"work\"} 0",
        "backshift_jobs_enqueued_per_second 0",
        "backshift_jobs_taken_per_second{queue=\"work\"}",
        "backshift_pools_consuming 1",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}

/// Three jobs that fail once each.
async fn work_a_little() {
    let world = World::new();
    let registry = handler("a", limits(3, Duration::from_secs(60)), |context| async move {
        if context.attempt() == 1 { Err(JobError::retry("once")) } else { Ok(()) }
    });
    let builder = world.foreign("w").middleware(Metrics);
    let live = Live::start(builder.registry(registry).pool(queue(), 2));
    for _ in 0..3 {
        world.publish("a").await;
    }
    until("three ends", async || world.store.count(State::Completed) == 3).await;
    sleep(Duration::from_secs(6)).await;
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_shows_itself() {
    let world = World::new();
    let live = Live::start(world.foreign("shown").pool(queue(), 7));
    until("the announcement", async || !world.store.workers().await.unwrap().is_empty()).await;
    let workers = world.store.workers().await.unwrap();
    assert_eq!((workers[0].name.as_str(), workers[0].queues.as_str()), ("shown", "work:7"));
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(
        world.store.workers().await.unwrap().len(),
        1,
        "its sign of life is fresh after an hour of idling"
    );
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_store_handle_a_sql_lease_is_kept_through_the_receipt() {
    let world = World::new();
    let registry = handler("a", JobOptions::default(), |context| async move {
        context.sleep(LEASE * 5).await;
        Ok(())
    });
    let bare = world.bare("w").broker(Arc::new(world.store.broker()));
    let live = Live::start(bare.registry(registry).pool(queue(), 1));
    assert_eq!(live.readiness.report().pools[0].guarantee, Guarantee::Fenced);
    let id = publish(&world.store.broker(), world.envelope("a")).await;
    until("the end", async || {
        world.store.rescue().await.unwrap();
        world.store.count(State::Completed) == 1
    })
    .await;
    let row = world.row(id).await;
    assert_eq!((row.crashes, row.token.0), (0, 1));
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_part_that_crashed_is_started_anew() {
    let world = World::new();
    let registry = handler("a", JobOptions::default(), |_| async { Ok(()) });
    let asked = AtomicUsize::new(0);
    let clumsy = move |_: &QueueName| {
        assert!(asked.fetch_add(1, Ordering::Relaxed) >= 2, "a bug in an adapter");
        None
    };
    let broker = StandIn { honest: Arc::new(world.broker.clone()), consumer: clumsy };
    let builder = world.bare("w").broker(Arc::new(broker)).store(Arc::new(world.store.clone()));
    let live = Live::start(builder.registry(registry).pool(queue(), 1));
    let id = world.publish("a").await;
    world.until_state(id, State::Completed).await;
    live.stop().await;
}
