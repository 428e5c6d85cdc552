//! Chapter *redelivery*: connections are cut while jobs run, and the broker does not take what follows a job.
//!
//! A marker is enqueued behind what the broker hands out again: when it is done, whatever came again has been seen.

use std::{sync::Arc, time::Duration};

use backshift_core::{Bytes, JobError, JobFilter, JobRecord, Page, State};
use backshift_runtime::{Readiness, Shutdown};
use tokio::sync::watch;

use super::scene::{Scene, kind};
use crate::{
    conformance::case::{Failure, Outcome, Verdict, cases, ensure},
    wait::{self, PATIENCE},
};

cases! { Scene:
    e70_job_that_still_runs_is_not_started_again,
    e71_job_whose_copy_is_not_taken_waits_and_counts_nothing,
    e72_copy_that_is_not_taken_makes_not_ready_and_names_the_cause,
}

/// Room for everything that a case starts, and for markers.
const SLOTS: usize = 16;

/// Enqueues a marker however often the connection is lost meanwhile, and waits for its end.
async fn marker(scene: &Scene) -> Result<(), Failure> {
    let enqueued = wait::until_some(PATIENCE, || async { scene.enqueue("marker").await.ok() }).await;
    let id = enqueued.ok_or_else(|| Failure::new("after a cut nothing can be enqueued"))?;
    scene.reaches(id, State::Completed).await.map(drop)
}

/// The starts of everything but markers.
fn starts(scene: &Scene) -> usize {
    scene.journal.entries().len()
}

async fn nameless(scene: &Scene, payload: &'static str) -> Result<bool, Failure> {
    let bytes = Bytes::from_static(payload.as_bytes());
    scene.namespace.publish_nameless(&scene.queue, &kind(), bytes).await.map_err(Failure::new)
}

async fn rows(scene: &Scene, state: State) -> Result<Vec<JobRecord>, Failure> {
    let queue = Some(scene.queue.clone());
    let filter = JobFilter { state: Some(state), queue, ..JobFilter::default() };
    let rows = scene.store.list(&filter, &Page { after: None, limit: 500 }).await?;
    Ok(rows.into_iter().filter(|row| row.payload.as_deref() != Some(b"marker")).collect())
}

async fn e70_job_that_still_runs_is_not_started_again(scene: Scene) -> Verdict {
    let (open, gate) = watch::channel(false);
    let gate = Arc::new(gate);
    let builder = scene.builder_with(SLOTS, move |context, journal| {
        let mut gate = (*gate).clone();
        async move {
            if context.envelope().payload != "marker" {
                journal.note(&context);
                gate.wait_for(|open| *open).await.map_err(|_| JobError::retry("the case is over"))?;
            }
            Ok(())
        }
    })?;
    let worker = super::scene::run(builder)?;
    let mut count = 2;
    for _ in 0..count {
        scene.enqueue("named").await?;
    }
    for payload in ["mail", "mail", "another mail"] {
        count += usize::from(nameless(&scene, payload).await?);
    }
    scene.journal_has(count).await?;
    for round in 1..=3 {
        if !scene.namespace.cut_connections().await.map_err(Failure::new)? {
            break;
        }
        marker(&scene).await?;
        ensure!(starts(&scene) == count, "{} starts of {count} jobs after {round} cuts", starts(&scene));
    }
    let _opened = open.send(true);
    let ended = || async { rows(&scene, State::Completed).await.is_ok_and(|rows| rows.len() == count) };
    ensure!(
        wait::until(PATIENCE * 2, ended).await,
        "{count} jobs, completed are {:?}",
        rows(&scene, State::Completed).await?
    );
    let drained = worker.drain().await?;
    ensure!(drained.returned == 0, "settled jobs went back: {drained:?}");
    ensure!(starts(&scene) == count, "{} starts of {count} jobs", starts(&scene));
    for row in rows(&scene, State::Completed).await? {
        ensure!(row.attempt == 1 && row.crashes == 0, "a cut counted: {row:?}");
    }
    let left = scene.broker.depth(&scene.queue).await?;
    ensure!(left == 0, "{left} messages are left of jobs that are done");
    Ok(Outcome::Pass)
}

/// A worker whose jobs want to run again in an hour or never, on a broker that takes no copies.
async fn refused(scene: &Scene) -> Result<Option<(super::scene::Running, Readiness, usize)>, Failure> {
    if !scene.namespace.refuse_copies(&scene.queue, true).await.map_err(Failure::new)? {
        return Ok(None);
    }
    let builder = scene.builder_with(SLOTS, |context, journal| async move {
        if context.envelope().payload == "marker" {
            return Ok(());
        }
        journal.note(&context);
        match context.envelope().payload == "later" {
            true => Err(JobError::snooze(Duration::from_secs(3600), "not now")),
            false => Err(JobError::permanent("no such mailbox")),
        }
    })?;
    let worker = builder.build()?;
    let readiness = worker.readiness();
    let worker = super::scene::Running::begin(worker, Shutdown::new());
    let mut count = 0;
    for payload in ["later", "never"] {
        scene.enqueue(payload).await?;
        count +=
            1 + usize::from(nameless(scene, payload).await?) + usize::from(nameless(scene, payload).await?);
    }
    scene.journal_has(count).await?;
    Ok(Some((worker, readiness, count)))
}

async fn e71_job_whose_copy_is_not_taken_waits_and_counts_nothing(scene: Scene) -> Verdict {
    let Some((_worker, _, count)) = refused(&scene).await? else {
        return Ok(Outcome::NotTested("settling needs no copy on this broker"));
    };
    for round in 1..=3 {
        let _can = scene.namespace.cut_connections().await.map_err(Failure::new)?;
        marker(&scene).await?;
        ensure!(starts(&scene) == count, "{} starts of {count} jobs after {round} cuts", starts(&scene));
    }
    scene.namespace.refuse_copies(&scene.queue, false).await.map_err(Failure::new)?;
    let letters = || async {
        let letters = scene.namespace.dead_letters(&scene.queue).await.unwrap_or_default();
        letters.iter().filter(|letter| letter.payload == "never").count() >= count / 2
    };
    ensure!(
        wait::until(PATIENCE * 3, letters).await,
        "the dead letters do not come when they are taken again"
    );
    marker(&scene).await?;
    ensure!(starts(&scene) == count, "{} starts of {count} jobs in the end", starts(&scene));
    let (waiting, dead) = (rows(&scene, State::Scheduled).await?, rows(&scene, State::Dead).await?);
    ensure!(waiting.len() == count / 2 && dead.len() == count / 2, "waiting: {waiting:?} dead: {dead:?}");
    for row in waiting.iter().chain(&dead) {
        ensure!(row.attempt == 1 && row.crashes == 0, "waiting counted: {row:?}");
    }
    Ok(Outcome::Pass)
}

async fn e72_copy_that_is_not_taken_makes_not_ready_and_names_the_cause(scene: Scene) -> Verdict {
    let Some((_worker, readiness, _)) = refused(&scene).await? else {
        return Ok(Outcome::NotTested("settling needs no copy on this broker"));
    };
    let said = || async {
        let report = readiness.report();
        let named =
            report.problems.iter().any(|text| text.contains(scene.queue.as_str()) && text.contains("wait"));
        !report.ready && named
    };
    ensure!(wait::until(PATIENCE, said).await, "with copies refused it says {:?}", readiness.report());
    scene.namespace.refuse_copies(&scene.queue, false).await.map_err(Failure::new)?;
    let well = wait::until(PATIENCE * 3, || async { readiness.is_ready() }).await;
    ensure!(well, "when copies are taken again it says {:?}", readiness.report());
    Ok(Outcome::Pass)
}
