//! How attempts end, and what that means for the job in the ledger and at the broker.

use std::time::Duration;

use backshift_core::{Bytes, JobContext, JobError, JobOptions, JobResult, State, store::Jobs};
use backshift_runtime::Guarantee;

use crate::world::{Live, Notes, World, handler, limits, publish, queue, until};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_success_completes_the_job_and_keeps_what_the_handler_said() {
    let world = World::new();
    let work = async |context: JobContext| -> JobResult {
        context.output("42");
        context.note("fine");
        Ok(())
    };
    let registry = handler("a", JobOptions::default(), move |context| async move { work(context).await });
    let live = Live::start(world.foreign("w").registry(registry).pool(queue(), 4));
    let id = world.publish("a").await;
    let row = world.until_state(id, State::Completed).await;
    assert_eq!((row.output, row.note.as_deref()), (Some(Bytes::from("42")), Some("fine")));
    live.stop().await;
    assert!(world.broker.is_empty(&queue()));
}

#[tokio::test(start_paused = true)]
async fn errors_and_panics_are_retried_with_their_attempt_numbers() {
    let (world, notes) = (World::new(), Notes::default());
    let seen = notes.clone();
    let registry = handler("a", JobOptions::default(), move |context| {
        let seen = seen.clone();
        async move {
            seen.add(format!("{}/{}", context.attempt(), context.starts()));
            match context.attempt() {
                1 => Err(JobError::retry("no luck")),
                2 => panic!("no luck at all"),
                _ => Ok(()),
            }
        }
    });
    let live = Live::start(world.foreign("w").registry(registry).pool(queue(), 4));
    let id = world.publish("a").await;
    world.until_state(id, State::Completed).await;
    assert_eq!(notes.all(), ["1/1", "2/2", "3/3"]);
    assert_eq!(world.outcomes(id).await, ["error", "panic", "completed"]);
    live.stop().await;
    assert!(world.broker.is_empty(&queue()) && world.broker.dead(&queue()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn exhausted_attempts_and_permanent_errors_are_dead_in_both_places() {
    let world = World::new();
    let registry = handler("tries", limits(3, MINUTE), |_| async { Err(JobError::retry("never")) });
    let permanent = |_: JobContext| async { Err(JobError::permanent("hopeless")) };
    let registry =
        registry.with_raw(&backshift_core::Kind::new("hopeless").unwrap(), JobOptions::default(), permanent);
    let live = Live::start(world.foreign("w").registry(registry).pool(queue(), 4));
    let (tries, hopeless) = (world.publish("tries").await, world.publish("hopeless").await);
    let tries = world.until_state(tries, State::Dead).await;
    assert_eq!((tries.attempt, tries.reason.as_deref()), (3, Some("attempts-exhausted")));
    let hopeless = world.until_state(hopeless, State::Dead).await;
    assert_eq!((hopeless.attempt, hopeless.reason.as_deref()), (1, Some("permanent")));
    until("both dead letters", async || world.broker.dead(&queue()).len() == 2).await;
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_snooze_counts_no_attempt_and_an_asked_cancel_ends_the_job() {
    let world = World::new();
    let registry = handler("a", limits(1, MINUTE), |context| async move {
        match context.starts() {
            1..=3 => Err(JobError::snooze(MINUTE, "not yet")),
            _ => Err(JobError::cancel("no longer wanted")),
        }
    });
    let live = Live::start(world.foreign("w").registry(registry).pool(queue(), 4));
    let id = world.publish("a").await;
    let row = world.until_state(id, State::Cancelled).await;
    assert_eq!((row.attempt, row.token.0), (1, 4));
    assert_eq!(world.outcomes(id).await, ["released", "released", "released", "cancelled"]);
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_time_out_stops_the_handler_even_when_it_does_not_listen() {
    let (world, notes) = (World::new(), Notes::default());
    let seen = notes.clone();
    let registry = handler("a", limits(2, Duration::from_secs(10)), move |context| {
        let seen = seen.clone();
        async move {
            if context.attempt() == 1 {
                context.cancelled().await;
                seen.add("told");
                return Err(JobError::retry("stopping as told"));
            }
            std::future::pending::<JobResult>().await
        }
    });
    let live = Live::start(world.foreign("w").registry(registry).pool(queue(), 1));
    let id = world.publish("a").await;
    let row = world.until_state(id, State::Dead).await;
    assert!(row.error.unwrap().contains("time-out of 10s"));
    assert_eq!(notes.all(), ["told"]);
    assert_eq!(world.outcomes(id).await, ["timeout", "dead"]);
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_person_cancels_a_running_job() {
    let world = World::new();
    let registry = handler("a", JobOptions::default(), |context| async move {
        context.cancelled().await;
        Err(JobError::retry("told to stop"))
    });
    let live = Live::start(world.ledger("w").registry(registry).pool(queue(), 1));
    let id = publish(&world.store.broker(), world.envelope("a")).await;
    world.until_state(id, State::Running).await;
    world.store.cancel(id).await.unwrap();
    world.until_state(id, State::Cancelled).await;
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn progress_reaches_the_ledger_with_the_heartbeat() {
    let world = World::new();
    let registry = handler("a", JobOptions::default(), |context| async move {
        context.progress(40, "halfway, nearly");
        context.sleep(Duration::from_secs(40)).await;
        Ok(())
    });
    let live = Live::start(world.foreign("w").registry(registry).pool(queue(), 1));
    let id = world.publish("a").await;
    until("progress", async || {
        matches!(world.store.find(id).await, Ok(Some(row)) if row.progress == Some((40, "halfway, nearly".into())))
    })
    .await;
    world.until_state(id, State::Completed).await;
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_store_a_pool_runs_and_says_so() {
    let (world, notes) = (World::new(), Notes::default());
    let seen = notes.clone();
    let registry = handler("a", limits(2, MINUTE), move |context| {
        let seen = seen.clone();
        async move {
            seen.add(context.attempt().to_string());
            if context.envelope().payload == "dead" || context.attempt() == 1 {
                return Err(JobError::retry("no"));
            }
            Ok(())
        }
    });
    let bare = world.bare("w").broker(std::sync::Arc::new(world.broker.clone()));
    let live = Live::start(bare.registry(registry).pool(queue(), 2));
    assert_eq!(live.readiness.report().pools[0].guarantee, Guarantee::AtLeastOnce);
    world.publish("a").await;
    until("the second attempt", async || notes.count() == 2).await;
    let mut hopeless = world.envelope("a");
    hopeless.payload = "dead".into();
    publish(&world.broker, hopeless).await;
    until("the dead letter", async || world.broker.dead(&queue()).len() == 1).await;
    until("an empty queue", async || world.broker.is_empty(&queue())).await;
    assert_eq!(notes.all(), ["1", "2", "1", "2"]);
    live.stop().await;
}
