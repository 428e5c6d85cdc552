//! Chapter *parking*: what a worker does not know waits for one that does, and what may take its worker along runs alone.

use std::{sync::Arc, time::Duration};

use backshift_core::{
    Envelope, JobFilter, JobId, Kind, Page, QueueName, Settlement, Standing, State, Timestamp, WorkerName,
    store::{Liveness, Start, WorkerRecord},
    wire::SENSITIVE,
};

use super::scene::{BROKER, Scene, applied, completed, now, retry, running};
use crate::{
    conformance::case::{Failure, Outcome, Verdict, cases, ensure},
    servers::unique_name,
    wait,
};

cases! { Scene:
    s100_parked_job_waits_for_a_worker_that_knows_its_kind,
    s101_parked_job_that_somebody_knows_goes_back_by_itself,
    s102_one_suspect_of_the_fleet_runs_at_a_time,
    s105_late_confirm_loses_no_parked_job,
    s201_parked_kinds_are_listed,
    s202_what_is_parked_or_held_is_found_by_that_word,
    s203_the_kinds_that_are_next_in_a_queue_are_told,
}

/// The relay takes what is due now for so long.
const HOLD: Duration = Duration::from_millis(50);

fn worker(queues: String, kinds: Vec<Kind>) -> Result<WorkerRecord, Failure> {
    let name = WorkerName::new(unique_name("worker"))?;
    Ok(WorkerRecord { kinds, ..WorkerRecord::new(name, queues, now()) })
}

async fn relayed(scene: &Scene) -> Result<Vec<Envelope>, Failure> {
    Ok(scene.store.take_unpublished(BROKER, 10, HOLD).await?)
}

/// What the relay gets of this job.
async fn comes(scene: &Scene, id: JobId) -> Result<Envelope, Failure> {
    let there = || async { relayed(scene).await.ok()?.into_iter().find(|envelope| envelope.id == id) };
    let came = wait::until_some(wait::PATIENCE, there).await;
    came.ok_or_else(|| Failure::new("the job was not offered to the relay"))
}

async fn s100_parked_job_waits_for_a_worker_that_knows_its_kind(scene: Scene) -> Verdict {
    let (envelope, bytes) = (scene.envelope(&b"{ \"n\": 1 }"[..]), b"{ \"n\": 1 }");
    let start = scene.start(&envelope).await?;
    ensure!(scene.store.park(&[start.lease]).await? == [true], "the job was not parked");
    let row = scene.row(envelope.id).await?;
    ensure!(row.state == State::Available && row.attempt == 1 && row.crashes == 0, "parked: {row:?}");
    ensure!(row.error.as_deref().is_some_and(|text| text.starts_with("parked: ")), "it says {:?}", row.error);
    ensure!(scene.store.park(&[start.lease]).await? == [false], "parked twice under one lease");
    let (queue, kind) = (scene.queue.clone(), envelope.kind.clone());
    let elsewhere = scene.store.announce(&worker("elsewhere:4".into(), vec![kind.clone()])?).await?;
    let ignorant =
        scene.store.announce(&worker(format!("{queue}:4"), vec![Kind::new("another.kind")?])?).await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    ensure!(relayed(&scene).await?.is_empty(), "offered although nobody who works the queue knows the kind");
    let knowing = scene.store.announce(&worker(format!("{queue}:4,more:1"), vec![kind])?).await?;
    let offered = comes(&scene, envelope.id).await?;
    ensure!(offered.payload == bytes[..] && offered.attempt == 1, "offered as {offered:?}");
    drop((elsewhere, ignorant, knowing));
    let mut secret = scene.envelope("secret");
    secret.headers.insert(SENSITIVE.to_owned(), "true".to_owned());
    let start = scene.start(&secret).await?;
    ensure!(scene.store.park(&[start.lease]).await? == [false], "a payload that is not kept was parked");
    ensure!(scene.row(secret.id).await?.state == State::Running, "what was not parked was changed");
    Ok(Outcome::Pass)
}

/// A job that was parked while a worker that knows its kind lives, and came to the relay; and that worker.
async fn parked_and_back(scene: &Scene) -> Result<(Envelope, Arc<dyn Liveness>), Failure> {
    let envelope = scene.envelope("x");
    let knowing = worker(format!("{}:4", scene.queue), vec![envelope.kind.clone()])?;
    let guard = scene.store.announce(&knowing).await?;
    let start = scene.start(&envelope).await?;
    ensure!(scene.store.park(&[start.lease]).await? == [true], "the job was not parked");
    comes(scene, envelope.id).await?;
    Ok((envelope, guard))
}

async fn s101_parked_job_that_somebody_knows_goes_back_by_itself(scene: Scene) -> Verdict {
    parked_and_back(&scene).await?;
    Ok(Outcome::Pass)
}

async fn s102_one_suspect_of_the_fleet_runs_at_a_time(scene: Scene) -> Verdict {
    let (one, two) = (suspect(&scene).await?, suspect(&scene).await?);
    ensure!(one.runs_alone() && two.runs_alone(), "three crashes make a suspect: {one:?}");
    ensure!(scene.store.take_seat(one.lease).await?, "the seat was free");
    ensure!(!scene.store.take_seat(two.lease).await?, "two suspects at once");
    applied(scene.finish(one.lease, completed()).await?)?;
    ensure!(scene.store.take_seat(two.lease).await?, "the seat was not free again");
    Ok(Outcome::Pass)
}

async fn s105_late_confirm_loses_no_parked_job(scene: Scene) -> Verdict {
    let (envelope, _knowing) = parked_and_back(&scene).await?;
    // It is published, delivered to an ignorant worker and parked before the relay has written down the confirm.
    let start = running(scene.claim(&scene.patient(), &envelope).await?)?;
    ensure!(scene.store.park(&[start.lease]).await? == [true], "the job was not parked again");
    scene.store.mark_published(&[envelope.id]).await?;
    comes(&scene, envelope.id).await?;
    Ok(Outcome::Pass)
}

async fn s202_what_is_parked_or_held_is_found_by_that_word(scene: Scene) -> Verdict {
    let [parked, held, fails, runs, waits] =
        ["parked", "held", "fails", "runs", "waits"].map(|text| scene.envelope(text));
    let start = scene.start(&parked).await?;
    ensure!(scene.store.park(&[start.lease]).await? == [true], "the job was not parked");
    for (envelope, counted) in [(&held, false), (&fails, true)] {
        let start = scene.start(envelope).await?;
        let mut settlement = retry(envelope, 1, counted);
        if let Settlement::Retry(retry) = &mut settlement {
            retry.delay = Duration::from_secs(3600);
            // A handler may say what it likes.
            retry.error.as_mut().expect("an error").message.insert_str(0, "parked: ");
        }
        applied(scene.finish(start.lease, settlement).await?)?;
    }
    scene.start(&runs).await?;
    let later = Envelope { run_at: Some(now() + Duration::from_secs(3600)), ..waits.clone() };
    scene.store.accept(BROKER, vec![later]).await?;
    for (standing, wanted) in [(Standing::Parked, parked.id), (Standing::Held, held.id)] {
        let filter =
            JobFilter { standing: Some(standing), queue: Some(scene.queue.clone()), ..JobFilter::default() };
        let found = scene.store.search(&filter, &Page::default()).await?.jobs;
        let listed = scene.store.list(&filter, &Page::default()).await?;
        for jobs in [&found, &listed] {
            let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
            ensure!(ids == [wanted], "{standing:?} is {wanted}, found are {ids:?}");
            ensure!(jobs[0].standing() == Some(standing), "its record says so: {:?}", jobs[0]);
        }
        ensure!(scene.store.matching(&filter).await?.jobs == 1, "and one of it is counted");
    }
    Ok(Outcome::Pass)
}

async fn s203_the_kinds_that_are_next_in_a_queue_are_told(scene: Scene) -> Verdict {
    let of = |kind: &str, text: &str| -> Result<Envelope, Failure> {
        Ok(Envelope { kind: Kind::new(kind)?, ..scene.envelope(text.to_owned()) })
    };
    let (one, two, aside) = (of("first.kind", "1")?, of("second.kind", "2")?, of("strange.kind", "3")?);
    scene.store.accept(BROKER, vec![one.clone(), two.clone(), of("first.kind", "4")?]).await?;
    let start = scene.start(&aside).await?;
    ensure!(scene.store.park(&[start.lease]).await? == [true], "the job was not parked");
    let elsewhere = QueueName::new(format!("{}.other", scene.queue))?;
    scene.store.accept(BROKER, vec![Envelope { queue: elsewhere.clone(), ..of("third.kind", "5")? }]).await?;
    let both = [scene.queue.clone(), elsewhere.clone()];
    let kinds = scene.store.next_kinds(&both).await?;
    let here = kinds.get(&scene.queue).cloned().unwrap_or_default();
    ensure!(here == [one.kind.clone(), two.kind.clone()], "these wait, told are {kinds:?}");
    ensure!(
        kinds.get(&elsewhere) == Some(&vec![Kind::new("third.kind")?]),
        "each queue has its own: {kinds:?}"
    );
    scene.store.cancel(two.id).await?;
    let kinds = scene.store.next_kinds(&both[..1]).await?;
    ensure!(kinds.get(&scene.queue) == Some(&vec![one.kind]), "what was cancelled is not next: {kinds:?}");
    ensure!(kinds.len() == 1, "nobody asked for another queue: {kinds:?}");
    Ok(Outcome::Pass)
}

async fn s201_parked_kinds_are_listed(scene: Scene) -> Verdict {
    let (one, two) = (scene.envelope("1"), scene.envelope("2"));
    let other = Envelope { kind: Kind::new("another.kind")?, ..scene.envelope("3") };
    for envelope in [&one, &two, &other] {
        let start = scene.start(envelope).await?;
        ensure!(scene.store.park(&[start.lease]).await? == [true], "a job was not parked");
    }
    let parked = async || -> Result<Vec<(String, u64)>, Failure> {
        let all = scene.store.parked().await?.into_iter().filter(|parked| parked.queue == scene.queue);
        Ok(all.map(|parked| (parked.kind.to_string(), parked.jobs)).collect())
    };
    let mut wanted = vec![(other.kind.to_string(), 1), (one.kind.to_string(), 2)];
    wanted.sort();
    let listed = parked().await?;
    ensure!(listed == wanted, "{wanted:?} are parked, listed are {listed:?}");
    scene.store.cancel(two.id).await?;
    let knowing =
        scene.store.announce(&worker(format!("{}:4", scene.queue), vec![other.kind.clone()])?).await?;
    comes(&scene, other.id).await?;
    let listed = parked().await?;
    ensure!(
        listed == [(one.kind.to_string(), 1)],
        "one was cancelled, one offered again; listed are {listed:?}"
    );
    drop(knowing);
    Ok(Outcome::Pass)
}

/// A job whose worker was lost three times.
async fn suspect(scene: &Scene) -> Result<Start, Failure> {
    let envelope = Envelope { created_at: Timestamp::now(), ..scene.envelope(unique_name("suspect")) };
    let mut start = scene.start(&envelope).await?;
    while !start.runs_alone() {
        start = running(scene.reclaim(&scene.patient(), &envelope).await?)?;
    }
    Ok(start)
}
