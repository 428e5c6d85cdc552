//! Chapter *close*: an orderly end gives everything back and hangs nowhere.
//!
//! `quiet` is the first step of a drain: what is handed out stays settleable, what is not goes to others at once.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use backshift_core::Capability;

use super::scene::{Scene, ack, job, nothing, take, take_many};
use crate::{
    conformance::case::{Failure, Outcome, Verdict, cases, ensure},
    wait::{self, PATIENCE},
};

cases! { Scene:
    b70_quiet_consumer_takes_nothing_more,
    b71_quiet_gives_back_what_was_not_handed_out,
    b72_close_ends_at_once_and_twice,
    b73_closed_broker_answers_errors,
    b74_settled_before_close_stays_settled,
    b75_what_a_dropped_call_took_is_put_back_uncounted,
}

async fn b70_quiet_consumer_takes_nothing_more(scene: Scene) -> Verdict {
    scene.publish(scene.envelope("held")).await?;
    let mut consumer = scene.consumer(3).await?;
    let held = take(&mut consumer).await?;
    consumer.quiet().await;
    scene.publish(scene.envelope("new")).await?;
    // Less than the lease: what is held is to be settled after it.
    let after = timeout(scene.lease / 2, consumer.next(2)).await;
    ensure!(!matches!(&after, Ok(Ok(batch)) if !batch.is_empty()), "a quiet consumer took {after:?}");
    ack(held).await?;
    Ok(Outcome::Pass)
}

async fn b71_quiet_gives_back_what_was_not_handed_out(scene: Scene) -> Verdict {
    scene.publish_many(8).await?;
    let mut consumer = scene.consumer(8).await?;
    let held = take_many(&mut consumer, 2).await?;
    consumer.quiet().await;
    let mut other = scene.consumer_of(&scene.connect().await?, 8).await?;
    for delivery in take_many(&mut other, 6).await? {
        ensure!(
            job(&delivery)?.attempt == 1,
            "a job that nobody started counts attempt {}",
            job(&delivery)?.attempt
        );
        ack(delivery).await?;
    }
    for delivery in held {
        ack(delivery).await?;
    }
    nothing(&mut other, scene.lease * 2).await?;
    Ok(Outcome::Pass)
}

async fn b72_close_ends_at_once_and_twice(scene: Scene) -> Verdict {
    scene.publish_many(2).await?;
    let broker = scene.connect().await?;
    let mut consumer = scene.consumer_of(&broker, 2).await?;
    let held = take(&mut consumer).await?;
    for time in ["first", "second"] {
        let closed = wait::within(PATIENCE, broker.close()).await;
        closed.ok_or_else(|| Failure::new(format!("the {time} close did not end within {PATIENCE:?}")))??;
    }
    drop((held, consumer));
    let mut other = scene.consumer(2).await?;
    take_many(&mut other, 2).await?;
    Ok(Outcome::Pass)
}

async fn b73_closed_broker_answers_errors(scene: Scene) -> Verdict {
    let broker = scene.connect().await?;
    broker.close().await?;
    let answers = wait::within(PATIENCE, broker.publish(vec![scene.envelope("x")])).await;
    let answers = answers.ok_or_else(|| Failure::new("publish hangs on a closed broker"))?;
    ensure!(answers.len() == 1 && answers[0].is_err(), "a closed broker answered {answers:?}");
    let consumer = wait::within(PATIENCE, scene.consumer_of(&broker, 1)).await;
    let consumer = consumer.ok_or_else(|| Failure::new("consume hangs on a closed broker"))?;
    ensure!(consumer.is_err(), "a closed broker gave out a consumer");
    nothing(&mut scene.consumer(1).await?, Duration::from_millis(300)).await?;
    Ok(Outcome::Pass)
}

async fn b74_settled_before_close_stays_settled(scene: Scene) -> Verdict {
    scene.publish_many(20).await?;
    let broker = scene.connect().await?;
    let mut consumer = scene.consumer_of(&broker, 20).await?;
    // All at once, as an engine's slots do: one after the other, a slow server would outlast the lease.
    futures::future::try_join_all(take_many(&mut consumer, 20).await?.into_iter().map(ack)).await?;
    broker.close().await?;
    drop(consumer);
    nothing(&mut scene.consumer(1).await?, scene.lease * 3).await?;
    Ok(Outcome::Pass)
}

async fn b75_what_a_dropped_call_took_is_put_back_uncounted(scene: Scene) -> Verdict {
    let mut consumer = scene.consumer(4).await?;
    scene.publish_many(4).await?;
    let asked = Instant::now();
    // Polled once: what it began goes on without it. A call that is over at once leaves nothing behind.
    if let Ok(batch) = timeout(Duration::ZERO, consumer.next(4)).await {
        futures::future::try_join_all(batch?.into_iter().map(ack)).await?;
        return Ok(Outcome::Pass);
    }
    consumer.put_back().await;
    // A broker without leases keeps them for this consumer.
    let other = match scene.claims(Capability::Lease) {
        true => Some(scene.consumer_of(&scene.connect().await?, 4).await?),
        false => None,
    };
    let mut taker = other.unwrap_or(consumer);
    for delivery in take_many(&mut taker, 4).await? {
        let (attempt, crashes) =
            (job(&delivery)?.attempt, delivery.start.as_ref().map_or(0, |start| start.crashes));
        if (attempt, crashes) != (1, 0) {
            let text = format!("put back, and it counts attempt {attempt} and {crashes} crashes");
            return Err(Failure::unless_overtaken(asked.elapsed() >= scene.lease, text));
        }
        ack(delivery).await?;
    }
    Ok(Outcome::Pass)
}
