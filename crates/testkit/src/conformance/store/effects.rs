//! Chapter *effects*: what is known about an effect in the outside world survives every crash.
//!
//! An effect that was begun and never concluded is ambiguous; it must never look as if it had not been begun.

use backshift_core::{EffectState, JobFilter, Page, StoreError};

use super::scene::{Scene, running};
use crate::conformance::case::{Outcome, Verdict, cases, ensure};

cases! { Scene:
    s67_first_intention_knows_of_nothing,
    s68_unfinished_effect_becomes_ambiguous,
    s69_done_effect_stays_done_with_its_receipt,
    s70_late_worker_cannot_touch_effects,
}

async fn s67_first_intention_knows_of_nothing(scene: Scene) -> Verdict {
    let envelope = scene.envelope("x");
    let lease = scene.start(&envelope).await?.lease;
    let status = scene.store.intend(&lease, "mail").await?;
    ensure!(status.before == EffectState::None && status.tries == 1, "the first intention: {status:?}");
    let other = scene.store.intend(&lease, "webhook").await?;
    ensure!(other.before == EffectState::None, "another effect of the job: {other:?}");
    let row = scene.row(envelope.id).await?;
    ensure!(row.effect == EffectState::Intended, "the job shows its effect as {:?}", row.effect);
    Ok(Outcome::Pass)
}

async fn s68_unfinished_effect_becomes_ambiguous(scene: Scene) -> Verdict {
    let envelope = scene.envelope("x");
    let first = scene.start(&envelope).await?.lease;
    scene.store.intend(&first, "mail").await?;
    let second = running(scene.reclaim(&scene.patient(), &envelope).await?)?.lease;
    let status = scene.store.intend(&second, "mail").await?;
    let unknown = matches!(status.before, EffectState::Intended | EffectState::Ambiguous);
    ensure!(unknown && status.tries == 2, "an effect that was begun before: {status:?}");
    let filter = JobFilter { effect: Some(EffectState::Ambiguous), ..JobFilter::default() };
    let found = scene.store.list(&filter, &Page::default()).await?;
    ensure!(found.iter().any(|row| row.id == envelope.id), "not listed as ambiguous");
    Ok(Outcome::Pass)
}

async fn s69_done_effect_stays_done_with_its_receipt(scene: Scene) -> Verdict {
    let envelope = scene.envelope("x");
    let first = scene.start(&envelope).await?.lease;
    scene.store.intend(&first, "mail").await?;
    scene.store.conclude(&first, "mail", EffectState::Done, Some("250 2.0.0 queued as 4711")).await?;
    let second = running(scene.reclaim(&scene.patient(), &envelope).await?)?.lease;
    for _ in 0..2 {
        let status = scene.store.intend(&second, "mail").await?;
        ensure!(status.before == EffectState::Done, "an effect that is done: {status:?}");
        let receipt = status.receipt.as_deref();
        ensure!(receipt == Some("250 2.0.0 queued as 4711"), "its receipt became {receipt:?}");
    }
    ensure!(scene.row(envelope.id).await?.effect == EffectState::Done, "the job shows it differently");
    Ok(Outcome::Pass)
}

async fn s70_late_worker_cannot_touch_effects(scene: Scene) -> Verdict {
    let envelope = scene.envelope("x");
    let late = scene.start(&envelope).await?.lease;
    let current = running(scene.reclaim(&scene.patient(), &envelope).await?)?.lease;
    scene.store.intend(&current, "mail").await?;
    let intended = scene.store.intend(&late, "mail").await;
    ensure!(matches!(intended, Err(StoreError::Stale)), "a late intention: {intended:?}");
    let concluded = scene.store.conclude(&late, "mail", EffectState::None, None).await;
    ensure!(matches!(concluded, Err(StoreError::Stale)), "a late conclusion: {concluded:?}");
    ensure!(
        scene.row(envelope.id).await?.effect == EffectState::Intended,
        "a late worker changed the effect"
    );
    Ok(Outcome::Pass)
}
