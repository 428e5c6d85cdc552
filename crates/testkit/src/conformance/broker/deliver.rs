//! Chapter *deliver*: nothing is lost, nothing is handed to two, nobody gets more than asked for.
//!
//! B16 drops calls of `next` in mid-air on purpose: the engine does so whenever a slot becomes free.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use backshift_core::{Bytes, Capability, JobId};
use tokio::time::timeout;

use super::scene::{Scene, ack, job, nothing, take, take_many};
use crate::{
    conformance::case::{Failure, Outcome, Verdict, cases, ensure},
    pace,
    servers::unique_queue,
    wait::{self, PATIENCE},
};

cases! { Scene:
    b3_unsettled_delivery_comes_back,
    b11_next_returns_no_more_than_free,
    b12_unsettled_deliveries_stay_within_the_slots,
    b13_each_job_goes_to_one_consumer,
    b14_queues_are_apart,
    b15_next_wakes_up_for_new_work,
    b16_dropped_next_loses_nothing,
    b17_second_delivery_says_so,
    b18_malformed_bytes_are_handed_out_whole,
    b19_a_removed_queue_takes_its_messages_along,
}

async fn b3_unsettled_delivery_comes_back(scene: Scene) -> Verdict {
    let id = scene.publish(scene.envelope("x")).await?;
    let doomed = scene.connect().await?;
    let mut consumer = scene.consumer_of(&doomed, 1).await?;
    let held = take(&mut consumer).await?;
    ensure!(job(&held)?.id == id, "another job came");
    scene.crash(doomed, consumer, vec![held]).await?;
    let again = take(&mut scene.consumer(1).await?).await?;
    let got = job(&again)?;
    ensure!(got.id == id && got.payload == "x", "another job came back: {got:?}");
    ensure!(got.attempt == 1, "a crash counted as an attempt: {}", got.attempt);
    ack(again).await?;
    Ok(Outcome::Pass)
}

async fn b11_next_returns_no_more_than_free(scene: Scene) -> Verdict {
    scene.publish_many(20).await?;
    let mut consumer = scene.consumer(20).await?;
    let mut held = Vec::new();
    for free in [1, 3, 7, 9] {
        // `take_many` fails when a call returns more than it was asked for, or nothing.
        held.extend(take_many(&mut consumer, free).await?);
    }
    let ids: HashSet<JobId> = held.iter().filter_map(|d| d.job.as_ref().ok()).map(|job| job.id).collect();
    ensure!(ids.len() == 20, "{} different jobs in 20 deliveries", ids.len());
    Ok(Outcome::Pass)
}

async fn b12_unsettled_deliveries_stay_within_the_slots(scene: Scene) -> Verdict {
    scene.publish_many(6).await?;
    let mut consumer = scene.consumer(2).await?;
    let asked = Instant::now();
    let mut held = take_many(&mut consumer, 2).await?;
    let mut other = scene.consumer_of(&scene.connect().await?, 4).await?;
    let rest = take_many(&mut other, 4).await?;
    ensure!(rest.len() == 4, "a consumer with two slots kept more than two jobs from the others");
    ack(held.remove(0)).await?;
    let id = scene.publish(scene.envelope("next")).await?;
    let delivery = take(&mut consumer).await?;
    if job(&delivery)?.id != id {
        return Err(Failure::unless_overtaken(asked.elapsed() >= scene.lease, "another job came"));
    }
    Ok(Outcome::Pass)
}

async fn b13_each_job_goes_to_one_consumer(scene: Scene) -> Verdict {
    let ids: HashSet<JobId> = scene.publish_many(60).await?.into_iter().collect();
    let (mut workers, came, begun) = (Vec::new(), Arc::<AtomicUsize>::default(), Instant::now());
    for _ in 0..3 {
        let came = Arc::clone(&came);
        let mut consumer = scene.consumer_of(&scene.connect().await?, 5).await?;
        workers.push(tokio::spawn(async move {
            let mut got = Vec::new();
            let mut calls = 0;
            // All of them, and one call more: what comes twice comes then.
            while calls < 2 && begun.elapsed() < pace::stretched(PATIENCE * 2) {
                calls += usize::from(came.load(Ordering::SeqCst) >= 60);
                let Ok(batch) = timeout(Duration::from_millis(500), consumer.next(5)).await else { continue };
                for delivery in batch? {
                    got.push(job(&delivery)?.id);
                    ack(delivery).await?;
                    came.fetch_add(1, Ordering::SeqCst);
                }
            }
            Ok::<_, Failure>(got)
        }));
    }
    let mut seen = Vec::new();
    for worker in workers {
        seen.extend(worker.await??);
    }
    let different: HashSet<JobId> = seen.iter().copied().collect();
    ensure!(different == ids, "{} of 60 jobs were delivered", different.len());
    ensure!(seen.len() == 60, "{} deliveries of 60 jobs", seen.len());
    Ok(Outcome::Pass)
}

async fn b14_queues_are_apart(mut scene: Scene) -> Verdict {
    let mut consumer = scene.consumer(1).await?;
    let first = scene.queue.clone();
    scene.queue = unique_queue("other");
    scene.broker.declare(&scene.queue).await?;
    scene.publish(scene.envelope("elsewhere")).await?;
    nothing(&mut consumer, scene.lease).await?;
    scene.queue = first;
    let id = scene.publish(scene.envelope("here")).await?;
    let delivery = take(&mut consumer).await?;
    ensure!(job(&delivery)?.id == id, "a job of another queue came");
    Ok(Outcome::Pass)
}

async fn b15_next_wakes_up_for_new_work(scene: Scene) -> Verdict {
    let mut consumer = scene.consumer(1).await?;
    let waiting = tokio::spawn(async move {
        let taken = take(&mut consumer).await;
        (taken, consumer)
    });
    let other = scene.connect().await?;
    let envelope = scene.envelope("wake up");
    let id = envelope.id;
    for answer in other.publish(vec![envelope]).await {
        answer?;
    }
    let (taken, _consumer) = wait::within(Duration::from_secs(3), waiting)
        .await
        .ok_or_else(|| Failure::new("a waiting consumer did not notice new work within 3 s"))??;
    ensure!(job(&taken?)?.id == id, "another job came");
    Ok(Outcome::Pass)
}

async fn b16_dropped_next_loses_nothing(scene: Scene) -> Verdict {
    let mut consumer = scene.consumer(4).await?;
    let ids: HashSet<JobId> = scene.publish_many(40).await?.into_iter().collect();
    let mut seen = HashSet::new();
    let begun = Instant::now();
    let mut patience = Duration::from_micros(50);
    while seen.len() < ids.len() {
        ensure!(
            begun.elapsed() < pace::stretched(PATIENCE),
            "{} of 40 jobs came although calls were dropped",
            seen.len()
        );
        match timeout(patience, consumer.next(4)).await {
            Err(_) => patience = (patience * 2).min(Duration::from_millis(500)),
            Ok(batch) => {
                for delivery in batch? {
                    seen.insert(job(&delivery)?.id);
                    ack(delivery).await?;
                }
                patience = Duration::from_micros(50);
            }
        }
    }
    ensure!(seen == ids, "other jobs came than were published");
    Ok(Outcome::Pass)
}

async fn b17_second_delivery_says_so(scene: Scene) -> Verdict {
    scene.publish(scene.envelope("x")).await?;
    let doomed = scene.connect().await?;
    let mut consumer = scene.consumer_of(&doomed, 1).await?;
    let held = take(&mut consumer).await?;
    let first = held.redelivered || held.start.as_ref().is_some_and(|start| start.starts > 1);
    ensure!(!first, "the first delivery said that it was a second one");
    scene.crash(doomed, consumer, vec![held]).await?;
    let again = take(&mut scene.consumer(1).await?).await?;
    let second = again.redelivered || again.start.as_ref().is_some_and(|start| start.starts > 1);
    ensure!(second, "the second delivery does not say so");
    Ok(Outcome::Pass)
}

async fn b18_malformed_bytes_are_handed_out_whole(scene: Scene) -> Verdict {
    let raw = Bytes::from_static(b"\xffno job of ours\0");
    let put = scene.namespace.publish_malformed(&scene.queue, raw.clone()).await.map_err(Failure::new)?;
    if !put {
        return Ok(Outcome::NotTested("no foreign producer can put other bytes into this broker"));
    }
    let delivery = take(&mut scene.consumer(1).await?).await?;
    match &delivery.job {
        Ok(job) => ensure!(false, "bytes that are no job were delivered as {job:?}"),
        Err(malformed) => {
            ensure!(malformed.raw == raw, "the raw bytes changed: {:?}", malformed.raw);
            ensure!(!malformed.problem.is_empty() && !malformed.source.is_empty(), "no words: {malformed:?}");
        }
    }
    Ok(Outcome::Pass)
}

async fn b19_a_removed_queue_takes_its_messages_along(scene: Scene) -> Verdict {
    let never_made = unique_queue("never-made");
    scene.broker.remove(&never_made).await.map_err(Failure::new)?;
    scene.publish_many(3).await?;
    scene.broker.remove(&scene.queue).await.map_err(Failure::new)?;
    scene.broker.declare(&scene.queue).await.map_err(Failure::new)?;
    let kept = if scene.claims(Capability::Ledger) { 3 } else { 0 };
    let (broker, queue) = (&scene.broker, &scene.queue);
    let settled = wait::until(PATIENCE, || async move { broker.depth(queue).await.ok() == Some(kept) }).await;
    ensure!(settled, "depth {:?} after the removal, {kept} expected", broker.depth(queue).await);
    // And the queue can be used again.
    scene.publish(scene.envelope("after")).await?;
    let mut consumer = scene.consumer(4).await?;
    for delivery in take_many(&mut consumer, kept as usize + 1).await? {
        ack(delivery).await?;
    }
    Ok(Outcome::Pass)
}
