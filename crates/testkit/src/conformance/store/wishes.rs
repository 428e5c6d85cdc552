//! Chapter *wishes*: what a person wishes is heard at once, and found by asking when the hint was lost.

use backshift_core::store::Hints;

use super::scene::Scene;
use crate::{
    conformance::case::{Failure, Outcome, Verdict, cases, ensure},
    wait,
};

cases! { Scene:
    s103_wish_is_heard_and_found,
}

async fn heard(hints: &mut Box<dyn Hints>, what: &str) -> Result<(), Failure> {
    match hints.wait(None, wait::PATIENCE).await {
        true => Ok(()),
        false => Err(Failure::new(format!("nobody heard of the {what}"))),
    }
}

async fn s103_wish_is_heard_and_found(scene: Scene) -> Verdict {
    let mut hints = scene.store.wishes();
    scene.store.pause(&scene.queue, true).await?;
    heard(&mut hints, "pause").await?;
    scene.store.pause(&scene.queue, false).await?;
    heard(&mut hints, "end of the pause").await?;
    let (wished, other) = (scene.envelope("wished"), scene.envelope("other"));
    let (wished, other) = (scene.start(&wished).await?, scene.start(&other).await?);
    let leases = [wished.lease, other.lease];
    let worker = &scene.holder.worker;
    let none = scene.store.unwanted(worker, &leases).await?;
    ensure!(none.is_empty(), "nobody wished anything, and yet {none:?}");
    scene.store.cancel(wished.lease.job).await?;
    heard(&mut hints, "wish to cancel").await?;
    let found = scene.store.unwanted(worker, &leases).await?;
    ensure!(found.iter().map(|lease| lease.token).eq([wished.lease.token]), "unwanted are {found:?}");
    ensure!(found.iter().all(|lease| lease.job == wished.lease.job), "unwanted are {found:?}");
    let row = scene.row(other.lease.job).await?;
    ensure!(row.lease_until == Some(other.lease.until), "asking extended a lease: {row:?}");
    Ok(Outcome::Pass)
}
