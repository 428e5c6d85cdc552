//! Chapter *limits*: atomic reservations and places that the fleet shares.

use std::time::{Duration, Instant};

use backshift_core::{Lease, store::Rate};

use super::scene::{Scene, applied, completed, running};
use crate::{
    conformance::case::{Failure, Outcome, Verdict, cases, ensure},
    wait,
};

cases! { Scene:
    s60_burst_is_granted_and_the_rest_waits,
    s61_reservations_at_once_stay_within_the_rate,
    s62_places_are_bounded_and_given_back,
    s63_place_ends_with_its_lease,
}

async fn s60_burst_is_granted_and_the_rest_waits(scene: Scene) -> Verdict {
    let rate = Rate { count: 3, per: Duration::from_secs(3).mul_f64(scene.stretch) };
    let begun = Instant::now();
    for n in 0..3 {
        let wait = scene.store.reserve("burst", rate).await?;
        ensure!(wait.is_none(), "reservation {n} of 3 must wait {wait:?}");
    }
    let wait = scene.store.reserve("burst", rate).await?;
    // A third of the time earns one more.
    let earned = begun.elapsed() >= rate.per / 3;
    let wait = wait.ok_or_else(|| Failure::unless_overtaken(earned, "4 reservations of 3 in 3 s"))?;
    ensure!(!wait.is_zero() && wait <= rate.per, "the fourth must wait {wait:?}");
    let other = scene.store.reserve("another key", rate).await?;
    ensure!(other.is_none(), "another key must wait {other:?}");
    tokio::time::sleep(wait + Duration::from_millis(50)).await;
    let again = scene.store.reserve("burst", rate).await?;
    ensure!(again.is_none(), "after the time that was named, it must wait {again:?} more");
    Ok(Outcome::Pass)
}

async fn s61_reservations_at_once_stay_within_the_rate(scene: Scene) -> Verdict {
    let rate = Rate { count: 10, per: Duration::from_secs(600) };
    let mut tasks = Vec::new();
    for _ in 0..40 {
        let store = scene.store.clone();
        tasks.push(tokio::spawn(async move { store.reserve("race", rate).await }));
    }
    let mut granted = 0;
    for task in tasks {
        granted += u32::from(task.await??.is_none());
    }
    ensure!(granted == 10, "{granted} of 40 reservations at once were granted, 10 are allowed");
    Ok(Outcome::Pass)
}

async fn s62_places_are_bounded_and_given_back(scene: Scene) -> Verdict {
    let leases = [lease(&scene).await?, lease(&scene).await?, lease(&scene).await?];
    for lease in &leases[..2] {
        ensure!(scene.store.occupy("two", 2, lease).await?, "one of two places was refused");
    }
    ensure!(!scene.store.occupy("two", 2, &leases[2]).await?, "three jobs in two places");
    ensure!(scene.store.occupy("two", 2, &leases[0]).await?, "a job was refused the place that it has");
    ensure!(!scene.store.occupy("two", 2, &leases[2]).await?, "asking twice made a third place");
    scene.store.vacate("two", &leases[2]).await?;
    ensure!(!scene.store.occupy("two", 2, &leases[2]).await?, "a place was given back by a job without one");
    scene.store.vacate("two", &leases[0]).await?;
    ensure!(scene.store.occupy("two", 2, &leases[2]).await?, "a place that was given back is not free");
    Ok(Outcome::Pass)
}

async fn s63_place_ends_with_its_lease(scene: Scene) -> Verdict {
    let envelope = scene.envelope("dies");
    let begun = Instant::now();
    let doomed = running(scene.claim(&scene.holder, &envelope).await?)?.lease;
    ensure!(scene.store.occupy("one", 1, &doomed).await?, "the only place was refused");
    let other = lease(&scene).await?;
    let taken = scene.store.occupy("one", 1, &other).await?;
    ensure!(!taken || begun.elapsed() >= scene.lease, "two jobs in one place");
    let free = wait::until(wait::PATIENCE, || async {
        let _ = scene.store.rescue().await;
        scene.store.occupy("one", 1, &other).await.unwrap_or(false)
    });
    ensure!(free.await, "the place of a dead worker's job was never free again");
    applied(scene.finish(other, completed()).await?)?;
    Ok(Outcome::Pass)
}

async fn lease(scene: &Scene) -> Result<Lease, Failure> {
    Ok(scene.start(&scene.envelope("x")).await?.lease)
}
