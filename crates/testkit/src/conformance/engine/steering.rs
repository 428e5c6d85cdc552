//! Chapter *steering*: slots, pause, cancel.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use backshift_core::State;

use super::scene::Scene;
use crate::{
    conformance::case::{Outcome, Verdict, cases, ensure},
    pace,
};

cases! { Scene:
    e30_no_more_jobs_run_than_slots,
    e31_paused_queue_is_not_worked,
    e32_running_job_is_cancelled_on_request,
}

async fn e30_no_more_jobs_run_than_slots(scene: Scene) -> Verdict {
    let (running, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let (now, high) = (Arc::clone(&running), Arc::clone(&most));
    let _worker = scene.start(move |context, journal| {
        let (now, high) = (Arc::clone(&now), Arc::clone(&high));
        async move {
            high.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            context.sleep(Duration::from_millis(50)).await;
            now.fetch_sub(1, Ordering::SeqCst);
            journal.note(&context);
            Ok(())
        }
    })?;
    for _ in 0..24 {
        scene.enqueue("{}").await?;
    }
    scene.journal_has(24).await?;
    let most = most.load(Ordering::SeqCst);
    ensure!(most <= 4, "{most} jobs ran at once in 4 slots");
    ensure!(most > 1, "4 slots ran one job at a time");
    Ok(Outcome::Pass)
}

async fn e31_paused_queue_is_not_worked(scene: Scene) -> Verdict {
    let _worker = scene.start(|context, journal| async move {
        journal.note(&context);
        Ok(())
    })?;
    scene.enqueue("{}").await?;
    scene.journal_has(1).await?;
    scene.store.pause(&scene.queue, true).await?;
    // Workers look for pauses about once a second.
    pace::pause(Duration::from_secs(3)).await;
    let id = scene.enqueue("{}").await?;
    pace::pause(Duration::from_secs(1)).await;
    ensure!(scene.journal.entries().len() == 1, "a paused queue was worked");
    scene.store.pause(&scene.queue, false).await?;
    scene.reaches(id, State::Completed).await?;
    Ok(Outcome::Pass)
}

async fn e32_running_job_is_cancelled_on_request(scene: Scene) -> Verdict {
    let _worker = scene.start(|context, journal| async move {
        journal.note(&context);
        match context.sleep(Duration::from_secs(120)).await {
            true => Ok(()),
            false => Err(backshift_core::JobError::retry("told to stop")),
        }
    })?;
    let id = scene.enqueue("{}").await?;
    scene.journal_has(1).await?;
    scene.store.cancel(id).await?;
    let row = scene.reaches(id, State::Cancelled).await?;
    ensure!(row.finished_at.is_some(), "a cancelled job has no end");
    tokio::time::sleep(scene.lease * 2).await;
    ensure!(scene.journal.entries().len() == 1, "a cancelled job ran again");
    Ok(Outcome::Pass)
}
