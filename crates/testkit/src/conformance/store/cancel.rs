//! Chapter *cancel and retry*: what a person does to one job.

use backshift_core::{Accepted, JobId, State, StoreError, store::Claimed};

use super::scene::{BROKER, Scene};
use crate::{
    conformance::case::{Failure, Outcome, Verdict, cases, ensure},
    wait,
};

cases! { Scene:
    s45_waiting_job_is_cancelled_at_once,
    s46_finished_job_is_not_cancelled,
    s47_unknown_job_is_not_found,
    s48_dead_job_runs_again_with_fresh_attempts,
    s49_running_or_completed_job_is_not_retried,
}

async fn s45_waiting_job_is_cancelled_at_once(scene: Scene) -> Verdict {
    let envelope = scene.envelope("x");
    let accepted = scene.store.accept(BROKER, vec![envelope.clone()]).await?;
    ensure!(accepted == [Accepted::New(envelope.id)], "a new job was answered with {accepted:?}");
    let state = scene.store.cancel(envelope.id).await?;
    ensure!(state == State::Cancelled, "a waiting job that is cancelled is {state:?}");
    let claimed = scene.claim(&scene.holder, &envelope).await?;
    ensure!(claimed == Claimed::Over(State::Cancelled), "its delivery was answered with {claimed:?}");
    let row = scene.row(envelope.id).await?;
    ensure!(row.finished_at.is_some(), "a cancelled job has no end");
    Ok(Outcome::Pass)
}

async fn s46_finished_job_is_not_cancelled(scene: Scene) -> Verdict {
    let (done, dead) = (scene.envelope("a"), scene.envelope("b"));
    scene.complete(&done).await?;
    scene.bury(&dead).await?;
    for (id, state) in [(done.id, State::Completed), (dead.id, State::Dead)] {
        let answer = scene.store.cancel(id).await?;
        ensure!(answer == state, "cancelling a {state:?} job was answered with {answer:?}");
        ensure!(scene.row(id).await?.state == state, "cancelling changed a {state:?} job");
    }
    Ok(Outcome::Pass)
}

async fn s47_unknown_job_is_not_found(scene: Scene) -> Verdict {
    for answer in [scene.store.cancel(JobId::generate()).await, scene.store.retry(JobId::generate()).await] {
        ensure!(matches!(answer, Err(StoreError::NotFound(_))), "a job that nobody knows: {answer:?}");
    }
    Ok(Outcome::Pass)
}

async fn s48_dead_job_runs_again_with_fresh_attempts(scene: Scene) -> Verdict {
    let envelope = scene.envelope("{\"n\":9007199254740993 }");
    let first = scene.bury(&envelope).await?;
    let state = scene.store.retry(envelope.id).await?;
    ensure!(!state.is_final() && state != State::Running, "a dead job that shall run again is {state:?}");
    let taken = wait::until_some(wait::PATIENCE * 2, || async {
        let taken =
            scene.store.take_unpublished(BROKER, 10, std::time::Duration::from_secs(30)).await.ok()?;
        taken.into_iter().find(|taken| taken.id == envelope.id)
    });
    let taken = taken.await.ok_or_else(|| Failure::new("the relay never got the job to publish it again"))?;
    ensure!(taken.payload == envelope.payload, "the payload became {:?}", taken.payload);
    ensure!(taken.attempt == 1, "it begins with attempt {}", taken.attempt);
    scene.store.mark_published(&[envelope.id]).await?;
    let second = scene.start(&taken).await?;
    ensure!(second.attempt == 1 && second.crashes == 0, "a fresh start: {second:?}");
    ensure!(second.lease.token > first.lease.token, "the token did not rise");
    Ok(Outcome::Pass)
}

async fn s49_running_or_completed_job_is_not_retried(scene: Scene) -> Verdict {
    let (running, done) = (scene.envelope("a"), scene.envelope("b"));
    scene.start(&running).await?;
    scene.complete(&done).await?;
    for (id, state) in [(running.id, State::Running), (done.id, State::Completed)] {
        // Either an error with a remedy or the unchanged state; the row must stay as it is.
        if let Ok(answer) = scene.store.retry(id).await {
            ensure!(answer == state, "retrying a {state:?} job was answered with {answer:?}");
        }
        ensure!(scene.row(id).await?.state == state, "retrying changed a {state:?} job");
    }
    Ok(Outcome::Pass)
}
