//! Chapter *maintenance*: rescue by expired lease only, crash loops end, pruning keeps at least a day.
//!
//! The crash numbers are those of docs/contracts/probe.md: alone from the third, dead after twenty lonely ones.

use std::time::{Duration, Instant};

use backshift_core::{
    Envelope, Settled, State,
    store::{Beat, CRASHES_BEFORE_ALONE, Claimed, Holder, LONELY_CRASHES_BEFORE_DEAD},
};

use super::scene::{Scene, completed, running};
use crate::{
    conformance::case::{Failure, Outcome, Verdict, cases, ensure},
    wait,
};

cases! { Scene:
    s52_rescue_returns_what_nobody_holds,
    s53_rescue_never_goes_by_age,
    s54_crash_loop_ends_among_the_dead,
    s55_prune_keeps_a_day_and_the_unfinished,
}

async fn s52_rescue_returns_what_nobody_holds(scene: Scene) -> Verdict {
    let envelope = scene.envelope("x");
    let lost = running(scene.claim(&scene.holder, &envelope).await?)?;
    let second = match lapsed(&scene, &scene.patient(), &envelope).await? {
        Claimed::Run(start) => start,
        other => return Err(Failure::new(format!("after its lease, the job was answered with {other:?}"))),
    };
    ensure!(second.crashes == 1 && second.attempt == 1 && second.starts == 2, "the next start: {second:?}");
    let late = scene.finish(lost.lease, completed()).await?;
    ensure!(late == Settled::Stale, "the result of a lease that was rescued is {late:?}");
    let row = scene.row(envelope.id).await?;
    ensure!(row.state == State::Running && row.crashes == 1 && row.attempt == 1, "the row: {row:?}");
    Ok(Outcome::Pass)
}

async fn s53_rescue_never_goes_by_age(scene: Scene) -> Verdict {
    let envelope = scene.envelope("a long job");
    let start = running(scene.claim(&scene.holder, &envelope).await?)?;
    for _ in 0..20 {
        let asked = Instant::now();
        scene.store.beat(&scene.holder, vec![Beat { lease: start.lease, progress: None }]).await?;
        tokio::time::sleep(scene.lease / 5).await;
        let rescued = scene.store.rescue().await?;
        if rescued.returned + rescued.dead > 0 {
            let overtaken = asked.elapsed() >= scene.lease;
            return Err(Failure::unless_overtaken(overtaken, "a job whose worker lives was rescued"));
        }
    }
    let row = scene.row(envelope.id).await?;
    ensure!(row.token == start.lease.token && row.crashes == 0, "a living job was touched: {row:?}");
    Ok(Outcome::Pass)
}

async fn s54_crash_loop_ends_among_the_dead(scene: Scene) -> Verdict {
    let envelope = scene.envelope("kills its worker");
    let short = Holder { lease: Duration::from_millis(20), ..scene.holder.clone() };
    let limit = CRASHES_BEFORE_ALONE + LONELY_CRASHES_BEFORE_DEAD;
    let mut crashes = 0;
    let mut claimed = scene.claim(&short, &envelope).await?;
    while claimed != Claimed::Over(State::Dead) {
        let start = running(claimed)?;
        ensure!(start.crashes == crashes, "{} crashes counted after {crashes}", start.crashes);
        ensure!(
            start.runs_alone() == (crashes >= CRASHES_BEFORE_ALONE),
            "runs alone after {crashes} crashes"
        );
        ensure!(start.attempt == 1, "crashes counted as attempt {}", start.attempt);
        ensure!(crashes <= limit, "{crashes} crashes, and it runs again");
        claimed = lapsed(&scene, &short, &envelope).await?;
        crashes += 1;
    }
    let row = scene.row(envelope.id).await?;
    ensure!(row.state == State::Dead, "after {crashes} crashes the job is {:?}", row.state);
    ensure!(row.reason.as_deref() == Some("crash-loop"), "dead for the reason {:?}", row.reason);
    ensure!(
        (LONELY_CRASHES_BEFORE_DEAD..=limit).contains(&crashes),
        "dead after {crashes} crashes, {LONELY_CRASHES_BEFORE_DEAD} lonely ones are allowed"
    );
    Ok(Outcome::Pass)
}

async fn s55_prune_keeps_a_day_and_the_unfinished(scene: Scene) -> Verdict {
    let (done, runs, dead) = (scene.envelope("done"), scene.envelope("runs"), scene.envelope("dead"));
    scene.complete(&done).await?;
    scene.start(&runs).await?;
    scene.bury(&dead).await?;
    let pruned =
        scene.store.prune(Duration::ZERO, 1000).await? + scene.store.prune_dead(Duration::ZERO, 1000).await?;
    ensure!(pruned == 0, "{pruned} rows were deleted within a day of their end");
    ensure!(scene.row(done.id).await?.state == State::Completed, "a fresh row is gone");
    ensure!(scene.row(runs.id).await?.state == State::Running, "a running job is gone");
    ensure!(scene.row(dead.id).await?.state == State::Dead, "a fresh dead job is gone");
    Ok(Outcome::Pass)
}

/// Waits until the lease has ended and the job's next delivery is answered otherwise than *held*.
async fn lapsed(scene: &Scene, holder: &Holder, envelope: &Envelope) -> Result<Claimed, Failure> {
    let answer = wait::until_some(wait::PATIENCE, || async {
        let _ = scene.store.rescue().await;
        let claimed = scene.claim(holder, envelope).await.ok()?;
        (!matches!(claimed, Claimed::Held(_))).then_some(claimed)
    });
    answer.await.ok_or_else(|| Failure::new("a lease that nobody extends did not end"))
}
