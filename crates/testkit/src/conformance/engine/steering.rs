//! Chapter *steering*: slots, pause, cancel.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use backshift_core::{State, Store};
use backshift_runtime::WorkerOptions;

use super::scene::{Scene, run};
use crate::{
    conformance::case::{Outcome, Verdict, cases, ensure},
    faults::{Keys, StoreFault, lying_store},
    pace, wait,
};

cases! { Scene:
    e30_no_more_jobs_run_than_slots,
    e31_paused_queue_is_not_worked,
    e32_running_job_is_cancelled_on_request,
    e62_wishes_take_effect_at_once,
    e63_wishes_take_effect_when_the_hint_is_lost,
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
    // A worker that hears nothing of it looks about once a second.
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

/// A lease that is long enough that no heartbeat brings the wish.
const LONG: Duration = Duration::from_secs(120);
/// Well before a heartbeat, on a busy machine too. What people wait for is measured by `wishes::` of the binary's tests.
const SOON: Duration = Duration::from_secs(5);

async fn cancelled_soon(scene: &Scene, store: Arc<dyn Store>) -> Verdict {
    let builder = scene.builder(|context, journal| async move {
        journal.note(&context);
        context.sleep(Duration::from_secs(600)).await;
        Err(backshift_core::JobError::retry("told to stop"))
    })?;
    let options = WorkerOptions { lease: LONG, grace: Duration::from_secs(2), ..WorkerOptions::default() };
    let _worker = run(builder.options(options).store(store))?;
    let id = scene.enqueue("{}").await?;
    scene.journal_has(1).await?;
    scene.store.cancel(id).await?;
    let over =
        || async { matches!(scene.store.find(id).await, Ok(Some(row)) if row.state == State::Cancelled) };
    ensure!(
        wait::until(SOON, over).await,
        "not cancelled within {SOON:?}: {:?}",
        scene.store.find(id).await?
    );
    Ok(Outcome::Pass)
}

async fn e62_wishes_take_effect_at_once(scene: Scene) -> Verdict {
    let store = Arc::clone(&scene.store);
    cancelled_soon(&scene, store).await
}

async fn e63_wishes_take_effect_when_the_hint_is_lost(scene: Scene) -> Verdict {
    let deaf = lying_store(Arc::clone(&scene.store), StoreFault::TellsNobody, &Keys::default());
    cancelled_soon(&scene, deaf).await
}
