//! Chapter *redelivery*: what the ledger says about a delivery that comes again, comes too early, or is not the job's.
//!
//! A message without an id is recognised by its body; until it is known to be gone it may come any number of times.

use std::{collections::HashSet, time::Duration};

use backshift_core::{
    EffectState, JobId, Kind, Settled, Settlement, State,
    store::{ClaimRequest, Claimed, Forsaken},
};

use super::scene::{BROKER, Scene, applied, completed, dead, request, retry, running};
use crate::{
    conformance::case::{Failure, Outcome, Verdict, cases, ensure},
    servers::unique_queue,
    wait,
};

cases! { Scene:
    s120_delivery_before_its_time_is_early,
    s121_ended_job_answers_until_its_message_is_gone,
    s122_redelivery_is_none_of_the_jobs_that_the_asking_process_holds,
    s123_delivery_of_another_queue_kind_or_broker_is_a_conflict,
    s124_job_of_which_nobody_gives_a_sign_is_forsaken,
    s125_forsaken_job_ends_as_ambiguous,
}

/// A message without an id: each delivery of it brings a fresh one.
fn nameless(scene: &Scene, redelivered: bool) -> ClaimRequest {
    ClaimRequest { redelivered, anonymous: true, ..request(&scene.envelope("no id on the wire")) }
}

/// The answer about a message that was recognised.
fn known(claimed: Claimed) -> Result<(JobId, Claimed), Failure> {
    match claimed {
        Claimed::Known(job, answer) => Ok((job, *answer)),
        other => Err(Failure::new(format!("a message that was seen before is answered with {other:?}"))),
    }
}

/// The same settlement with another delay.
fn later(settlement: Settlement, delay: Duration) -> Settlement {
    let Settlement::Retry(mut retry) = settlement else { return settlement };
    retry.delay = delay;
    Settlement::Retry(retry)
}

async fn s120_delivery_before_its_time_is_early(scene: Scene) -> Verdict {
    let hour = Duration::from_secs(3600);
    for counted in [true, false] {
        let envelope = scene.envelope("x");
        let start = scene.start(&envelope).await?;
        applied(scene.finish(start.lease, later(retry(&envelope, 1, counted), hour)).await?)?;
        for claimed in
            [scene.claim(&scene.other()?, &envelope).await?, scene.reclaim(&scene.holder, &envelope).await?]
        {
            let rest = match claimed {
                Claimed::Early(rest) => rest,
                other => return Err(Failure::new(format!("an hour before its time a job is {other:?}"))),
            };
            ensure!(rest <= hour && rest > hour / 2, "of an hour {rest:?} are left");
        }
        let row = scene.row(envelope.id).await?;
        ensure!(row.token == start.lease.token && row.crashes == 0, "asking changed the row: {row:?}");
        ensure!(row.attempt == 1 + u32::from(counted), "asking counted an attempt: {row:?}");
    }
    let start = running(scene.ask(&scene.patient(), nameless(&scene, false)).await?)?;
    let snoozed = later(retry(&scene.envelope("no id on the wire"), 1, false), hour);
    applied(scene.finish(start.lease, snoozed).await?)?;
    for _ in 0..3 {
        let (job, answer) = known(scene.ask(&scene.holder, nameless(&scene, true)).await?)?;
        ensure!(job == start.lease.job, "the message is taken for {job}");
        ensure!(matches!(answer, Claimed::Early(_)), "before its time it is answered with {answer:?}");
    }
    Ok(Outcome::Pass)
}

async fn s121_ended_job_answers_until_its_message_is_gone(scene: Scene) -> Verdict {
    let one = running(scene.ask(&scene.patient(), nameless(&scene, false)).await?)?;
    let two = running(scene.ask(&scene.patient(), nameless(&scene, false)).await?)?;
    applied(scene.finish(one.lease, completed()).await?)?;
    applied(scene.finish(two.lease, dead(backshift_core::Reason::Permanent)).await?)?;
    let ended = |job| if job == one.lease.job { State::Completed } else { State::Dead };
    for round in 0..3 {
        let batch = vec![nameless(&scene, true), nameless(&scene, true)];
        let mut seen = HashSet::new();
        for claimed in scene.store.claim(&scene.holder, batch).await? {
            let (job, answer) = known(claimed)?;
            ensure!(answer == Claimed::Over(ended(job)), "round {round}: {job} is answered with {answer:?}");
            seen.insert(job);
        }
        ensure!(seen.len() == 2, "round {round}: two messages are taken for one job");
    }
    scene.store.gone(vec![one.lease.job]).await?;
    let (job, _) = known(scene.ask(&scene.holder, nameless(&scene, true)).await?)?;
    ensure!(job == two.lease.job, "a message that is gone came again as {job}");
    scene.store.gone(vec![two.lease.job]).await?;
    let third = running(scene.ask(&scene.patient(), nameless(&scene, true)).await?)?;
    ensure!(third.starts == 1, "a third message is a job of its own: {third:?}");
    Ok(Outcome::Pass)
}

async fn s122_redelivery_is_none_of_the_jobs_that_the_asking_process_holds(scene: Scene) -> Verdict {
    let mine = running(scene.ask(&scene.patient(), nameless(&scene, false)).await?)?;
    let except = vec![mine.lease.job];
    let other = ClaimRequest { except: except.clone(), ..nameless(&scene, true) };
    let other = running(scene.ask(&scene.patient(), other).await?)?;
    ensure!(other.lease.job != mine.lease.job, "a job was taken from the process that runs it");
    let again = ClaimRequest { except, ..nameless(&scene, true) };
    let again = running(scene.ask(&scene.patient(), again).await?)?;
    ensure!(again.lease.job == other.lease.job, "the other message became {}", again.lease.job);
    applied(scene.finish(mine.lease, completed()).await?)?;
    Ok(Outcome::Pass)
}

async fn s123_delivery_of_another_queue_kind_or_broker_is_a_conflict(scene: Scene) -> Verdict {
    let envelope = scene.envelope("x");
    let start = scene.start(&envelope).await?;
    let mut elsewhere = request(&envelope);
    elsewhere.envelope.queue = unique_queue("elsewhere");
    let mut otherwise = request(&envelope);
    otherwise.envelope.kind = Kind::new("conformance.other")?;
    let foreign = ClaimRequest { broker: "another", ..request(&envelope) };
    for forged in [elsewhere, otherwise, foreign] {
        for redelivered in [false, true] {
            let forged = ClaimRequest { redelivered, ..forged.clone() };
            let claimed = scene.ask(&scene.other()?, forged.clone()).await?;
            ensure!(claimed == Claimed::Conflict, "{forged:?} was answered with {claimed:?}");
        }
    }
    applied(scene.finish(start.lease, completed()).await?)?;
    Ok(Outcome::Pass)
}

/// The forsaken ones of the scene's queue.
async fn forsaken(scene: &Scene, after: Duration) -> Result<Vec<Forsaken>, Failure> {
    Ok(scene.store.forsaken(BROKER, &scene.queue, after).await?)
}

/// Waits until the job is listed.
async fn given_up(scene: &Scene, id: JobId) -> Result<(), Failure> {
    let listed = || async {
        forsaken(scene, Duration::ZERO).await.is_ok_and(|jobs| jobs.iter().any(|job| job.id == id))
    };
    match wait::until(wait::PATIENCE, listed).await {
        true => Ok(()),
        false => Err(Failure::new("a job whose lease is over is not listed as forsaken")),
    }
}

async fn s124_job_of_which_nobody_gives_a_sign_is_forsaken(scene: Scene) -> Verdict {
    let (lost, held, waiting, done) =
        (scene.envelope("lost"), scene.envelope("held"), scene.envelope("waiting"), scene.envelope("done"));
    let parked = scene.envelope("parked");
    let stranger = scene.start(&parked).await?;
    ensure!(scene.store.park(&[stranger.lease]).await? == [true], "the job was not parked");
    running(scene.claim(&scene.holder, &lost).await?)?;
    scene.start(&held).await?;
    let start = scene.start(&waiting).await?;
    applied(scene.finish(start.lease, later(retry(&waiting, 1, true), Duration::from_secs(3600))).await?)?;
    scene.complete(&done).await?;
    let mut unpublished = scene.envelope("unpublished");
    unpublished.run_at = Some(super::scene::now());
    scene.store.accept(BROKER, vec![unpublished]).await?;
    given_up(&scene, lost.id).await?;
    let listed = forsaken(&scene, Duration::ZERO).await?;
    ensure!(
        listed == [Forsaken { id: lost.id, begun: true }],
        "listed are {listed:?}, forsaken is {}, which somebody had begun",
        lost.id
    );
    let hour = forsaken(&scene, Duration::from_secs(3600)).await?;
    ensure!(hour.is_empty(), "nobody has been silent for an hour, but {hour:?}");
    let elsewhere = scene.store.forsaken("another", &scene.queue, Duration::ZERO).await?;
    ensure!(elsewhere.is_empty(), "of another broker {elsewhere:?}");
    let ended = scene.store.forsake(vec![parked.id], Duration::ZERO).await?;
    ensure!(ended == 0, "what is parked waits here, and nobody else can have it");
    Ok(Outcome::Pass)
}

async fn s125_forsaken_job_ends_as_ambiguous(scene: Scene) -> Verdict {
    let (lost, taken) = (scene.envelope("lost"), scene.envelope("taken"));
    let start = running(scene.claim(&scene.holder, &lost).await?)?;
    scene.store.intend(&start.lease, "mail").await?;
    running(scene.claim(&scene.holder, &taken).await?)?;
    given_up(&scene, lost.id).await?;
    given_up(&scene, taken.id).await?;
    let other = running(scene.reclaim(&scene.patient(), &taken).await?)?;
    let ended = scene.store.forsake(vec![lost.id, taken.id], Duration::ZERO).await?;
    ensure!(ended == 1, "{ended} jobs were given up, one of two had come back");
    let row = scene.row(lost.id).await?;
    ensure!(row.state == State::Dead && row.reason.as_deref() == Some("ambiguous"), "it ended as {row:?}");
    ensure!(row.effect == EffectState::Ambiguous && row.finished_at.is_some(), "its effect: {row:?}");
    ensure!(
        row.error.as_deref().is_some_and(|text| text.contains("another consumer")),
        "it says {:?}",
        row.error
    );
    let late = scene.finish(start.lease, completed()).await?;
    ensure!(late == Settled::Stale, "the late result was {late:?}");
    let claimed = scene.reclaim(&scene.holder, &lost).await?;
    ensure!(claimed == Claimed::Over(State::Dead), "its message is answered with {claimed:?}");
    applied(scene.finish(other.lease, completed()).await?)?;
    Ok(Outcome::Pass)
}
