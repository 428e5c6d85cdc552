//! PostgreSQL's line of waiting jobs and its hands: kept by the database itself, whoever writes the ledger.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use backshift_core::{
    Accepted, Envelope, JobFilter, JobId, Page, State, Timestamp, UniqueKey, UniquePolicy,
    store::{Jobs, Maintenance},
};
use backshift_store::{
    Executor, Uuid,
    ledger::{self, Place, Round},
};

use crate::world::{World, completed, failed, holder, job, queue};

/// Ids in the line, and whether they may run now.
async fn line(world: &World) -> Vec<(JobId, bool)> {
    world.db().sql("SELECT id, ready FROM job_line ORDER BY priority DESC, run_at, id").all().await.unwrap()
}

async fn hands(world: &World) -> Vec<Uuid> {
    world.db().sql("SELECT id FROM job_claims").all().await.unwrap()
}

async fn claim(world: &World, limit: u32, round: &Round) -> Vec<Envelope> {
    let claimed = ledger::claim_round(world.db(), &queue("ready"), limit, &holder("w"), round).await.unwrap();
    claimed.into_iter().map(|(envelope, _)| envelope).collect()
}

#[tokio::test]
async fn the_line_holds_what_waits_and_nothing_else() {
    let Some(world) = World::postgres().await else { return };
    let now = world.enqueue(job("ready")).await.id();
    let later = Envelope { run_at: Some(Timestamp::now() + Duration::from_secs(3600)), ..job("ready") };
    let later = world.enqueue(later).await.id();
    assert_eq!(line(&world).await, [(now, true), (later, false)]);
    world.store.cancel(later).await.unwrap();
    assert_eq!(line(&world).await, [(now, true)]);
    let (envelope, start) = world.claim("w").await.unwrap();
    assert!(line(&world).await.is_empty());
    world.finish(start.lease, failed(&envelope, Duration::from_secs(60))).await;
    assert_eq!(line(&world).await, [(now, false)]);
    world.set_time(now, "run_at", -1).await;
    assert_eq!(world.store.promote(10).await.unwrap().0, 1);
    assert_eq!(line(&world).await, [(now, true)]);
    let (_, start) = world.claim("w").await.unwrap();
    world.end_lease(now).await;
    world.store.rescue().await.unwrap();
    assert_eq!(line(&world).await, [(now, true)]);
    world.finish(start.lease, completed()).await;
    assert_eq!(line(&world).await, [(now, true)], "a late result changes nothing");
    world.claim("w").await.unwrap();
    assert_eq!(ledger::depth(world.db(), &queue("ready")).await.unwrap(), 0);
}

async fn leaves_the_line(by_hand: &'static str) {
    let Some(world) = World::postgres().await else { return };
    world.enqueue(job("ready")).await;
    world.db().sql(by_hand).run().await.unwrap();
    assert!(line(&world).await.is_empty());
}

#[tokio::test]
async fn a_waiting_job_that_is_deleted_by_hand_leaves_the_line() {
    leaves_the_line("DELETE FROM background_jobs").await;
}

#[tokio::test]
async fn a_waiting_job_that_is_completed_by_hand_leaves_the_line() {
    leaves_the_line("UPDATE background_jobs SET status = 'completed'").await;
}

/// Statements of ours keep the marks in step with the status (`marks.sql`); people who write a status do not.
#[tokio::test]
async fn a_status_that_was_written_by_hand_gives_the_seat_up_and_takes_it_again() {
    let Some(world) = World::postgres().await else { return };
    world.db().sql("ALTER TABLE background_jobs DROP CONSTRAINT marks_agree").run().await.unwrap();
    let unique = UniqueKey { key: "k".into(), policy: UniquePolicy::Reject };
    let keyed = || Envelope { unique: Some(unique.clone()), ..job("ready") };
    let first = world.enqueue(keyed()).await.id();
    let write = |status: &str| format!("UPDATE background_jobs SET status = '{status}' WHERE id = $1");
    world.db().text(write("cancelled")).bind(first).run().await.unwrap();
    let second = world.enqueue(keyed()).await;
    assert!(matches!(second, Accepted::New(_)), "the seat was free: {second:?}");
    let filter = JobFilter { state: Some(State::Cancelled), ..JobFilter::default() };
    assert_eq!(world.store.list(&filter, &Page::default()).await.unwrap().len(), 1);
    world.db().text(write("available")).bind(first).run().await.expect_err("the second one has the seat");
    world.db().text(write("completed")).bind(second.id()).run().await.unwrap();
    world.db().text(write("available")).bind(first).run().await.unwrap();
    assert_eq!(world.enqueue(keyed()).await, Accepted::Unique(first));
}

#[tokio::test]
async fn a_hand_goes_with_a_later_claim_or_with_the_rescuer() {
    let Some(world) = World::postgres().await else { return };
    let (first, second) = (Round::default(), Round::default());
    for _ in 0..2 {
        world.enqueue(job("ready")).await;
    }
    assert_eq!(claim(&world, 1, &first).await.len(), 1);
    assert_eq!(claim(&world, 1, &second).await.len(), 1);
    assert_eq!(hands(&world).await.len(), 2);
    let told = Round { settled: vec![first.hand], ..Round::default() };
    assert!(claim(&world, 1, &told).await.is_empty(), "nothing waits");
    assert_eq!(hands(&world).await, [second.hand]);
    world.store.rescue().await.unwrap();
    assert_eq!(hands(&world).await, [second.hand], "its job runs");
    world.db().sql("UPDATE background_jobs SET status = 'completed'").run().await.unwrap();
    world.store.rescue().await.unwrap();
    assert_eq!(hands(&world).await, [second.hand], "nobody looks before a lease of it may be over");
    world.claims_are_doubtful().await;
    world.store.rescue().await.unwrap();
    assert!(hands(&world).await.is_empty());
}

#[tokio::test]
async fn a_claim_that_goes_on_sees_what_is_more_urgent_and_a_whole_walk_sees_everything() {
    let Some(world) = World::postgres().await else { return };
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(world.enqueue(job("ready")).await.id());
    }
    let first = claim(&world, 1, &Round::default()).await;
    assert_eq!(first[0].id, ids[0]);
    let early = world.enqueue(job("ready")).await.id();
    world.set_time(early, "run_at", -3600).await;
    let urgent = world.enqueue(Envelope { priority: 5, ..job("ready") }).await.id();
    let place = Place { priority: 0, run_at: first[0].created_at };
    let on = Round { from: Some(place), ..Round::default() };
    let taken: Vec<JobId> = claim(&world, 2, &on).await.iter().map(|job| job.id).collect();
    assert_eq!(taken, [urgent, ids[1]]);
    let whole: Vec<JobId> = claim(&world, 9, &Round::default()).await.iter().map(|job| job.id).collect();
    assert_eq!(whole, [early, ids[2]]);
}

/// A claim that saw line and job at different moments would take a job out of the line that it cannot start yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn claims_beside_commits_lose_no_job() {
    let Some(world) = World::postgres().await else { return };
    let world = Arc::new(world);
    let mut producers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let world = Arc::clone(&world);
        producers.spawn(async move {
            for _ in 0..250 {
                world.enqueue(job("ready")).await;
            }
        });
    }
    let mut claimers = tokio::task::JoinSet::new();
    let going = Arc::new(AtomicBool::new(true));
    for _ in 0..3 {
        let (world, going) = (Arc::clone(&world), Arc::clone(&going));
        claimers.spawn(async move {
            let mut started = 0;
            while going.load(Ordering::Relaxed) {
                started += claim(&world, 50, &Round::default()).await.len();
            }
            started
        });
    }
    producers.join_all().await;
    going.store(false, Ordering::Relaxed);
    let started: usize = claimers.join_all().await.into_iter().sum();
    let rest = claim(&world, 1000, &Round::default()).await.len();
    assert_eq!(started + rest, 1000, "what was accepted can be claimed");
}
