//! Chapter *settle*: a settlement ends exactly one delivery, durably, and a retry never loses the job.
//!
//! B22 settles out of order on purpose: a broker that acknowledges "all up to here" loses jobs there.

use std::time::{Duration, Instant};

use backshift_core::{Envelope, Retry};
use futures::{FutureExt, future::try_join_all};

use super::scene::{Scene, ack, applied, job, lease_end, nothing, retry, take, take_many};
use crate::conformance::case::{Outcome, Verdict, cases, ensure};

cases! { Scene:
    b20_acked_job_never_comes_back,
    b21_dropped_receipt_leads_to_redelivery,
    b22_an_ack_settles_one_delivery_only,
    b23_retry_brings_the_next_envelope,
    b24_retry_comes_once_and_not_before_its_delay,
    b25_uncounted_retry_keeps_the_attempt,
    b26_retry_survives_the_worker,
    b27_many_settlements_at_once_are_all_applied,
    b28_cancelled_job_never_comes_back,
    b29_interrupted_retry_loses_nothing,
}

async fn b20_acked_job_never_comes_back(scene: Scene) -> Verdict {
    scene.publish(scene.envelope("x")).await?;
    let doomed = scene.connect().await?;
    let mut consumer = scene.consumer_of(&doomed, 1).await?;
    ack(take(&mut consumer).await?).await?;
    scene.crash(doomed, consumer, Vec::new()).await?;
    nothing(&mut scene.consumer(1).await?, scene.lease * 3).await?;
    Ok(Outcome::Pass)
}

async fn b21_dropped_receipt_leads_to_redelivery(scene: Scene) -> Verdict {
    let id = scene.publish(scene.envelope("x")).await?;
    let mut consumer = scene.consumer(2).await?;
    drop(take(&mut consumer).await?);
    let again = take(&mut consumer).await?;
    ensure!(job(&again)?.id == id, "another job came");
    ensure!(job(&again)?.attempt == 1, "a dropped receipt counted as an attempt");
    Ok(Outcome::Pass)
}

async fn b22_an_ack_settles_one_delivery_only(scene: Scene) -> Verdict {
    scene.publish_many(5).await?;
    let doomed = scene.connect().await?;
    let mut consumer = scene.consumer_of(&doomed, 5).await?;
    let mut held = take_many(&mut consumer, 5).await?;
    let last = held.remove(4);
    let kept: Vec<_> = [1, 2].map(|n| held[n].job.as_ref().map(|job| job.id).ok()).to_vec();
    ack(last).await?;
    ack(held.remove(3)).await?;
    ack(held.remove(0)).await?;
    scene.crash(doomed, consumer, held).await?;
    let mut other = scene.consumer(5).await?;
    let back = take_many(&mut other, 2).await?;
    let mut ids: Vec<_> = back.iter().map(|d| d.job.as_ref().map(|job| job.id).ok()).collect();
    ids.sort();
    let mut kept = kept;
    kept.sort();
    ensure!(ids == kept, "{ids:?} came back, but {kept:?} were unsettled");
    // Settled before the wait, which is as long as their lease: otherwise they would rightly come again.
    for delivery in back {
        ack(delivery).await?;
    }
    nothing(&mut other, scene.lease).await?;
    Ok(Outcome::Pass)
}

async fn b23_retry_brings_the_next_envelope(scene: Scene) -> Verdict {
    let bytes = b"{\"n\":9007199254740993 }\xff".as_slice();
    let mut sent = scene.envelope(bytes);
    sent.headers.insert("traceparent".into(), "00-aa-bb-01".into());
    scene.publish(sent.clone()).await?;
    let mut consumer = scene.consumer(1).await?;
    let first = take(&mut consumer).await?;
    let (next, until) = (retry(job(&first)?, Duration::ZERO), lease_end(&first));
    applied(first.receipt.retry(next).await?, until)?;
    let second = take(&mut consumer).await?;
    let got = job(&second)?;
    ensure!(got.id == sent.id && got.payload == bytes, "the job came back changed: {got:?}");
    ensure!(got.attempt == 2, "attempt {} after one counted failure", got.attempt);
    ensure!(got.headers.get("traceparent") == sent.headers.get("traceparent"), "headers were lost");
    Ok(Outcome::Pass)
}

async fn b24_retry_comes_once_and_not_before_its_delay(scene: Scene) -> Verdict {
    let delay = Duration::from_millis(1500);
    scene.publish(scene.envelope("x")).await?;
    let mut consumer = scene.consumer(2).await?;
    let first = take(&mut consumer).await?;
    let (next, until, asked) = (retry(job(&first)?, delay), lease_end(&first), Instant::now());
    applied(first.receipt.retry(next).await?, until)?;
    let again = take(&mut consumer).await?;
    // A tenth of the delay is allowed for clocks that only count milliseconds or seconds.
    ensure!(asked.elapsed() >= delay * 9 / 10, "it came again after {:?}", asked.elapsed());
    ack(again).await?;
    nothing(&mut consumer, scene.lease * 2).await?;
    Ok(Outcome::Pass)
}

async fn b25_uncounted_retry_keeps_the_attempt(scene: Scene) -> Verdict {
    let mut sent = scene.envelope("x");
    sent.attempt = 2;
    scene.publish(sent).await?;
    let mut consumer = scene.consumer(1).await?;
    let first = take(&mut consumer).await?;
    let next: Envelope = job(&first)?.clone();
    let (until, uncounted) =
        (lease_end(&first), Retry { next, delay: Duration::ZERO, counted: false, error: None });
    applied(first.receipt.retry(uncounted).await?, until)?;
    let second = take(&mut consumer).await?;
    ensure!(job(&second)?.attempt == 2, "attempt {} after a snooze of attempt 2", job(&second)?.attempt);
    Ok(Outcome::Pass)
}

async fn b26_retry_survives_the_worker(scene: Scene) -> Verdict {
    let id = scene.publish(scene.envelope("x")).await?;
    let doomed = scene.connect().await?;
    let mut consumer = scene.consumer_of(&doomed, 1).await?;
    let first = take(&mut consumer).await?;
    let (next, until) = (retry(job(&first)?, Duration::from_millis(300)), lease_end(&first));
    applied(first.receipt.retry(next).await?, until)?;
    scene.crash(doomed, consumer, Vec::new()).await?;
    let mut other = scene.consumer(2).await?;
    let second = take(&mut other).await?;
    ensure!(job(&second)?.id == id && job(&second)?.attempt == 2, "another job or attempt came");
    ack(second).await?;
    nothing(&mut other, scene.lease * 2).await?;
    Ok(Outcome::Pass)
}

async fn b27_many_settlements_at_once_are_all_applied(scene: Scene) -> Verdict {
    scene.publish_many(100).await?;
    let doomed = scene.connect().await?;
    let mut consumer = scene.consumer_of(&doomed, 100).await?;
    let mut held = take_many(&mut consumer, 100).await?;
    // Every third stays behind, so that acks can not be joined into one.
    let mut kept = Vec::new();
    for n in (0..100).rev().filter(|n| n % 3 == 0) {
        kept.push(held.swap_remove(n));
    }
    try_join_all(held.into_iter().map(ack)).await?;
    for delivery in kept {
        ack(delivery).await?;
    }
    scene.crash(doomed, consumer, Vec::new()).await?;
    nothing(&mut scene.consumer(1).await?, scene.lease * 3).await?;
    Ok(Outcome::Pass)
}

async fn b28_cancelled_job_never_comes_back(scene: Scene) -> Verdict {
    scene.publish(scene.envelope("x")).await?;
    let mut consumer = scene.consumer(1).await?;
    let delivery = take(&mut consumer).await?;
    let until = lease_end(&delivery);
    applied(delivery.receipt.ack(backshift_core::Ack::Cancelled).await?, until)?;
    nothing(&mut consumer, scene.lease * 3).await?;
    Ok(Outcome::Pass)
}

async fn b29_interrupted_retry_loses_nothing(scene: Scene) -> Verdict {
    let id = scene.publish(scene.envelope("x")).await?;
    let doomed = scene.connect().await?;
    let mut consumer = scene.consumer_of(&doomed, 1).await?;
    let held = take(&mut consumer).await?;
    let next = retry(job(&held)?, Duration::ZERO);
    // Polled once and dropped: the worker dies in the middle of its retry.
    let _ = held.receipt.retry(next).now_or_never();
    scene.crash(doomed, consumer, Vec::new()).await?;
    let back = take(&mut scene.consumer(2).await?).await?;
    let got = job(&back)?;
    ensure!(got.id == id && got.attempt <= 2, "another job came: {got:?}");
    Ok(Outcome::Pass)
}
