//! Chapter *outbox*: jobs that the store accepted reach the foreign broker, once each as far as the relay can see.
//!
//! What of an envelope a broker cannot keep is taken off by whoever publishes it, not by the store.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use backshift_core::{Accepted, Envelope, JobId, State, UniqueKey, UniquePolicy};

use super::scene::{BROKER, Scene, now};
use crate::{
    conformance::case::{Failure, Outcome, Verdict, cases, ensure},
    pace, payloads, wait,
};

cases! { Scene:
    s71_known_id_adds_nothing,
    s72_idempotency_key_adds_nothing,
    s73_unpublished_job_reaches_the_relay_whole,
    s74_taken_job_is_held_for_a_time,
    s75_published_job_is_the_brokers,
    s76_job_for_later_is_not_published_early,
    s77_claimed_row_keeps_what_was_accepted,
}

/// Longer than the time in which whoever accepted a job may publish it.
const RELAY: Duration = Duration::from_secs(25);

async fn s71_known_id_adds_nothing(scene: Scene) -> Verdict {
    let envelope = scene.envelope("first");
    let mut other = envelope.clone();
    other.payload = "other".into();
    let id = envelope.id;
    let batch = vec![envelope.clone(), envelope.clone(), other.clone()];
    let answers = scene.store.accept(BROKER, batch).await?;
    let known = |same_payload| Accepted::Known { id, same_payload };
    ensure!(
        answers == [Accepted::New(id), known(true), known(false)],
        "the same id in one batch: {answers:?}"
    );
    let again = scene.store.accept(BROKER, vec![envelope, other]).await?;
    ensure!(again == [known(true), known(false)], "the same id again: {again:?}");
    let row = scene.row(id).await?;
    ensure!(row.payload == Some("first".into()), "the first payload became {:?}", row.payload);
    ensure!(row.state == State::Available && row.token.0 == 0, "an accepted job: {row:?}");
    ensure!(scene.store.accept(BROKER, Vec::new()).await?.is_empty(), "answers to no envelope");
    Ok(Outcome::Pass)
}

async fn s72_idempotency_key_adds_nothing(scene: Scene) -> Verdict {
    let keyed = |payload: &'static str, key: &str| {
        let mut envelope = scene.envelope(payload);
        envelope.idempotency_key = Some(key.to_owned());
        envelope
    };
    let first = keyed("x", "order-17");
    let mut tasks = Vec::new();
    for _ in 0..10 {
        let (store, mut same) = (scene.store.clone(), first.clone());
        same.id = JobId::generate();
        tasks.push(tokio::spawn(async move { store.accept(BROKER, vec![same]).await }));
    }
    let mut ids = HashSet::new();
    let mut fresh = 0;
    for task in tasks {
        for answer in task.await?? {
            fresh += u32::from(matches!(answer, Accepted::New(_)));
            ids.insert(answer.id());
        }
    }
    ensure!(fresh == 1 && ids.len() == 1, "10 equal enqueues at once made {fresh} jobs with ids {ids:?}");
    let other = scene.store.accept(BROKER, vec![keyed("y", "order-17")]).await?;
    let known = matches!(other[..], [Accepted::Known { same_payload: false, .. }]);
    ensure!(known, "another payload under the key: {other:?}");
    let another = scene.store.accept(BROKER, vec![keyed("x", "order-18")]).await?;
    ensure!(matches!(another[..], [Accepted::New(_)]), "another key: {another:?}");
    Ok(Outcome::Pass)
}

async fn s73_unpublished_job_reaches_the_relay_whole(scene: Scene) -> Verdict {
    let mut sent: Vec<Envelope> = Vec::new();
    for (_, bytes) in payloads::awkward() {
        let mut envelope = scene.envelope(bytes);
        envelope.headers.insert("traceparent".into(), "00-aa-bb-01".into());
        envelope.max_attempts = Some(4);
        envelope.priority = 9;
        envelope.idempotency_key = Some(envelope.id.to_string());
        envelope.unique = Some(UniqueKey { key: envelope.id.to_string(), policy: UniquePolicy::Reject });
        sent.push(envelope);
    }
    scene.store.accept(BROKER, sent.clone()).await?;
    let taken = relayed(&scene, sent.len()).await?;
    for want in sent {
        let got = taken.get(&want.id).ok_or_else(|| Failure::new("the relay took other jobs"))?;
        ensure!(got.payload == want.payload, "the payload became {:?}", got.payload);
        ensure!(got.kind == want.kind && got.queue == want.queue && got.headers == want.headers, "{got:?}");
        ensure!(got.attempt == 1 && got.max_attempts == Some(4) && got.priority == 9, "{got:?}");
    }
    Ok(Outcome::Pass)
}

async fn s74_taken_job_is_held_for_a_time(scene: Scene) -> Verdict {
    let envelope = scene.envelope("x");
    scene.store.accept(BROKER, vec![envelope.clone()]).await?;
    let hold = Duration::from_secs(2).mul_f64(scene.stretch);
    let (asked, taken) = relay_at(&scene, hold).await?;
    ensure!(taken.len() == 1, "one job waits, {} were taken", taken.len());
    let other = scene.store.take_unpublished(BROKER, 10, hold).await?;
    if !other.is_empty() {
        let text = format!("a second relay took {other:?} at the same time");
        return Err(Failure::unless_overtaken(asked.elapsed() >= hold, text));
    }
    let foreign = scene.store.take_unpublished("another broker", 10, hold).await?;
    ensure!(foreign.is_empty(), "the relay of another broker took {foreign:?}");
    let again = relay(&scene, hold).await?;
    ensure!(again.len() == 1 && asked.elapsed() >= hold * 9 / 10, "taken again after {:?}", asked.elapsed());
    Ok(Outcome::Pass)
}

async fn s75_published_job_is_the_brokers(scene: Scene) -> Verdict {
    let (published, left) = (scene.envelope("published"), scene.envelope("left"));
    scene.store.accept(BROKER, vec![published.clone(), left.clone()]).await?;
    scene.store.mark_published(&[published.id]).await?;
    let taken = relay(&scene, Duration::from_millis(100)).await?;
    ensure!(taken.len() == 1 && taken[0].id == left.id, "the relay took {taken:?}");
    scene.store.mark_published(&[left.id, JobId::generate()]).await?;
    scene.complete(&left).await?;
    let rest = scene.store.take_unpublished(BROKER, 10, Duration::ZERO).await?;
    ensure!(rest.is_empty(), "published jobs were taken: {rest:?}");
    Ok(Outcome::Pass)
}

async fn s76_job_for_later_is_not_published_early(scene: Scene) -> Verdict {
    let mut later = scene.envelope("later");
    later.run_at = Some(now().checked_add(Duration::from_secs(3))?);
    scene.store.accept(BROKER, vec![later.clone()]).await?;
    let row = scene.row(later.id).await?;
    ensure!(row.state == State::Scheduled && Some(row.run_at) == later.run_at, "a job for later: {row:?}");
    let taken = relay(&scene, Duration::from_millis(100)).await?;
    ensure!(taken.len() == 1 && taken[0].id == later.id, "the relay took {taken:?}");
    // A tenth of a second is allowed for clocks that count coarsely; a slow machine is only ever late.
    let late = now().checked_add(Duration::from_millis(100))?;
    ensure!(later.run_at.is_some_and(|due| late >= due), "due at {:?}, published at {}", later.run_at, now());
    Ok(Outcome::Pass)
}

async fn s77_claimed_row_keeps_what_was_accepted(scene: Scene) -> Verdict {
    let mut envelope = scene.envelope("x");
    envelope.max_attempts = Some(4);
    envelope.user_id = Some(uuid::Uuid::from_u128(17));
    scene.store.accept(BROKER, vec![envelope.clone()]).await?;
    let before = scene.row(envelope.id).await?;
    let mut delivered = envelope.clone();
    (delivered.max_attempts, delivered.user_id) = (None, None);
    let start = scene.start(&delivered).await?;
    ensure!(start.starts == 1 && start.max_attempts == Some(4), "the first start: {start:?}");
    let row = scene.row(envelope.id).await?;
    ensure!(row.created_at == before.created_at && row.user_id == envelope.user_id, "the row became {row:?}");
    Ok(Outcome::Pass)
}

/// Everything that waits, in as many takes as it needs: jobs that were accepted together come to the relay one after the
/// other, as each has waited long enough.
async fn relayed(scene: &Scene, count: usize) -> Result<HashMap<JobId, Envelope>, Failure> {
    let mut all = HashMap::new();
    let begun = Instant::now();
    while all.len() < count {
        if begun.elapsed() > pace::stretched(RELAY * 2) {
            return Err(Failure::new(format!("the relay took {} of {count} jobs", all.len())));
        }
        // So long, too, whoever accepted a job has to publish it; what comes a second time changes nothing here.
        let taken = relay(scene, Duration::from_secs(2)).await?;
        all.extend(taken.into_iter().map(|envelope| (envelope.id, envelope)));
    }
    Ok(all)
}

async fn relay(scene: &Scene, hold: Duration) -> Result<Vec<Envelope>, Failure> {
    Ok(relay_at(scene, hold).await?.1)
}

/// What the relay took, and when it asked: the hold begins later than that, however slow the answer is.
async fn relay_at(scene: &Scene, hold: Duration) -> Result<(Instant, Vec<Envelope>), Failure> {
    let taken = wait::until_some(RELAY, || async {
        let asked = Instant::now();
        let taken = scene.store.take_unpublished(BROKER, 100, hold).await.ok()?;
        (!taken.is_empty()).then_some((asked, taken))
    });
    taken.await.ok_or_else(|| Failure::new(format!("nothing for the relay within {RELAY:?}")))
}
