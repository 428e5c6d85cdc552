//! Chapter *enqueue*: what the store promises holds on every broker, also on one that cannot promise it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use backshift_core::{JobId, State, Timestamp, UniqueKey, UniquePolicy};
use backshift_runtime::Schedule;

use super::scene::{Scene, kind, run};
use crate::{
    conformance::case::{Failure, Outcome, Verdict, cases, ensure},
    pace,
};

cases! { Scene:
    e40_job_for_later_runs_at_its_time,
    e41_repeated_enqueue_runs_once,
    e42_unique_job_runs_once_at_a_time,
    e43_each_tick_runs_once_with_two_workers,
    e64_due_job_starts_at_its_time,
}

async fn e40_job_for_later_runs_at_its_time(scene: Scene) -> Verdict {
    let _worker = scene.start(|context, journal| async move {
        journal.note(&context);
        Ok(())
    })?;
    let begun = Instant::now();
    let at = Timestamp::now().checked_add(Duration::from_secs(3))?;
    let id = scene.enqueue_with("{}", |options| options.run_at = Some(at)).await?;
    scene.reaches(id, State::Completed).await?;
    let took = begun.elapsed();
    ensure!(took >= Duration::from_millis(2700), "a job for in 3 s ran after {took:?}");
    ensure!(scene.journal.entries().len() == 1, "it ran {} times", scene.journal.entries().len());
    Ok(Outcome::Pass)
}

async fn e41_repeated_enqueue_runs_once(scene: Scene) -> Verdict {
    let id = JobId::generate();
    for _ in 0..5 {
        let answer = scene.enqueue_with("{}", |options| options.id = Some(id)).await?;
        ensure!(answer == id, "the known id {id} was answered with {answer}");
    }
    let _worker = scene.start(|context, journal| async move {
        journal.note(&context);
        Ok(())
    })?;
    scene.reaches(id, State::Completed).await?;
    let again = scene.enqueue_with("{}", |options| options.id = Some(id)).await?;
    ensure!(again == id, "after its end, the known id was answered with {again}");
    tokio::time::sleep(scene.lease * 3).await;
    ensure!(scene.journal.entries().len() == 1, "it ran {} times", scene.journal.entries().len());
    Ok(Outcome::Pass)
}

async fn e42_unique_job_runs_once_at_a_time(scene: Scene) -> Verdict {
    let unique = || Some(UniqueKey { key: "user-17".into(), policy: UniquePolicy::Reject });
    let first = scene.enqueue_with("{}", |options| options.unique = unique()).await?;
    let second = scene.enqueue_with("{}", |options| options.unique = unique()).await?;
    ensure!(first == second, "two jobs with one key wait: {first} and {second}");
    let _worker = scene.start(|context, journal| async move {
        journal.note(&context);
        Ok(())
    })?;
    scene.reaches(first, State::Completed).await?;
    let third = scene.enqueue_with("{}", |options| options.unique = unique()).await?;
    ensure!(third != first, "a finished job holds its key");
    scene.reaches(third, State::Completed).await?;
    ensure!(scene.journal.entries().len() == 2, "two jobs ran {} times", scene.journal.entries().len());
    Ok(Outcome::Pass)
}

async fn e43_each_tick_runs_once_with_two_workers(scene: Scene) -> Verdict {
    let mut workers = Vec::new();
    for _ in 0..2 {
        let schedule = Schedule::new("each-second", "@every 1s", kind(), scene.queue.clone(), "{}")?;
        let builder = scene.builder(|context, journal| async move {
            journal.note(&context);
            Ok(())
        })?;
        workers.push(run(builder.cron(schedule))?);
    }
    let begun = Instant::now();
    scene.journal_has(4).await?;
    let took = begun.elapsed();
    for worker in workers {
        worker.drain().await?;
    }
    let mut ids: Vec<_> = scene.journal.entries().into_iter().map(|(id, _)| id).collect();
    let runs = ids.len();
    ids.sort();
    ids.dedup();
    ensure!(ids.len() == runs, "{runs} runs of {} ticks", ids.len());
    // Four ticks of one second: three full seconds at least, else a tick came twice under another id.
    ensure!(took >= Duration::from_millis(2500), "{runs} ticks in {took:?}");
    Ok(Outcome::Pass)
}

/// A busy machine is late now and then; a broker that is late by nature is late in every round.
const ROUNDS: u32 = 12;
/// Tasks between the moment and the handler: scheduler, fetcher, dispatcher, runner. Each may wait for its turn.
const STEPS: u32 = 4;

async fn e64_due_job_starts_at_its_time(scene: Scene) -> Verdict {
    if !scene.hints {
        return Ok(Outcome::NotTested(
            "a transaction pooler passes no hints: a look a second is all there is",
        ));
    }
    let started = Arc::<Mutex<Vec<Timestamp>>>::default();
    let notes = Arc::clone(&started);
    let _worker = scene.start(move |context, journal| {
        let began = Timestamp::now();
        let notes = Arc::clone(&notes);
        async move {
            notes.lock().unwrap_or_else(PoisonError::into_inner).push(began);
            journal.note(&context);
            Ok(())
        }
    })?;
    let mut worst = Vec::new();
    for round in 1..=ROUNDS {
        let mut late = Duration::ZERO;
        for job in 1..=4_usize {
            // No multiple of a poll.
            let delay = Duration::from_millis(330 + 70 * job as u64);
            let at = Timestamp::now().checked_add(delay)?;
            let done = scene.journal.entries().len();
            // How late a task of this process is that waits for the same moment.
            let tick = tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                Duration::try_from(Timestamp::now().duration_since(at)).unwrap_or_default()
            });
            scene.enqueue_with("{}", |options| options.run_at = Some(at)).await?;
            scene.journal_has(done + 1).await?;
            let last = started.lock().unwrap_or_else(PoisonError::into_inner).last().copied();
            let last = last.ok_or_else(|| Failure::new("a handler ran and noted no time"))?;
            let by = Duration::try_from(last.duration_since(at)).unwrap_or_default();
            // Less than the machine is slow: what looks once a second must still be seen on it.
            let allowed = scene.broker.lateness(delay).mul_f64(pace::factor().sqrt()) + tick.await? * STEPS;
            late = late.max(by.saturating_sub(allowed));
        }
        if late.is_zero() {
            return Ok(Outcome::Pass);
        }
        worst.push(late);
        ensure!(round < ROUNDS, "in every round a job was later than the broker says, by {worst:?}");
    }
    Ok(Outcome::Pass)
}
