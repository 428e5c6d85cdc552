//! Chapter *lease*: how long a delivery is held, and what a worker that was presumed dead can still do.
//!
//! A frozen process is a consumer that nobody calls: its connection stays, only its lease runs out.

use std::time::{Duration, Instant};

use backshift_core::{Capability, Settled};

use super::scene::{Scene, ack, completed, job, nothing, retry, take};
use crate::conformance::case::{Failure, Outcome, Verdict, cases, ensure};

cases! { Scene:
    b30_extended_delivery_stays,
    b31_lease_that_nobody_extends_ends,
    b32_late_ack_is_refused,
    b33_late_retry_is_refused,
    b34_handed_over_delivery_is_over_and_its_slot_taken,
}

async fn b30_extended_delivery_stays(scene: Scene) -> Verdict {
    scene.publish(scene.envelope("x")).await?;
    let mut consumer = scene.consumer(1).await?;
    let mut held = take(&mut consumer).await?;
    if !scene.claims(Capability::Lease) {
        held.receipt.extend(scene.lease).await?;
        let mut other = scene.consumer_of(&scene.connect().await?, 1).await?;
        nothing(&mut other, scene.lease * 3).await?;
        ack(held).await?;
        return Ok(Outcome::Unsupported);
    }
    let mut other = scene.consumer_of(&scene.connect().await?, 1).await?;
    for _ in 0..12 {
        let extended = Instant::now();
        held.receipt.extend(scene.lease).await?;
        let came = nothing(&mut other, scene.lease / 4).await;
        // Whoever comes back only now has let it go.
        came.map_err(|came| Failure::unless_overtaken(extended.elapsed() >= scene.lease, came))?;
    }
    ack(held).await?;
    nothing(&mut other, scene.lease * 2).await?;
    Ok(Outcome::Pass)
}

async fn b31_lease_that_nobody_extends_ends(scene: Scene) -> Verdict {
    let id = scene.publish(scene.envelope("x")).await?;
    let mut frozen = scene.consumer(1).await?;
    let asked = Instant::now();
    let held = take(&mut frozen).await?;
    let mut other = scene.consumer_of(&scene.connect().await?, 1).await?;
    if !scene.claims(Capability::Lease) {
        nothing(&mut other, scene.lease * 3).await?;
        ack(held).await?;
        return Ok(Outcome::Unsupported);
    }
    let again = take(&mut other).await?;
    // The lease began after the question: a slow machine makes this longer, never shorter.
    ensure!(asked.elapsed() >= scene.lease * 9 / 10, "it came again after {:?}", asked.elapsed());
    ensure!(job(&again)?.id == id, "another job came");
    ensure!(job(&again)?.attempt == 1, "the end of a lease counted as an attempt");
    ack(again).await?;
    Ok(Outcome::Pass)
}

async fn b32_late_ack_is_refused(scene: Scene) -> Verdict {
    if !scene.claims(Capability::Fencing) {
        return Ok(Outcome::Unsupported);
    }
    let id = scene.publish(scene.envelope("x")).await?;
    let mut frozen = scene.consumer(1).await?;
    let late = take(&mut frozen).await?;
    let second = scene.connect().await?;
    let mut consumer = scene.consumer_of(&second, 1).await?;
    let current = take(&mut consumer).await?;
    let answer = late.receipt.ack(completed()).await?;
    ensure!(answer == Settled::Stale, "the ack of a worker that was presumed dead was {answer:?}");
    // The job still belongs to its second holder: when that one dies, it must come back.
    scene.crash(second, consumer, vec![current]).await?;
    let mut third = scene.consumer_of(&scene.connect().await?, 1).await?;
    let again = take(&mut third).await?;
    ensure!(job(&again)?.id == id, "another job came");
    ack(again).await?;
    Ok(Outcome::Pass)
}

async fn b33_late_retry_is_refused(scene: Scene) -> Verdict {
    if !scene.claims(Capability::Fencing) {
        return Ok(Outcome::Unsupported);
    }
    scene.publish(scene.envelope("x")).await?;
    let mut frozen = scene.consumer(1).await?;
    let late = take(&mut frozen).await?;
    let mut consumer = scene.consumer_of(&scene.connect().await?, 2).await?;
    let current = take(&mut consumer).await?;
    let next = retry(job(&late)?, Duration::ZERO);
    let answer = late.receipt.retry(next).await?;
    ensure!(answer == Settled::Stale, "the retry of a worker that was presumed dead was {answer:?}");
    ack(current).await?;
    nothing(&mut consumer, scene.lease * 2).await?;
    Ok(Outcome::Pass)
}

async fn b34_handed_over_delivery_is_over_and_its_slot_taken(scene: Scene) -> Verdict {
    scene.publish(scene.envelope("long")).await?;
    let mut consumer = scene.consumer(1).await?;
    let long = take(&mut consumer).await?;
    let slot = scene.occupied.take();
    let settled = long.receipt.hand_over().await?;
    ensure!(settled == Settled::Applied, "the hand-over was answered {settled:?}");
    scene.publish(scene.envelope("next")).await?;
    // Nobody asks the first consumer: what it would hold beside its slot would be out of everybody's reach.
    let mut other = scene.consumer_of(&scene.connect().await?, 1).await?;
    let next = take(&mut other).await?;
    ensure!(job(&next)?.payload == "next", "it came again: {:?}", job(&next)?.payload);
    ack(next).await?;
    other.quiet().await;
    drop(slot);
    for payload in ["free", "and again"] {
        scene.publish(scene.envelope(payload)).await?;
        let delivery = take(&mut consumer).await?;
        ensure!(
            job(&delivery)?.payload == payload,
            "{:?} came instead of {payload}",
            job(&delivery)?.payload
        );
        ack(delivery).await?;
    }
    nothing(&mut consumer, scene.lease * 2).await?;
    Ok(Outcome::Pass)
}
