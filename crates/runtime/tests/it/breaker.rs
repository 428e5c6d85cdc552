//! Circuit breakers: open means snooze, no attempt is burnt, and one probe closes the circuit again.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use backshift_core::{
    JobError, JobOptions, State,
    store::{BreakerPolicy, Breakers},
};
use backshift_runtime::middleware::{Breaker, Trace};
use tokio::time::{Instant, sleep};

use crate::world::{Live, World, handler, publish, queue, until};

const POLICY: BreakerPolicy =
    BreakerPolicy { failures: 3, open_for: Duration::from_secs(30), open_at_most: Duration::from_secs(300) };

#[tokio::test(start_paused = true)]
async fn an_open_breaker_burns_no_attempt_and_lets_one_probe_through() {
    let world = World::new();
    let (down, calls) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let (is_down, called) = (Arc::clone(&down), Arc::clone(&calls));
    let options = JobOptions { dependency: Some("mailer"), max_attempts: Some(5), ..JobOptions::default() };
    let registry = handler("a", options, move |_| {
        called.fetch_add(1, Ordering::Relaxed);
        let down = is_down.load(Ordering::Relaxed);
        async move { if down { Err(JobError::retry("421 try later")) } else { Ok(()) } }
    });
    let breaker = Arc::new(Breaker::new(registry.clone(), POLICY));
    let builder = world.foreign("w").middleware(Trace).middleware(breaker);
    let live = Live::start(builder.registry(registry).pool(queue(), 1));
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(world.publish("a").await);
    }
    until("the circuit to open", async || {
        world.store.breakers().await.unwrap().iter().any(|breaker| breaker.state == "open")
    })
    .await;
    sleep(Duration::from_secs(600)).await;
    // Three failures opened it; then one probe at 30 s, 90 s, 210 s, 450 s …
    let calls = calls.load(Ordering::Relaxed);
    assert!((6..=9).contains(&calls), "{calls} calls reached a dependency that is down");
    let mut burnt = 0;
    for id in &ids {
        burnt += world.row(*id).await.attempt - 1;
    }
    assert_eq!(burnt as usize, calls, "only calls that were made count as attempts");
    down.store(false, Ordering::Relaxed);
    for id in ids {
        world.until_state(id, State::Completed).await;
    }
    let shown = world.store.breakers().await.unwrap();
    assert!(matches!(shown[0].state.as_str(), "returning" | "closed"), "{shown:?}");
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_backlog_comes_back_step_by_step() {
    let world = World::new();
    let (down, calls) = (Arc::new(AtomicBool::new(true)), Arc::new(Mutex::new(Vec::new())));
    let (is_down, called) = (Arc::clone(&down), Arc::clone(&calls));
    let options = JobOptions { dependency: Some("mailer"), max_attempts: Some(50), ..JobOptions::default() };
    let registry = handler("a", options, move |_| {
        let down = is_down.load(Ordering::Relaxed);
        if !down {
            called.lock().unwrap().push(Instant::now());
        }
        async move { if down { Err(JobError::retry("421 try later")) } else { Ok(()) } }
    });
    let breaker = Arc::new(Breaker::new(registry.clone(), POLICY));
    let mut lives = Vec::new();
    for name in ["one", "two", "three"] {
        let builder = world.ledger(name).middleware(Arc::clone(&breaker));
        lives.push(Live::start(builder.registry(registry.clone()).pool(queue(), 200)));
    }
    for _ in 0..1000 {
        publish(&world.store.broker(), world.envelope("a")).await;
    }
    until("the circuit to open", async || {
        world.store.breakers().await.unwrap().iter().any(|breaker| breaker.state == "open")
    })
    .await;
    down.store(false, Ordering::Relaxed);
    until("all to complete", async || world.store.count(State::Completed) == 1000).await;
    assert_eq!(world.store.breakers().await.unwrap()[0].state, "closed");
    let calls = calls.lock().unwrap().clone();
    // The probe, then 2, 4, 8 … a second over the whole fleet.
    let mut most = 1;
    for step in [2, 4, 8, 16, 32, 64] {
        most += step;
        let at = calls.get(most).expect("a thousand jobs").duration_since(calls[0]);
        let steps = u64::from((step as u32).ilog2());
        assert!(at >= Duration::from_secs(steps) * 9 / 10, "{most} calls within {at:?}");
    }
    for live in lives {
        live.stop().await;
    }
}
