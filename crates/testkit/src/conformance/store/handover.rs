//! Chapter *hand-over*: the message of a running job is let go, and from then on the ledger alone has the job.

use std::time::Duration;

use backshift_core::{
    Ack, Envelope, Lease, Reason, Settlement, State, Token,
    store::{Beat, ClaimRequest, Claimed, HandOver, Pulse, Start},
    wire::{BODY_NOT_KEPT, SENSITIVE},
};

use super::scene::{BROKER, Scene, applied, completed, dead, request, retry, running};
use crate::{
    conformance::case::{Failure, Outcome, Verdict, cases, ensure},
    wait,
};

cases! { Scene:
    s126_handed_over_job_is_the_ledgers_alone,
    s127_handed_over_job_is_rescued_whole,
    s128_handed_over_job_reaches_the_relay_when_it_runs_again_or_is_dead,
    s129_what_must_not_be_kept_is_not_handed_over,
    s130_retry_by_a_person_outlives_an_earlier_confirm,
}

/// More than what a ledger keeps of another broker's jobs as a rule.
fn large(scene: &Scene) -> Envelope {
    scene.envelope(vec![b'x'; 100_000])
}

async fn hand_over(scene: &Scene, lease: Lease, envelope: &Envelope) -> Result<bool, Failure> {
    let answers = scene.store.hand_over(vec![HandOver { lease, payload: envelope.payload.clone() }]).await?;
    match answers[..] {
        [kept] => Ok(kept),
        _ => Err(Failure::new(format!("one job, the answers {answers:?}"))),
    }
}

/// Starts a job and hands it over.
async fn handed_over(scene: &Scene, envelope: &Envelope) -> Result<Start, Failure> {
    let start = scene.start(envelope).await?;
    ensure!(hand_over(scene, start.lease, envelope).await?, "a running job was not taken over");
    Ok(start)
}

/// What the relay gets of these jobs now.
async fn published(scene: &Scene) -> Result<Vec<Envelope>, Failure> {
    Ok(scene.store.take_unpublished(BROKER, 100, Duration::from_secs(60)).await?)
}

async fn running_count(scene: &Scene) -> Option<u64> {
    let counts = scene.store.counts().await.ok()?;
    counts.iter().find(|counts| counts.queue == scene.queue).map(|counts| counts.count(State::Running))
}

async fn s126_handed_over_job_is_the_ledgers_alone(scene: Scene) -> Verdict {
    for envelope in [scene.envelope("small"), large(&scene)] {
        let start = handed_over(&scene, &envelope).await?;
        ensure!(hand_over(&scene, start.lease, &envelope).await?, "asked again it is answered otherwise");
        for redelivered in [false, true] {
            let again = ClaimRequest { redelivered, ..request(&envelope) };
            let claimed = scene.ask(&scene.other()?, again).await?;
            ensure!(claimed == Claimed::Kept, "its message is answered with {claimed:?}");
        }
        scene.store.mark_published(&[envelope.id]).await?;
        let claimed = scene.reclaim(&scene.other()?, &envelope).await?;
        ensure!(claimed == Claimed::Kept, "after a late confirm its message is answered with {claimed:?}");
        let beats = vec![Beat { lease: start.lease, progress: None }];
        let pulses = scene.store.beat(&scene.patient(), beats).await?;
        ensure!(matches!(pulses[..], [Pulse::Until(_)]), "its lease is answered with {pulses:?}");
        let row = scene.row(envelope.id).await?;
        ensure!(row.state == State::Running && row.token == start.lease.token && row.crashes == 0, "{row:?}");
        ensure!(row.payload.as_ref() == Some(&envelope.payload), "its body is not kept whole");
        let forsaken = scene.store.forsaken(BROKER, &scene.queue, Duration::ZERO).await?;
        ensure!(forsaken.is_empty(), "it is taken for lost: {forsaken:?}");
        let relayed = published(&scene).await?;
        ensure!(relayed.is_empty(), "while it runs the relay took {relayed:?}");
        let once = wait::until(wait::PATIENCE, || async { running_count(&scene).await == Some(1) });
        ensure!(once.await, "one running job counts as {:?}", running_count(&scene).await);
        applied(scene.finish(start.lease, completed()).await?)?;
        let claimed = scene.reclaim(&scene.other()?, &envelope).await?;
        ensure!(claimed == Claimed::Over(State::Completed), "after its end: {claimed:?}");
    }
    Ok(Outcome::Pass)
}

async fn s127_handed_over_job_is_rescued_whole(scene: Scene) -> Verdict {
    let envelope = large(&scene);
    let lost = running(scene.claim(&scene.holder, &envelope).await?)?;
    if !hand_over(&scene, lost.lease, &envelope).await? {
        return Err(Failure::unless_overtaken(
            lost.lease.until <= super::scene::now(),
            "it was not taken over",
        ));
    }
    let back = wait::until_some(wait::PATIENCE, || async {
        let _ = scene.store.rescue().await;
        published(&scene).await.ok()?.pop()
    });
    let back = back.await.ok_or_else(|| Failure::new("a job whose worker is gone does not come back"))?;
    ensure!(back.id == envelope.id && back.payload == envelope.payload, "the relay got another job");
    ensure!(back.attempt == 1 && back.kind == envelope.kind && back.queue == envelope.queue, "{back:?}");
    scene.store.mark_published(&[back.id]).await?;
    let late = scene.finish(lost.lease, completed()).await?;
    ensure!(late == backshift_core::Settled::Stale, "the late result was {late:?}");
    let next = running(scene.claim(&scene.patient(), &envelope).await?)?;
    ensure!(next.crashes == 1 && next.attempt == 1 && next.starts == 2, "the next start: {next:?}");
    let held = scene.claim(&scene.other()?, &envelope).await?;
    ensure!(matches!(held, Claimed::Held(_)), "it has a message again, and that is answered with {held:?}");
    applied(scene.finish(next.lease, completed()).await?)?;
    Ok(Outcome::Pass)
}

async fn s128_handed_over_job_reaches_the_relay_when_it_runs_again_or_is_dead(scene: Scene) -> Verdict {
    let (again, later, buried) = (large(&scene), scene.envelope("later"), large(&scene));
    let (done, cancelled) = (scene.envelope("done"), large(&scene));
    let start = handed_over(&scene, &again).await?;
    applied(scene.finish(start.lease, retry(&again, 1, true)).await?)?;
    // The confirm of the message that it began with, late: that message is gone.
    scene.store.mark_published(&[again.id]).await?;
    let start = handed_over(&scene, &later).await?;
    let Settlement::Retry(mut hour) = retry(&later, 1, false) else {
        return Err(Failure::new("a retry is none"));
    };
    hour.delay = Duration::from_secs(3600);
    applied(scene.finish(start.lease, Settlement::Retry(hour)).await?)?;
    let start = handed_over(&scene, &buried).await?;
    applied(scene.finish(start.lease, dead(Reason::Permanent)).await?)?;
    let start = handed_over(&scene, &done).await?;
    applied(scene.finish(start.lease, completed()).await?)?;
    let start = handed_over(&scene, &cancelled).await?;
    applied(scene.finish(start.lease, Settlement::Ack(Ack::Cancelled)).await?)?;
    let mut relayed = published(&scene).await?;
    relayed.sort_by_key(|envelope| envelope.id != again.id);
    let ids: Vec<_> = relayed.iter().map(|envelope| envelope.id).collect();
    ensure!(ids == [again.id, buried.id], "the relay took {ids:?} of {} and {}", again.id, buried.id);
    ensure!(relayed[0].payload == again.payload && relayed[0].attempt == 2, "the retry is {:?}", ids[0]);
    ensure!(relayed[1].payload == buried.payload, "the dead letter has another body");
    let row = scene.row(buried.id).await?;
    ensure!(row.state == State::Dead && row.reason.as_deref() == Some("permanent"), "the dead job: {row:?}");
    let claimed = scene.claim(&scene.other()?, &buried).await?;
    ensure!(claimed == Claimed::Over(State::Dead), "its message is answered with {claimed:?}");
    scene.store.mark_published(&ids).await?;
    let rest = scene.store.take_unpublished(BROKER, 100, Duration::ZERO).await?;
    ensure!(rest.is_empty(), "published jobs were taken again: {rest:?}");
    ensure!(scene.row(buried.id).await?.state == State::Dead, "publishing it brought it back to life");
    ensure!(scene.row(cancelled.id).await?.state == State::Cancelled, "a cancelled job lives");
    Ok(Outcome::Pass)
}

async fn s129_what_must_not_be_kept_is_not_handed_over(scene: Scene) -> Verdict {
    let mut refused = Vec::new();
    for mark in [SENSITIVE, BODY_NOT_KEPT] {
        let mut envelope = scene.envelope("the code is 4711");
        envelope.headers.insert(mark.into(), "true".into());
        refused.push((scene.start(&envelope).await?.lease, envelope));
    }
    let nameless = scene.envelope("no id on the wire");
    let request = ClaimRequest { anonymous: true, ..request(&nameless) };
    refused.push((running(scene.ask(&scene.patient(), request).await?)?.lease, nameless));
    let other = scene.envelope("somebody else's");
    let start = scene.start(&other).await?;
    refused.push((Lease { token: Token(start.lease.token.0 + 1), ..start.lease }, other));
    for (lease, envelope) in &refused {
        ensure!(!hand_over(&scene, *lease, envelope).await?, "it was taken over: {envelope:?}");
        if !envelope.may_be_kept() {
            let row = scene.row(envelope.id).await?;
            ensure!(row.payload.is_none(), "its body stands in the ledger: {row:?}");
        }
        let held = scene.claim(&scene.other()?, envelope).await?;
        ensure!(matches!(held, Claimed::Held(_)), "its message is answered with {held:?}");
    }
    Ok(Outcome::Pass)
}

async fn s130_retry_by_a_person_outlives_an_earlier_confirm(scene: Scene) -> Verdict {
    let (buried, waiting) = (large(&scene), large(&scene));
    let start = handed_over(&scene, &buried).await?;
    applied(scene.finish(start.lease, dead(Reason::Permanent)).await?)?;
    scene.store.accept(BROKER, vec![waiting.clone()]).await?;
    let taken = published(&scene).await?;
    ensure!(taken.iter().any(|envelope| envelope.id == buried.id), "the relay took {taken:?}");
    scene.store.cancel(waiting.id).await?;
    for envelope in [&buried, &waiting] {
        let state = scene.store.retry(envelope.id).await?;
        ensure!(state == State::Available, "a retry by a person answers {state:?}");
    }
    scene.store.mark_published(&[buried.id, waiting.id]).await?;
    let mut again = published(&scene).await?;
    again.retain(|envelope| [buried.id, waiting.id].contains(&envelope.id));
    ensure!(again.len() == 2, "after a confirm of an earlier message the relay takes {again:?}");
    ensure!(again.iter().all(|envelope| envelope.payload == buried.payload), "a body is not whole");
    scene.store.mark_published(&[buried.id, waiting.id]).await?;
    let rest = scene.store.take_unpublished(BROKER, 100, Duration::ZERO).await?;
    ensure!(rest.is_empty(), "published jobs were taken again: {rest:?}");
    Ok(Outcome::Pass)
}
