//! Chapter *hand-over*: the message of a long job is acknowledged while the job runs.
//!
//! Whether the ledger has a running job is asked as a second delivery would ask: that answer changes nothing.

use std::{sync::Arc, time::Duration};

use backshift_core::{
    Capability, Envelope, JobContext, JobError, JobId, JobOptions, Registry, State, WorkerName,
    store::{ClaimRequest, Claimed, Holder},
};
use backshift_runtime::{WorkerBuilder, WorkerOptions};
use tokio::sync::watch;

use super::scene::{Scene, kind, run};
use crate::{
    conformance::case::{Failure, Outcome, Verdict, cases, ensure},
    wait::{self, PATIENCE},
};

cases! { Scene:
    e73_long_job_is_the_ledgers_and_keeps_its_slot,
    e74_job_of_a_killed_worker_runs_again_after_its_hand_over,
    e75_every_end_is_the_same_after_a_hand_over,
    e76_drain_gives_back_what_was_handed_over,
}

/// As short as it can be.
const SOON: Duration = Duration::from_millis(20);

fn not_here(scene: &Scene) -> Option<Verdict> {
    let ledger = scene.broker.capabilities().has(Capability::Ledger);
    ledger.then_some(Ok(Outcome::NotTested(
        "the claim of this broker is the ledger's lease from the beginning",
    )))
}

fn soon(scene: &Scene, builder: WorkerBuilder) -> WorkerBuilder {
    builder.options(WorkerOptions { hand_over_after: SOON, ..scene.options() })
}

/// Waits until the ledger says of this running job that it alone has it.
async fn handed_over(scene: &Scene, id: JobId, payload: &'static str) -> Result<(), Failure> {
    let holder = Holder { worker: WorkerName::new("nobody")?, lease: scene.lease };
    let kept = || async {
        let mut envelope: Envelope =
            scene.client.envelope(kind(), scene.queue.clone(), payload, Default::default());
        envelope.id = id;
        let broker = scene.broker.name();
        let (redelivered, anonymous, except) = (false, false, Vec::new());
        let request = ClaimRequest { envelope, broker, redelivered, anonymous, except };
        matches!(scene.store.claim(&holder, vec![request]).await.as_deref(), Ok([Claimed::Kept]))
    };
    match wait::until(PATIENCE, kept).await {
        true => Ok(()),
        false => {
            Err(Failure::new(format!("{payload} was not handed over: {:?}", scene.store.find(id).await?)))
        }
    }
}

async fn e73_long_job_is_the_ledgers_and_keeps_its_slot(scene: Scene) -> Verdict {
    if let Some(verdict) = not_here(&scene) {
        return verdict;
    }
    let (open, gate) = watch::channel(false);
    let gate = Arc::new(gate);
    let handler = move |context: JobContext, journal: super::scene::Journal| {
        let mut gate = (*gate).clone();
        async move {
            journal.note(&context);
            gate.wait_for(|open| *open).await.map_err(|_| JobError::retry("the case is over"))?;
            Ok(())
        }
    };
    let worker = run(soon(&scene, scene.builder_with(2, handler.clone())?))?;
    let long = scene.enqueue("long").await?;
    scene.journal_has(1).await?;
    handed_over(&scene, long, "long").await?;
    let _can = scene.namespace.cut_connections().await.map_err(Failure::new)?;
    let beside = enqueue(&scene, "beside").await?;
    scene.journal_has(2).await?;
    handed_over(&scene, beside, "beside").await?;
    // Both slots are taken, and nothing is unacknowledged: the next job must be in nobody's hand.
    let third = enqueue(&scene, "third").await?;
    let other = scene.namespace.connect().await.map_err(Failure::new)?;
    let journal = scene.journal.clone();
    let run_other = move |context: JobContext| handler(context, journal.clone());
    let registry = Registry::default().with_raw(&kind(), JobOptions::default(), run_other);
    let second = run(soon(&scene, scene.builder_of(registry, &other)?.pool(scene.queue.clone(), 1)))?;
    scene.journal_has(3).await?;
    let _opened = open.send(true);
    for id in [long, beside, third] {
        let row = scene.reaches(id, State::Completed).await?;
        ensure!(row.attempt == 1 && row.crashes == 0 && row.token.0 == 1, "it did not run once: {row:?}");
    }
    worker.drain().await?;
    second.drain().await?;
    ensure!(scene.journal.entries().len() == 3, "three jobs had the starts {:?}", scene.journal.entries());
    let left = scene.broker.depth(&scene.queue).await?;
    ensure!(left == 0, "{left} messages are left of jobs that are done");
    Ok(Outcome::Pass)
}

/// However often the connection is lost meanwhile.
async fn enqueue(scene: &Scene, payload: &'static str) -> Result<JobId, Failure> {
    let enqueued = wait::until_some(PATIENCE, || async { scene.enqueue(payload).await.ok() }).await;
    enqueued.ok_or_else(|| Failure::new("after a cut nothing can be enqueued"))
}

async fn e74_job_of_a_killed_worker_runs_again_after_its_hand_over(scene: Scene) -> Verdict {
    if let Some(verdict) = not_here(&scene) {
        return verdict;
    }
    let doomed = scene.namespace.connect().await.map_err(Failure::new)?;
    let journal = scene.journal.clone();
    let handler = move |context: JobContext| {
        journal.note(&context);
        std::future::pending()
    };
    let registry = Registry::default().with_raw(&kind(), JobOptions::default(), handler);
    let killed = run(soon(&scene, scene.builder_of(registry, &doomed)?.pool(scene.queue.clone(), 2)))?;
    let id = scene.enqueue("{}").await?;
    scene.journal_has(1).await?;
    handed_over(&scene, id, "{}").await?;
    drop(killed);
    let corpse = crate::conformance::Corpse { broker: doomed, consumers: Vec::new(), held: Vec::new() };
    scene.namespace.crash(corpse).await.map_err(Failure::new)?;
    let next = scene.start(|context, journal| async move {
        journal.note(&context);
        Ok(())
    })?;
    let row = scene.reaches(id, State::Completed).await?;
    ensure!(row.attempt == 1 && row.crashes == 1 && row.token.0 == 2, "it ran again as {row:?}");
    next.drain().await?;
    ensure!(scene.journal.attempts() == [1, 1], "the handlers saw attempts {:?}", scene.journal.attempts());
    let left = scene.broker.depth(&scene.queue).await?;
    ensure!(left == 0, "{left} messages are left of a job that is done");
    Ok(Outcome::Pass)
}

async fn e75_every_end_is_the_same_after_a_hand_over(scene: Scene) -> Verdict {
    if let Some(verdict) = not_here(&scene) {
        return verdict;
    }
    let (open, gate) = watch::channel(false);
    let gate = Arc::new(gate);
    let handler = move |context: JobContext, journal: super::scene::Journal| {
        let mut gate = (*gate).clone();
        async move {
            journal.note(&context);
            if context.envelope().payload == "wanted no more" {
                context.sleep(Duration::from_secs(3600)).await;
                return Err(JobError::retry("told to stop"));
            }
            gate.wait_for(|open| *open).await.map_err(|_| JobError::retry("the case is over"))?;
            match (&*context.envelope().payload, context.attempt()) {
                (b"again", 1) => Err(JobError::retry("once more")),
                (b"never", _) => Err(JobError::permanent("no such mailbox")),
                _ => Ok(()),
            }
        }
    };
    let worker = run(soon(&scene, scene.builder_with(4, handler)?))?;
    let mut ids = Vec::new();
    for payload in ["again", "never", "wanted no more"] {
        ids.push((scene.enqueue(payload).await?, payload));
    }
    scene.journal_has(3).await?;
    for (id, payload) in &ids {
        handed_over(&scene, *id, payload).await?;
    }
    scene.store.cancel(ids[2].0).await?;
    let _opened = open.send(true);
    let row = scene.reaches(ids[0].0, State::Completed).await?;
    ensure!(row.attempt == 2 && row.crashes == 0 && row.token.0 == 2, "after one retry: {row:?}");
    let row = scene.reaches(ids[1].0, State::Dead).await?;
    ensure!(row.reason.as_deref() == Some("permanent") && row.attempt == 1, "the dead one: {row:?}");
    scene.reaches(ids[2].0, State::Cancelled).await?;
    let letter = || async {
        let letters = scene.namespace.dead_letters(&scene.queue).await.unwrap_or_default();
        letters.iter().any(|letter| letter.payload == "never" && letter.reason == "permanent")
    };
    ensure!(wait::until(PATIENCE, letter).await, "the dead letter is not in the broker's own place");
    worker.drain().await?;
    ensure!(scene.journal.entries().len() == 4, "four starts were due: {:?}", scene.journal.entries());
    Ok(Outcome::Pass)
}

async fn e76_drain_gives_back_what_was_handed_over(scene: Scene) -> Verdict {
    if let Some(verdict) = not_here(&scene) {
        return verdict;
    }
    let first = soon(
        &scene,
        scene.builder_with(2, |context, journal| async move {
            journal.note(&context);
            std::future::pending().await
        })?,
    );
    let first = run(first)?;
    let id = scene.enqueue("{}").await?;
    scene.journal_has(1).await?;
    handed_over(&scene, id, "{}").await?;
    let drained = first.drain().await?;
    ensure!(drained.unconfirmed == 0, "a drain left {drained:?}");
    let _next = scene.start(|context, journal| async move {
        journal.note(&context);
        Ok(())
    })?;
    let row = scene.reaches(id, State::Completed).await?;
    ensure!(row.attempt == 1 && row.crashes == 0 && row.token.0 == 2, "a drain counted: {row:?}");
    Ok(Outcome::Pass)
}
