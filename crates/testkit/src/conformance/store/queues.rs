//! Chapter *queues*: counts that add up, and a pause that the whole fleet sees.

use std::time::Duration;

use backshift_core::{QueueCounts, Settlement, State};

use super::scene::{BROKER, Scene, applied, retry};
use crate::conformance::case::{Failure, Outcome, Verdict, cases, ensure};

cases! { Scene:
    s50_counts_are_by_state,
    s51_pause_is_seen_and_says_what_changed,
}

async fn s50_counts_are_by_state(scene: Scene) -> Verdict {
    for n in 0..3 {
        scene.complete(&scene.envelope(n.to_string())).await?;
    }
    scene.bury(&scene.envelope("dead")).await?;
    scene.start(&scene.envelope("running")).await?;
    let failing = scene.envelope("failing");
    let start = scene.start(&failing).await?;
    let mut later = retry(&failing, 1, true);
    if let Settlement::Retry(retry) = &mut later {
        retry.delay = Duration::from_secs(60);
    }
    applied(scene.finish(start.lease, later).await?)?;
    scene.store.accept(BROKER, vec![scene.envelope("waits"), scene.envelope("waits too")]).await?;
    let counts = counts(&scene).await?;
    let wanted = [
        (State::Completed, 3),
        (State::Dead, 1),
        (State::Running, 1),
        (State::Retrying, 1),
        (State::Available, 2),
        (State::Cancelled, 0),
    ];
    for (state, count) in wanted {
        ensure!(
            counts.count(state) == count,
            "{} jobs are {state:?}, not {count}: {counts:?}",
            counts.count(state)
        );
    }
    ensure!(counts.oldest_due.is_some(), "two jobs wait, but nothing is due");
    Ok(Outcome::Pass)
}

async fn s51_pause_is_seen_and_says_what_changed(scene: Scene) -> Verdict {
    scene.complete(&scene.envelope("x")).await?;
    for (paused, changed) in [(true, true), (true, false), (false, true), (false, false)] {
        let answer = scene.store.pause(&scene.queue, paused).await?;
        ensure!(answer == changed, "pause({paused}) said {answer}");
        let listed = scene.store.paused().await?.contains(&scene.queue);
        ensure!(listed == paused, "pause({paused}), but the list of paused queues says {listed}");
        let counted = counts(&scene).await?.paused;
        ensure!(counted == paused, "pause({paused}), but the counts say {counted}");
    }
    Ok(Outcome::Pass)
}

async fn counts(scene: &Scene) -> Result<QueueCounts, Failure> {
    let all = scene.store.counts().await?;
    let mut names: Vec<_> = all.iter().map(|counts| counts.queue.as_str().to_owned()).collect();
    let found = all.into_iter().find(|counts| counts.queue == scene.queue);
    names.sort();
    found.ok_or_else(|| Failure::new(format!("{} is not among the queues {names:?}", scene.queue)))
}
