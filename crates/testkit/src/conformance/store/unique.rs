//! Chapter *unique*: at most one unfinished job per key, whatever happens at once.

use backshift_core::{Accepted, Envelope, State, UniqueKey, UniquePolicy, store::Claimed};

use super::scene::{BROKER, Scene, applied, completed};
use crate::conformance::case::{Failure, Outcome, Verdict, cases, ensure};

cases! { Scene:
    s80_reject_keeps_the_first,
    s81_replace_changes_the_waiting_job,
    s82_keep_last_cancels_the_waiting_job,
    s83_one_of_many_at_once_is_new,
    s84_finished_job_frees_its_key,
}

async fn s80_reject_keeps_the_first(scene: Scene) -> Verdict {
    let first = unique(&scene, "first", UniquePolicy::Reject);
    ensure!(accept(&scene, &first).await? == Accepted::New(first.id), "the first job was not accepted");
    let second = unique(&scene, "second", UniquePolicy::Reject);
    let answer = accept(&scene, &second).await?;
    ensure!(answer == Accepted::Unique(first.id), "the second job: {answer:?}");
    ensure!(scene.store.find(second.id).await?.is_none(), "a job that was not accepted has a row");
    ensure!(scene.row(first.id).await?.payload == Some("first".into()), "the first payload changed");
    Ok(Outcome::Pass)
}

async fn s81_replace_changes_the_waiting_job(scene: Scene) -> Verdict {
    let first = unique(&scene, "first", UniquePolicy::Replace);
    accept(&scene, &first).await?;
    let mut second = unique(&scene, "second", UniquePolicy::Replace);
    second.priority = 5;
    let answer = accept(&scene, &second).await?;
    ensure!(answer.id() == first.id, "the waiting job keeps its id, not {answer:?}");
    let row = scene.row(first.id).await?;
    ensure!(row.payload == Some("second".into()) && row.priority == 5, "the waiting job: {row:?}");
    let start = scene.start(&Envelope { payload: "second".into(), ..first.clone() }).await?;
    let third = unique(&scene, "third", UniquePolicy::Replace);
    let answer = accept(&scene, &third).await?;
    ensure!(answer == Accepted::Unique(first.id), "a running job wins, not {answer:?}");
    ensure!(scene.row(first.id).await?.payload == Some("second".into()), "a running job's payload changed");
    applied(scene.finish(start.lease, completed()).await?)?;
    Ok(Outcome::Pass)
}

async fn s82_keep_last_cancels_the_waiting_job(scene: Scene) -> Verdict {
    let jobs: Vec<_> = ["first", "second", "third", "fourth"]
        .map(|name| unique(&scene, name, UniquePolicy::KeepLast))
        .into();
    accept(&scene, &jobs[0]).await?;
    let answer = accept(&scene, &jobs[1]).await?;
    ensure!(answer == Accepted::New(jobs[1].id), "the last one wins, not {answer:?}");
    ensure!(scene.row(jobs[0].id).await?.state == State::Cancelled, "the waiting job was not cancelled");
    let start = scene.start(&jobs[1]).await?;
    let answer = accept(&scene, &jobs[2]).await?;
    ensure!(answer == Accepted::New(jobs[2].id), "beside a running job one may wait, not {answer:?}");
    let answer = accept(&scene, &jobs[3]).await?;
    ensure!(answer == Accepted::New(jobs[3].id), "the last one wins, not {answer:?}");
    let states = [scene.row(jobs[1].id).await?.state, scene.row(jobs[2].id).await?.state];
    ensure!(states == [State::Running, State::Cancelled], "the running and the waiting one are {states:?}");
    let early = scene.claim(&scene.holder, &jobs[3]).await?;
    ensure!(matches!(early, Claimed::Held(_)), "beside the running job the next one is answered {early:?}");
    applied(scene.finish(start.lease, completed()).await?)?;
    let next = scene.claim(&scene.holder, &jobs[3]).await?;
    ensure!(matches!(next, Claimed::Run(_)), "after the running job the next one is answered {next:?}");
    Ok(Outcome::Pass)
}

async fn s83_one_of_many_at_once_is_new(scene: Scene) -> Verdict {
    let mut tasks = Vec::new();
    for n in 0..20 {
        let mut job = unique(&scene, "race", UniquePolicy::Reject);
        job.payload = n.to_string().into();
        let store = scene.store.clone();
        tasks.push(tokio::spawn(async move { store.accept(BROKER, vec![job]).await }));
    }
    let mut answers = Vec::new();
    for task in tasks {
        answers.extend(task.await??);
    }
    let fresh: Vec<_> = answers.iter().filter(|answer| matches!(answer, Accepted::New(_))).collect();
    ensure!(fresh.len() == 1, "{} of 20 jobs with one key at once are new", fresh.len());
    let id = fresh[0].id();
    ensure!(answers.iter().all(|answer| answer.id() == id), "the answers name different jobs: {answers:?}");
    Ok(Outcome::Pass)
}

async fn s84_finished_job_frees_its_key(scene: Scene) -> Verdict {
    for end in ["completed", "dead", "cancelled"] {
        let job = unique(&scene, end, UniquePolicy::Reject);
        ensure!(accept(&scene, &job).await? == Accepted::New(job.id), "before {end}, the key is taken");
        match end {
            "completed" => scene.complete(&job).await.map(|_| ())?,
            "dead" => scene.bury(&job).await.map(|_| ())?,
            _ => ensure!(scene.store.cancel(job.id).await? == State::Cancelled, "it was not cancelled"),
        }
    }
    let last = unique(&scene, "last", UniquePolicy::Reject);
    ensure!(accept(&scene, &last).await? == Accepted::New(last.id), "a finished job holds its key");
    Ok(Outcome::Pass)
}

fn unique(scene: &Scene, payload: &'static str, policy: UniquePolicy) -> Envelope {
    let mut envelope = scene.envelope(payload);
    envelope.unique = Some(UniqueKey { key: "user-17".into(), policy });
    envelope
}

async fn accept(scene: &Scene, envelope: &Envelope) -> Result<Accepted, Failure> {
    let mut answers = scene.store.accept(BROKER, vec![envelope.clone()]).await?;
    answers.pop().ok_or_else(|| Failure::new("no answer to an accept"))
}
