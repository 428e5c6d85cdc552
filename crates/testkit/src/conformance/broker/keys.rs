//! Chapter *keys*: a known id, an idempotency key, a unique key, a cancelled job.
//!
//! A broker that cannot keep such a promise must refuse the envelope that asks for it; above it the store keeps it.

use backshift_core::{Accepted, Capability, State, UniqueKey, UniquePolicy};

use super::scene::{Scene, ack, job, nothing, take};
use crate::conformance::case::{Outcome, Verdict, cases, ensure};

cases! { Scene:
    b52_known_id_adds_nothing,
    b53_idempotency_key_adds_nothing,
    b54_unique_key_admits_one_unfinished_job,
    b55_cancelled_job_is_not_delivered,
}

async fn b52_known_id_adds_nothing(scene: Scene) -> Verdict {
    let first = scene.envelope("first");
    let id = scene.publish(first.clone()).await?;
    let mut other = first.clone();
    other.payload = "other".into();
    if !scene.claims(Capability::KnownId) {
        let answer = scene.offer(first).await?;
        ensure!(answer == Accepted::New(id), "KnownId is not claimed, but the answer was {answer:?}");
        return Ok(Outcome::Unsupported);
    }
    let same = scene.offer(first).await?;
    ensure!(same == Accepted::Known { id, same_payload: true }, "the same job again: {same:?}");
    let changed = scene.offer(other).await?;
    ensure!(changed == Accepted::Known { id, same_payload: false }, "another payload: {changed:?}");
    let mut consumer = scene.consumer(2).await?;
    let delivery = take(&mut consumer).await?;
    ensure!(job(&delivery)?.payload == "first", "the first payload was not kept");
    ack(delivery).await?;
    nothing(&mut consumer, scene.lease * 2).await?;
    let after = scene.offer(scene.envelope("x")).await?;
    ensure!(matches!(after, Accepted::New(_)), "a new id was answered with {after:?}");
    Ok(Outcome::Pass)
}

async fn b53_idempotency_key_adds_nothing(scene: Scene) -> Verdict {
    let keyed = |payload: &'static str| {
        let mut envelope = scene.envelope(payload);
        envelope.idempotency_key = Some("order-17".into());
        envelope
    };
    if !scene.claims(Capability::KnownId) {
        return scene.refused(Capability::KnownId, keyed("x")).await;
    }
    let id = scene.publish(keyed("x")).await?;
    let again = scene.offer(keyed("x")).await?;
    ensure!(again == Accepted::Known { id, same_payload: true }, "the same key again: {again:?}");
    let mut consumer = scene.consumer(2).await?;
    ack(take(&mut consumer).await?).await?;
    nothing(&mut consumer, scene.lease).await?;
    let finished = scene.offer(keyed("x")).await?;
    ensure!(finished.id() == id, "the key was forgotten when its job finished: {finished:?}");
    Ok(Outcome::Pass)
}

async fn b54_unique_key_admits_one_unfinished_job(scene: Scene) -> Verdict {
    let unique = |payload: &'static str| {
        let mut envelope = scene.envelope(payload);
        envelope.unique = Some(UniqueKey { key: "user-17".into(), policy: UniquePolicy::Reject });
        envelope
    };
    if !scene.claims(Capability::Unique) {
        return scene.refused(Capability::Unique, unique("x")).await;
    }
    let id = scene.publish(unique("first")).await?;
    let second = scene.offer(unique("second")).await?;
    ensure!(second == Accepted::Unique(id), "while the first waits: {second:?}");
    let mut consumer = scene.consumer(2).await?;
    let delivery = take(&mut consumer).await?;
    let third = scene.offer(unique("third")).await?;
    ensure!(third == Accepted::Unique(id), "while the first runs: {third:?}");
    ack(delivery).await?;
    let fourth = scene.offer(unique("fourth")).await?;
    ensure!(matches!(fourth, Accepted::New(_)), "after the first is done: {fourth:?}");
    let delivery = take(&mut consumer).await?;
    ensure!(job(&delivery)?.payload == "fourth", "a job that was not accepted ran: {delivery:?}");
    Ok(Outcome::Pass)
}

async fn b55_cancelled_job_is_not_delivered(scene: Scene) -> Verdict {
    if !scene.claims(Capability::Cancel) {
        return Ok(Outcome::Unsupported);
    }
    let Some(store) = scene.namespace.store() else {
        return Ok(Outcome::NotTested("the harness names no store, and only a store cancels"));
    };
    let id = scene.publish(scene.envelope("x")).await?;
    let state = store.cancel(id).await?;
    ensure!(state == State::Cancelled, "a waiting job that is cancelled is {state:?}");
    nothing(&mut scene.consumer(1).await?, scene.lease * 2).await?;
    Ok(Outcome::Pass)
}
