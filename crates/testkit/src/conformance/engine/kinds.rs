//! Chapter *kinds*: workers that do not know the same things share a queue.

use std::time::Duration;

use backshift_core::{JobRecord, Registry, Standing, State};

use super::scene::{Scene, run};
use crate::{
    conformance::case::{Outcome, Verdict, cases, ensure},
    wait,
};

cases! { Scene:
    e60_jobs_go_to_the_worker_that_knows_them,
    e61_parked_job_runs_when_a_worker_that_knows_it_begins,
}

/// Less than any parking of before; a broker that cannot filter hands a job to the wrong worker several times.
const SOON: Duration = Duration::from_secs(45);

async fn e60_jobs_go_to_the_worker_that_knows_them(scene: Scene) -> Verdict {
    let _ignorant = run(scene.builder_of(Registry::default(), &scene.broker)?.pool(scene.queue.clone(), 2))?;
    let _knowing = scene.start(|context, journal| async move {
        journal.note(&context);
        Ok(())
    })?;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(scene.enqueue("{}").await?);
    }
    let done = wait::until(SOON, || async { scene.journal.entries().len() >= 20 });
    ensure!(done.await, "{} of 20 jobs ran", scene.journal.entries().len());
    for id in ids {
        let row = scene.reaches(id, State::Completed).await?;
        ensure!(row.attempt == 1 && row.crashes == 0, "meeting an ignorant worker counted: {row:?}");
    }
    Ok(Outcome::Pass)
}

async fn e61_parked_job_runs_when_a_worker_that_knows_it_begins(scene: Scene) -> Verdict {
    let ignorant = run(scene.builder_of(Registry::default(), &scene.broker)?.pool(scene.queue.clone(), 2))?;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(scene.enqueue("{}").await?);
    }
    let parked = |row: JobRecord| row.standing() == Some(Standing::Parked);
    for id in &ids {
        let waits = || async { scene.store.find(*id).await.ok().flatten().is_some_and(parked) };
        ensure!(
            wait::until(wait::PATIENCE * 2, waits).await,
            "not parked: {:?}",
            scene.store.find(*id).await?
        );
    }
    // With the ignorant one or without it.
    ignorant.drain().await?;
    let _knowing = scene.start(|context, journal| async move {
        journal.note(&context);
        Ok(())
    })?;
    for id in ids {
        let row = scene.reaches(id, State::Completed).await?;
        ensure!(row.attempt == 1 && row.crashes == 0, "parking counted: {row:?}");
    }
    Ok(Outcome::Pass)
}
