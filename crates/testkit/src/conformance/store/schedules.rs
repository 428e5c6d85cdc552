//! Chapter *schedules*: each tick of cron once, however many instances run.

use std::time::Duration;

use super::scene::{Scene, now};
use crate::conformance::case::{Outcome, Verdict, cases, ensure};

cases! { Scene:
    s56_new_schedule_begins_now,
    s57_each_tick_is_won_once,
    s58_tick_from_a_wrong_slot_is_refused,
}

async fn s56_new_schedule_begins_now(scene: Scene) -> Verdict {
    let begin = now();
    let first = scene.store.last_tick("nightly", begin).await?;
    ensure!(first == begin, "a new schedule begins at {first}, not {begin}");
    let later = begin.checked_add(Duration::from_secs(3600))?;
    let again = scene.store.last_tick("nightly", later).await?;
    ensure!(again == begin, "a known schedule moved to {again} by being asked");
    let listed = scene.store.schedules().await?;
    ensure!(listed == [("nightly".to_owned(), begin)], "the schedules are {listed:?}");
    Ok(Outcome::Pass)
}

async fn s57_each_tick_is_won_once(scene: Scene) -> Verdict {
    let mut last = scene.store.last_tick("minutely", now()).await?;
    for tick in 0..5 {
        let next = last.checked_add(Duration::from_secs(60))?;
        let mut tasks = Vec::new();
        for _ in 0..8 {
            let store = scene.store.clone();
            tasks.push(tokio::spawn(async move { store.advance("minutely", last, next).await }));
        }
        let mut winners = 0;
        for task in tasks {
            winners += u32::from(task.await??);
        }
        ensure!(winners == 1, "tick {tick} was won by {winners} of 8 instances");
        last = next;
    }
    let kept = scene.store.last_tick("minutely", now()).await?;
    ensure!(kept == last, "the last slot is {kept}, not {last}");
    Ok(Outcome::Pass)
}

async fn s58_tick_from_a_wrong_slot_is_refused(scene: Scene) -> Verdict {
    let first = scene.store.last_tick("hourly", now()).await?;
    let (second, third) =
        (first.checked_add(Duration::from_secs(3600))?, first.checked_add(Duration::from_secs(7200))?);
    let wrong = scene.store.advance("hourly", second, third).await?;
    ensure!(!wrong, "a slot that was never the last one was accepted as such");
    let unknown = scene.store.advance("nobody knows this one", first, second).await?;
    ensure!(!unknown, "a schedule that nobody registered advanced");
    ensure!(scene.store.last_tick("hourly", now()).await? == first, "a refused tick moved the slot");
    Ok(Outcome::Pass)
}
