//! Chapter *stopping*: drained, killed and frozen workers lose nothing and finish nothing that is not theirs.
//!
//! A frozen worker is one whose thread is blocked: its heartbeats stop, its connections stay.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use backshift_core::{Capability, EffectState, JobOptions, Registry, State};

use super::scene::{Scene, kind, run};
use crate::{
    conformance::case::{Failure, Outcome, Verdict, cases, ensure},
    wait::{self, PATIENCE},
};

cases! { Scene:
    e20_drain_lets_running_jobs_end,
    e21_drain_returns_the_rest_uncounted,
    e22_killed_workers_job_runs_again_uncounted,
    e23_late_result_of_a_frozen_worker_is_refused,
}

async fn e20_drain_lets_running_jobs_end(scene: Scene) -> Verdict {
    let worker = scene.start(|context, journal| async move {
        journal.note(&context);
        context.sleep(Duration::from_millis(500)).await;
        Ok(())
    })?;
    let id = scene.enqueue("{}").await?;
    scene.journal_has(1).await?;
    let drained = worker.drain().await?;
    ensure!(drained.returned == 0, "a job that ends within the grace was returned: {drained:?}");
    let row = scene.reaches(id, State::Completed).await?;
    ensure!(row.attempt == 1, "completed at attempt {}", row.attempt);
    let waits = scene.enqueue("{}").await?;
    let row = scene.store.find(waits).await?;
    ensure!(row.is_none_or(|row| row.token.0 == 0), "a drained worker started a job");
    Ok(Outcome::Pass)
}

async fn e21_drain_returns_the_rest_uncounted(scene: Scene) -> Verdict {
    let worker = scene.start(|context, journal| async move {
        journal.note(&context);
        // Longer than every grace; ends when told to.
        context.sleep(Duration::from_secs(120)).await;
        Err(backshift_core::JobError::retry("told to stop"))
    })?;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(scene.enqueue("{}").await?);
    }
    scene.journal_has(3).await?;
    worker.drain().await?;
    let _next = scene.start(|context, journal| async move {
        journal.note(&context);
        Ok(())
    })?;
    for id in ids {
        let row = scene.reaches(id, State::Completed).await?;
        ensure!(row.attempt == 1 && row.crashes == 0, "a drain counted: {row:?}");
    }
    ensure!(scene.journal.attempts() == [1; 6], "the handlers saw attempts {:?}", scene.journal.attempts());
    Ok(Outcome::Pass)
}

async fn e22_killed_workers_job_runs_again_uncounted(scene: Scene) -> Verdict {
    let doomed = scene.namespace.connect().await.map_err(Failure::new)?;
    let journal = scene.journal.clone();
    let handler = move |context: backshift_core::JobContext| {
        journal.note(&context);
        async move {
            std::future::pending::<()>().await;
            Ok(())
        }
    };
    let registry = Registry::default().with_raw(&kind(), JobOptions::default(), handler);
    let killed = run(scene.builder_of(registry, &doomed)?.pool(scene.queue.clone(), 2))?;
    let id = scene.enqueue("{}").await?;
    scene.journal_has(1).await?;
    drop(killed);
    let corpse = crate::conformance::Corpse { broker: doomed, consumers: Vec::new(), held: Vec::new() };
    scene.namespace.crash(corpse).await.map_err(Failure::new)?;
    let _next = scene.start(|context, journal| async move {
        journal.note(&context);
        Ok(())
    })?;
    let row = scene.reaches(id, State::Completed).await?;
    ensure!(row.attempt == 1, "a killed worker counted as attempt {}", row.attempt);
    ensure!(scene.journal.attempts() == [1, 1], "the handlers saw attempts {:?}", scene.journal.attempts());
    Ok(Outcome::Pass)
}

async fn e23_late_result_of_a_frozen_worker_is_refused(scene: Scene) -> Verdict {
    let holds_by_lease = scene.broker.capabilities().has(Capability::Lease);
    let (starts, effects, refused) =
        (Arc::<AtomicU32>::default(), Arc::<AtomicU32>::default(), Arc::<AtomicU32>::default());
    let thaw = Arc::new((std::sync::Mutex::new(false), std::sync::Condvar::new()));
    let handler = {
        let (starts, effects, refused, thaw) =
            (starts.clone(), effects.clone(), refused.clone(), thaw.clone());
        move |context: backshift_core::JobContext| {
            let (effects, refused, thaw) = (effects.clone(), refused.clone(), thaw.clone());
            let first = starts.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                if first {
                    freeze(&thaw);
                }
                let (Some(store), Some(lease)) = (context.store(), context.lease()) else { return Ok(()) };
                // The fence of an effect: whoever is refused here has not touched the world.
                match store.conclude(&lease, "effect", EffectState::Done, None).await {
                    Ok(()) => effects.fetch_add(1, Ordering::SeqCst),
                    Err(_) => refused.fetch_add(1, Ordering::SeqCst),
                };
                Ok(())
            }
        }
    };
    let registry = Registry::default().with_raw(&kind(), JobOptions::default(), handler);
    let frozen = scene.builder_of(registry.clone(), &scene.broker)?.pool(scene.queue.clone(), 1).build()?;
    let shutdown = backshift_runtime::Shutdown::new();
    let ended = on_its_own_thread(frozen, shutdown.clone());
    let id = scene.enqueue("{}").await?;
    ensure!(
        wait::until(PATIENCE, || async { starts.load(Ordering::SeqCst) == 1 }).await,
        "nobody took the job"
    );
    tokio::time::sleep(scene.lease * 2).await;
    if !holds_by_lease && !scene.namespace.cut_connections().await.map_err(Failure::new)? {
        release(&thaw);
        shutdown.abort();
        return Ok(Outcome::NotTested("this harness cannot cut the frozen worker's connection"));
    }
    let other = scene.namespace.connect().await.map_err(Failure::new)?;
    let _second = run(scene.builder_of(registry, &other)?.pool(scene.queue.clone(), 1))?;
    let done = scene.reaches(id, State::Completed).await;
    let before = scene.store.find(id).await?;
    release(&thaw);
    done?;
    let late = wait::until(PATIENCE, || async { refused.load(Ordering::SeqCst) == 1 }).await;
    shutdown.abort();
    let ended = wait::within(PATIENCE * 2, ended).await;
    ensure!(ended == Some(Ok(())), "the frozen worker did not end: {ended:?}");
    ensure!(late, "the late effect was not refused: {} effects", effects.load(Ordering::SeqCst));
    ensure!(effects.load(Ordering::SeqCst) == 1, "{} effects of one job", effects.load(Ordering::SeqCst));
    let after = scene.store.find(id).await?;
    ensure!(before == after, "the late result changed the job:\n{before:?}\n{after:?}");
    Ok(Outcome::Pass)
}

type Thaw = (std::sync::Mutex<bool>, std::sync::Condvar);

/// Blocks the thread, and with it everything that the worker would do, until it is released.
fn freeze(thaw: &Thaw) {
    let (Ok(mut thawed), limit) = (thaw.0.lock(), Duration::from_secs(50)) else { return };
    while !*thawed {
        match thaw.1.wait_timeout(thawed, limit) {
            Ok((guard, timeout)) if !timeout.timed_out() => thawed = guard,
            _ => return,
        }
    }
}

fn release(thaw: &Thaw) {
    if let Ok(mut thawed) = thaw.0.lock() {
        *thawed = true;
    }
    thaw.1.notify_all();
}

/// Answers when the worker has ended; never when its thread panicked. Nobody joins the thread: a join has no end of its own.
fn on_its_own_thread(
    worker: backshift_runtime::Worker,
    shutdown: backshift_runtime::Shutdown,
) -> tokio::sync::oneshot::Receiver<()> {
    let (say, ended) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        if let Ok(runtime) = runtime {
            let _ = runtime.block_on(worker.run(shutdown));
            // Its tasks drive connections of the store's pool: closed ones are told from open ones only after this.
            drop(runtime);
            let _ = say.send(());
        }
    });
    ended
}
