//! Chapter *heartbeat*: leases are extended by the holder only, and wishes to cancel come back with the answer.

use std::time::Duration;

use backshift_core::{
    Lease, State, WorkerName,
    store::{Beat, Claimed, Harm, Pulse, Trouble, WorkerRecord},
};

use super::scene::{Scene, applied, completed, now, running};
use crate::conformance::case::{Failure, Outcome, Verdict, cases, ensure};

cases! { Scene:
    s30_beat_keeps_the_lease,
    s31_beat_of_a_lower_token_is_lost,
    s32_beat_brings_the_wish_to_cancel,
    s33_progress_is_shown,
    s34_announced_worker_is_listed,
    s200_troubles_of_a_worker_are_listed,
}

async fn s30_beat_keeps_the_lease(scene: Scene) -> Verdict {
    let envelope = scene.envelope("x");
    let start = running(scene.claim(&scene.holder, &envelope).await?)?;
    let other = scene.other()?;
    for _ in 0..12 {
        // A whole lease from now on, whatever the machine does meanwhile; a tenth is allowed for coarse clocks.
        let least = now().checked_add(scene.lease * 9 / 10)?;
        let pulse = beat(&scene, start.lease, None).await?;
        let Pulse::Until(until) = pulse else {
            return Err(Failure::new(format!("the holder's beat was answered with {pulse:?}")));
        };
        ensure!(until >= least, "a beat extends the lease to {until} only, not beyond {least}");
        tokio::time::sleep(scene.lease / 4).await;
        scene.store.rescue().await?;
        let claimed = scene.claim(&other, &envelope).await?;
        if !matches!(claimed, Claimed::Held(_)) {
            let text = format!("while it beats, another worker got {claimed:?}");
            return Err(Failure::unless_overtaken(now() >= until, text));
        }
    }
    applied(scene.finish(start.lease, completed()).await?)?;
    let over = beat(&scene, start.lease, None).await?;
    ensure!(over == Pulse::Lost, "a beat for a finished job was answered with {over:?}");
    Ok(Outcome::Pass)
}

async fn s31_beat_of_a_lower_token_is_lost(scene: Scene) -> Verdict {
    let envelope = scene.envelope("x");
    let late = scene.start(&envelope).await?;
    let current = running(scene.reclaim(&scene.patient(), &envelope).await?)?;
    let before = scene.row(envelope.id).await?;
    let pulse = beat(&scene, late.lease, Some((50, "half".into()))).await?;
    ensure!(pulse == Pulse::Lost, "a late beat was answered with {pulse:?}");
    ensure!(scene.row(envelope.id).await? == before, "a late beat changed the row");
    let pulse = beat(&scene, current.lease, None).await?;
    ensure!(matches!(pulse, Pulse::Until(_)), "the current beat was answered with {pulse:?}");
    Ok(Outcome::Pass)
}

async fn s32_beat_brings_the_wish_to_cancel(scene: Scene) -> Verdict {
    let envelope = scene.envelope("x");
    let start = scene.start(&envelope).await?;
    let state = scene.store.cancel(envelope.id).await?;
    ensure!(state == State::Running, "a running job that shall be cancelled is {state:?}");
    let pulse = beat(&scene, start.lease, None).await?;
    ensure!(pulse == Pulse::CancelRequested, "the beat was answered with {pulse:?}");
    let end = backshift_core::Settlement::Ack(backshift_core::Ack::Cancelled);
    applied(scene.finish(start.lease, end).await?)?;
    let row = scene.row(envelope.id).await?;
    ensure!(row.state == State::Cancelled, "a job that was stopped on request is {:?}", row.state);
    Ok(Outcome::Pass)
}

async fn s33_progress_is_shown(scene: Scene) -> Verdict {
    let envelope = scene.envelope("x");
    let start = scene.start(&envelope).await?;
    for progress in [(0, String::new()), (42, "copied 42 of 100, äöü".to_owned()), (100, "done".to_owned())]
    {
        beat(&scene, start.lease, Some(progress.clone())).await?;
        let row = scene.row(envelope.id).await?;
        ensure!(row.progress == Some(progress), "progress became {:?}", row.progress);
    }
    beat(&scene, start.lease, None).await?;
    let row = scene.row(envelope.id).await?;
    ensure!(row.progress.is_some(), "a beat without progress removed it");
    Ok(Outcome::Pass)
}

async fn s34_announced_worker_is_listed(scene: Scene) -> Verdict {
    let name = WorkerName::new(scene.holder.worker.as_str())?;
    let kinds = vec![scene.envelope("").kind];
    let record = WorkerRecord { kinds, running: 1, ..WorkerRecord::new(name, "default:8,mail:2", now()) };
    scene.start(&scene.envelope("x")).await?;
    let guard = scene.store.announce(&record).await?;
    ensure!(guard.stands(), "a fresh sign of life does not stand");
    let workers = scene.store.workers().await?;
    let seen = workers.iter().find(|worker| worker.name == record.name);
    let seen = seen.ok_or_else(|| Failure::new(format!("not listed among {workers:?}")))?;
    ensure!(seen.queues == record.queues && seen.running == 1, "listed as {seen:?}");
    ensure!(seen.kinds == record.kinds, "listed with the kinds {:?}", seen.kinds);
    Ok(Outcome::Pass)
}

async fn s200_troubles_of_a_worker_are_listed(scene: Scene) -> Verdict {
    let trouble = |part: &str, said: String| Trouble {
        part: part.to_owned(),
        said,
        harm: if part == "mail" { Harm::Held } else { Harm::Unready },
        since: now(),
        next: Some(now()),
        queue: None,
        kinds: vec![scene.envelope("x").kind],
    };
    let first = vec![trouble("mail", "535 5.7.8 no".into())];
    let record = WorkerRecord {
        name: WorkerName::new(scene.holder.worker.as_str())?,
        queues: "default:8".into(),
        kinds: Vec::new(),
        started_at: now(),
        seen_at: now(),
        running: 0,
        troubles: first.clone(),
    };
    let guard = scene.store.announce(&record).await?;
    let told = async || {
        let listed = scene.store.workers().await?.into_iter().find(|worker| worker.name == record.name);
        listed.map(|worker| worker.troubles).ok_or_else(|| Failure::new("the worker is not listed"))
    };
    ensure!(told().await? == first, "announced with {first:?}, listed with {:?}", told().await?);
    let second = vec![trouble("queue orders", "refused \0 \u{1b}[31m äöü".into()), first[0].clone()];
    scene.store.tell(&record.name, &second).await?;
    let listed = told().await?;
    ensure!(
        listed.len() == 2 && listed[0].said == second[0].said.replace('\0', "\u{FFFD}"),
        "listed: {listed:?}"
    );
    let many: Vec<_> = (0..500).map(|n| trouble(&format!("queue {n}"), "\u{1}".repeat(10_000))).collect();
    scene.store.tell(&record.name, &many).await?;
    let listed = told().await?;
    let bytes: usize = listed.iter().map(|trouble| trouble.part.len() + trouble.said.len()).sum();
    ensure!(
        !listed.is_empty() && bytes <= Trouble::KEPT,
        "{} troubles of {bytes} bytes are kept",
        listed.len()
    );
    scene.store.tell(&record.name, &[]).await?;
    ensure!(told().await?.is_empty(), "well again, and still listed with {:?}", told().await?);
    drop(guard);
    Ok(Outcome::Pass)
}

async fn beat(scene: &Scene, lease: Lease, progress: Option<(u8, String)>) -> Result<Pulse, Failure> {
    let holder = backshift_core::store::Holder {
        lease: scene.lease.max(Duration::from_millis(200)),
        ..scene.holder.clone()
    };
    let mut answers = scene.store.beat(&holder, vec![Beat { lease, progress }]).await?;
    answers.pop().ok_or_else(|| Failure::new("no answer to a beat"))
}
