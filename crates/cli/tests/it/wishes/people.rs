//! Cancel, pause and resume: from the end of the command until the worker does it.
//!
//! The lease is so long that no heartbeat can be what notices; what notices is the hint, or the look of every second.

use std::{
    cell::Cell,
    time::{Duration, Instant, SystemTime},
};

use backshift_testkit::{pace, servers::require, survival::Times, wait};

use super::{QUEUE, Stage, assert_share};
use crate::scene::{PATIENCE, Place, probe};

/// A third of it is a heartbeat.
const LEASE: &str = "120s";
/// Every wish, also when nobody was told of it.
const AT_THE_LATEST: Duration = Duration::from_secs(5);
/// Half of those that the worker was told of.
const USUALLY: Duration = Duration::from_secs(1);
const CANCELS: u64 = 7;
const ROUNDS: usize = 3;
/// At 20 starts a second this is much longer than any wish may take.
const FLOW: u64 = 1200;
/// A queue in which nothing has started for so long stands still.
const STILL: Duration = Duration::from_secs(1);

/// How the worker may come to know a wish.
#[derive(Clone, Copy, PartialEq)]
enum Word {
    Told,
    /// It has to look by itself.
    Lost,
}

fn in_time(times: &Times, word: Word) {
    println!("{times}");
    assert_share(times, 1.0, AT_THE_LATEST);
    if word == Word::Told {
        assert_share(times, 0.5, USUALLY);
    }
}

async fn cancelled(place: Place, word: Word) {
    let stage = Stage::set(place.with(&[("BACKSHIFT_WORKER_LEASE", LEASE)]), 8).await;
    let jobs: Vec<_> = (0..CANCELS).map(|n| probe(&format!("long{n}"), "sleep", 600_000, 0)).collect();
    let ids = stage.place.enqueue(&jobs).await;
    stage.wait_starts(CANCELS).await;
    let mut times = Times::of("a running job is cancelled".to_owned());
    for id in &ids {
        stage.place.run(&["jobs", "cancel", id]).await.done();
        let wished = Instant::now();
        let sql = format!("SELECT count(*) FROM background_jobs WHERE id = '{id}' AND status = 'cancelled'");
        let over = wait::until(PATIENCE, || async { stage.number(sql.clone()).await == 1 });
        assert!(over.await, "{id} goes on\n{}", stage.worker.output());
        times.add(wished.elapsed());
    }
    in_time(&times, word);
    assert_eq!(stage.starts().await, CANCELS, "a cancelled job started again");
    assert_eq!(stage.worker.drained().await, Some(0));
}

/// Waits until nothing has started for a while; when the last job did.
async fn stands_still(stage: &Stage) -> SystemTime {
    let seen = Cell::new((stage.starts().await, Instant::now()));
    let still = wait::until(PATIENCE, || async {
        let starts = stage.starts().await;
        if starts != seen.get().0 {
            seen.set((starts, Instant::now()));
        }
        seen.get().1.elapsed() >= pace::stretched(STILL)
    });
    assert!(still.await, "a paused queue is worked\n{}", stage.worker.output());
    stage.last_start("flow").await
}

/// The claim of an SQL broker takes nothing from a paused queue, whether the worker knows of the pause or not; what a
/// foreign broker hands out stops when the worker knows.
async fn paused_and_resumed(place: Place, word: Word) {
    let stage = Stage::set(place.with(&[("BACKSHIFT_WORKER_LEASE", LEASE)]), 2).await;
    let mut flow = probe("flow", "sleep", 100, 0);
    flow["count"] = FLOW.into();
    stage.place.enqueue(&[flow]).await;
    let (mut pauses, mut resumes) =
        (Times::of("a queue is paused".to_owned()), Times::of("a queue is resumed".to_owned()));
    for _ in 0..ROUNDS {
        stage.wait_starts(stage.starts().await + 4).await;
        stage.place.run(&["queues", "pause", QUEUE]).await.done();
        let wished = SystemTime::now();
        let last = stands_still(&stage).await;
        pauses.add(last.duration_since(wished).unwrap_or_default());
        let before = stage.starts().await;
        assert!(before < FLOW, "the jobs ended before the pause was noticed: {pauses}");
        stage.place.run(&["queues", "resume", QUEUE]).await.done();
        let wished = Instant::now();
        stage.wait_starts(before + 1).await;
        resumes.add(wished.elapsed());
    }
    in_time(&pauses, word);
    in_time(&resumes, word);
    assert_eq!(stage.worker.drained().await, Some(0));
}

/// Two tests on each ground: the running job that is cancelled, and the queue that is paused and resumed.
macro_rules! on_each_ground {
    ($($name:ident: $place:expr, $word:ident;)+) => {
        $(mod $name {
            #[tokio::test]
            async fn a_running_job_is_cancelled_in_time() {
                let Some(place) = $place.await else { return };
                super::cancelled(place, super::Word::$word).await;
            }

            #[tokio::test]
            async fn a_queue_is_paused_and_resumed_in_time() {
                let Some(place) = $place.await else { return };
                super::paused_and_resumed(place, super::Word::$word).await;
            }
        })+
    };
}

on_each_ground! {
    on_the_embedded_broker: super::embedded(), Told;
    on_postgres: super::postgres(), Told;
    on_rabbitmq: super::rabbitmq(), Told;
    behind_a_transaction_pooler: super::pooled(), Lost;
}

async fn embedded() -> Option<Place> {
    Some(Place::embedded())
}

async fn postgres() -> Option<Place> {
    let place = Place::postgres().await?;
    place.migrate().await;
    Some(place)
}

async fn rabbitmq() -> Option<Place> {
    let place = Place::rabbitmq().await?;
    place.migrate().await;
    Some(place)
}

/// Worker and command both: no session of theirs hears anything.
async fn pooled() -> Option<Place> {
    let door = require("PGBOUNCER_URL")?;
    Some(postgres().await?.through(&door))
}
