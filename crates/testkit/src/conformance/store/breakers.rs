//! Chapter *breakers*: open after failures in a row, one probe at a time, closed by success.

use std::time::{Duration, Instant};

use backshift_core::{
    Timestamp,
    store::{Admission, BreakerPolicy},
};

use super::scene::{Scene, now};
use crate::{
    conformance::case::{Failure, Outcome, Verdict, cases, ensure},
    wait,
};

cases! { Scene:
    s64_circuit_opens_after_failures_in_a_row,
    s65_half_open_circuit_admits_one_probe,
    s66_probe_decides,
    s104_circuit_returns_step_by_step,
}

const POLICY: BreakerPolicy = BreakerPolicy {
    failures: 3,
    open_for: Duration::from_millis(400),
    open_at_most: Duration::from_millis(600),
};

async fn s64_circuit_opens_after_failures_in_a_row(scene: Scene) -> Verdict {
    let store = &scene.store;
    ensure!(store.admit("smtp").await? == Admission::Go, "an unused circuit is not closed");
    fail(&scene, 2).await?;
    store.report("smtp", POLICY, Ok(())).await?;
    fail(&scene, 2).await?;
    ensure!(store.admit("smtp").await? == Admission::Go, "open although a success came between the failures");
    let failed = Instant::now();
    fail(&scene, 1).await?;
    match store.admit("smtp").await? {
        Admission::Wait(time) => ensure!(time <= POLICY.open_for, "open for {time:?}"),
        other => {
            let text = format!("after three failures in a row: {other:?}");
            return Err(Failure::unless_overtaken(failed.elapsed() >= POLICY.open_for, text));
        }
    }
    ensure!(store.admit("another").await? == Admission::Go, "another circuit opened too");
    let breakers = store.breakers().await?;
    let shown = breakers.iter().find(|breaker| breaker.name == "smtp");
    let shown = shown.ok_or_else(|| Failure::new(format!("not shown among {breakers:?}")))?;
    ensure!(shown.state == "open" && shown.open_until.is_some(), "shown as {shown:?}");
    ensure!(shown.error.as_deref() == Some("421 busy"), "the last error is {:?}", shown.error);
    Ok(Outcome::Pass)
}

async fn s65_half_open_circuit_admits_one_probe(scene: Scene) -> Verdict {
    let begun = Instant::now();
    fail(&scene, 3).await?;
    probe(&scene).await?;
    ensure!(begun.elapsed() >= POLICY.open_for * 9 / 10, "a probe after {:?}", begun.elapsed());
    let probed = Instant::now();
    for _ in 0..5 {
        let answer = scene.store.admit("smtp").await?;
        if !matches!(answer, Admission::Wait(_)) {
            let text = format!("while a probe is on its way: {answer:?}");
            return Err(Failure::unless_overtaken(probed.elapsed() >= POLICY.open_for, text));
        }
    }
    Ok(Outcome::Pass)
}

async fn s66_probe_decides(scene: Scene) -> Verdict {
    fail(&scene, 3).await?;
    probe(&scene).await?;
    // The end is the store's own word: a machine that stands still cannot blur it.
    let longer = now().checked_add(POLICY.open_for * 5 / 4)?;
    fail(&scene, 1).await?;
    let limit = now().checked_add(POLICY.open_at_most * 11 / 10)?;
    let until = open_until(&scene).await?;
    ensure!(until >= longer, "a failed probe opens it until {until}, no longer than the failures before it");
    ensure!(until <= limit, "a failed probe opens it until {until}, beyond the limit");
    probe(&scene).await?;
    scene.store.report("smtp", POLICY, Ok(())).await?;
    returned(&scene).await?;
    fail(&scene, 2).await?;
    let answer = scene.store.admit("smtp").await?;
    ensure!(answer == Admission::Go, "failures from before the success still count: {answer:?}");
    Ok(Outcome::Pass)
}

async fn s104_circuit_returns_step_by_step(scene: Scene) -> Verdict {
    fail(&scene, 3).await?;
    probe(&scene).await?;
    scene.store.report("smtp", POLICY, Ok(())).await?;
    let shown = scene.store.breakers().await?.into_iter().find(|breaker| breaker.name == "smtp");
    let shown = shown.ok_or_else(|| Failure::new("a circuit that returns is not shown"))?;
    ensure!(shown.state == "returning" && shown.returning == Some(2), "shown as {shown:?}");
    let begun = std::time::Instant::now();
    let (mut first, mut last) = (0, Admission::Probe);
    while first < 20 && last == Admission::Probe {
        last = scene.store.admit("smtp").await?;
        first += usize::from(last == Admission::Probe);
    }
    ensure!(matches!(last, Admission::Wait(_)), "after one probe the whole backlog may go: {last:?}");
    ensure!(first <= 2 || begun.elapsed() > Duration::from_secs(1), "{first} calls in the first step");
    scene.store.report("smtp", POLICY, Ok(())).await?;
    let calls = returned(&scene).await?;
    ensure!(calls >= 5, "closed after {calls} more calls");
    ensure!(begun.elapsed() >= Duration::from_secs(4), "closed after {:?}", begun.elapsed());
    fail(&scene, 3).await?;
    probe(&scene).await?;
    scene.store.report("smtp", POLICY, Ok(())).await?;
    fail(&scene, 1).await?;
    let answer = scene.store.admit("smtp").await?;
    ensure!(matches!(answer, Admission::Wait(_)), "a failure while it returns opens it again: {answer:?}");
    ensure!(open_until(&scene).await? > now(), "it does not say until when");
    Ok(Outcome::Pass)
}

/// Calls, and tells that they succeeded, until the circuit is closed; how many calls that were.
async fn returned(scene: &Scene) -> Result<usize, Failure> {
    let mut calls = 0;
    let until = std::time::Instant::now() + wait::PATIENCE * 3;
    while std::time::Instant::now() < until {
        match scene.store.admit("smtp").await? {
            Admission::Go => return Ok(calls),
            Admission::Probe => {
                calls += 1;
                scene.store.report("smtp", POLICY, Ok(())).await?;
            }
            Admission::Wait(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    Err(Failure::new(format!("the circuit did not close after {calls} calls that succeeded")))
}

async fn open_until(scene: &Scene) -> Result<Timestamp, Failure> {
    let breakers = scene.store.breakers().await?;
    let shown = breakers.iter().find(|breaker| breaker.name == "smtp").and_then(|breaker| breaker.open_until);
    shown.ok_or_else(|| Failure::new(format!("an open circuit does not say until when: {breakers:?}")))
}

async fn fail(scene: &Scene, times: u32) -> Result<(), Failure> {
    for _ in 0..times {
        scene.store.report("smtp", POLICY, Err("421 busy".into())).await?;
    }
    Ok(())
}

async fn probe(scene: &Scene) -> Result<(), Failure> {
    let probe = wait::until(wait::PATIENCE, || async {
        matches!(scene.store.admit("smtp").await, Ok(Admission::Probe))
    });
    match probe.await {
        true => Ok(()),
        false => Err(Failure::new("an open circuit never let a probe through")),
    }
}
