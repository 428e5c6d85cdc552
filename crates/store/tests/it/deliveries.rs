//! Foreign brokers: who may run a delivery, and what the ledger says about its job.

use std::time::Duration;

use backshift_core::{
    Envelope, JobId, Settled, State,
    store::{ClaimRequest, Claimed, Finish, Jobs, Ledger, Start},
    wire::SENSITIVE,
};

use backshift_store::{Executor, Tx};

use crate::{
    liveness::wait_until,
    on_both_databases,
    world::{World, completed, failed, holder, job},
};

fn delivery(envelope: &Envelope) -> ClaimRequest {
    ClaimRequest {
        envelope: envelope.clone(),
        broker: "rabbitmq",
        redelivered: false,
        anonymous: false,
        except: Vec::new(),
    }
}

fn redelivery(envelope: &Envelope) -> ClaimRequest {
    ClaimRequest { redelivered: true, ..delivery(envelope) }
}

/// A message without an id: each delivery brings a fresh one.
fn nameless(redelivered: bool) -> ClaimRequest {
    ClaimRequest { redelivered, anonymous: true, ..delivery(&job("mail")) }
}

async fn ask(world: &World, worker: &str, request: ClaimRequest) -> Claimed {
    world.store.claim(&holder(worker), vec![request]).await.unwrap().pop().unwrap()
}

fn started(claimed: Claimed) -> Start {
    match claimed {
        Claimed::Run(start) => start,
        other => panic!("expected a start, got {other:?}"),
    }
}

async fn set(world: &World, what: &str, id: JobId) {
    let text = format!("UPDATE background_jobs SET {what} WHERE id = $1");
    world.db().text(text).bind(id).run().await.unwrap();
}

async fn finish(world: &World, start: &Start) -> Settled {
    let finish = Finish { lease: start.lease, settlement: completed(), durable: true };
    world.store.finish(vec![finish]).await.unwrap()[0]
}

on_both_databases! {
    async fn the_first_delivery_runs_and_makes_the_row(world) {
        let envelope = job("mail");
        let start = started(ask(world, "w1", delivery(&envelope)).await);
        assert_eq!((start.attempt, start.starts, start.lease.token.0), (1, 1, 1));
        let record = world.store.find(envelope.id).await.unwrap().unwrap();
        assert_eq!((record.state, record.broker.as_str()), (State::Running, "rabbitmq"));
        assert!(matches!(ask(world, "w2", delivery(&envelope)).await, Claimed::Held(wait) if wait > Duration::from_secs(20)));
        assert_eq!(finish(world, &start).await, Settled::Applied);
        assert_eq!(ask(world, "w2", redelivery(&envelope)).await, Claimed::Over(State::Completed));
        assert!(world.claim("w").await.is_none(), "a SQL broker never claims it");
    }

    async fn a_redelivery_takes_over_and_counts_a_crash(world) {
        let envelope = job("mail");
        let old = started(ask(world, "w1", delivery(&envelope)).await);
        let new = started(ask(world, "w2", redelivery(&envelope)).await);
        assert_eq!((new.attempt, new.starts, new.crashes, new.lease.token.0), (1, 2, 1, 2));
        assert_eq!(finish(world, &old).await, Settled::Stale);
        assert_eq!(finish(world, &new).await, Settled::Applied);
        let outcomes: Vec<_> = world.store.attempts(envelope.id).await.unwrap();
        let outcomes: Vec<_> = outcomes.iter().filter_map(|a| a.outcome.as_deref()).collect();
        assert_eq!(outcomes, ["crash", "completed"]);
    }

    async fn a_lease_that_is_over_is_taken_over_without_the_flag(world) {
        let envelope = job("mail");
        started(ask(world, "w1", delivery(&envelope)).await);
        world.end_lease(envelope.id).await;
        assert_eq!(started(ask(world, "w2", delivery(&envelope)).await).crashes, 1);
    }

    async fn twenty_lonely_crashes_are_the_end(world) {
        let envelope = job("mail");
        started(ask(world, "w", delivery(&envelope)).await);
        for crash in 1..=22 {
            let start = started(ask(world, "w", redelivery(&envelope)).await);
            assert_eq!((start.crashes, start.runs_alone(), start.attempt), (crash, crash >= 3, 1));
        }
        assert_eq!(ask(world, "w", redelivery(&envelope)).await, Claimed::Over(State::Dead));
        let record = world.store.find(envelope.id).await.unwrap().unwrap();
        assert_eq!((record.reason.as_deref(), record.crashes), (Some("crash-loop"), 23));
    }

    async fn another_payload_under_a_known_id_is_a_conflict(world) {
        let envelope = job("mail");
        started(ask(world, "w", delivery(&envelope)).await);
        let other = Envelope { payload: "other".into(), ..envelope };
        assert_eq!(ask(world, "w", redelivery(&other)).await, Claimed::Conflict);
    }

    async fn one_message_twice_in_a_batch_runs_once(world) {
        let (one, two) = (job("mail"), job("mail"));
        let batch = vec![delivery(&one), redelivery(&one), delivery(&two)];
        let answers = world.store.claim(&holder("w"), batch.clone()).await.unwrap();
        assert!(matches!(answers[..], [Claimed::Run(_), Claimed::Held(_), Claimed::Run(_)]), "{answers:?}");
        let again = world.store.claim(&holder("w"), vec![redelivery(&one), redelivery(&one)]).await.unwrap();
        assert!(matches!(again[..], [Claimed::Run(_), Claimed::Held(_)]), "{again:?}");
    }

    async fn a_failed_delivery_runs_again_with_the_next_attempt(world) {
        let envelope = job("mail");
        let start = started(ask(world, "w", delivery(&envelope)).await);
        let again = Finish { lease: start.lease, settlement: failed(&envelope, Duration::from_secs(60)), durable: true };
        assert_eq!(world.store.finish(vec![again]).await.unwrap(), [Settled::Applied]);
        assert_eq!(world.state(envelope.id).await, State::Retrying);
        assert!(matches!(ask(world, "w", redelivery(&envelope)).await, Claimed::Early(rest) if rest > Duration::from_secs(30)));
        set(world, "run_at = clock_timestamp()", envelope.id).await;
        let start = started(ask(world, "w", delivery(&envelope)).await);
        assert_eq!((start.attempt, start.starts, start.crashes), (2, 2, 0));
    }

    async fn a_cancelled_job_is_only_acknowledged(world) {
        let envelope = job("mail");
        backshift_core::store::Outbox::accept(&world.store, "rabbitmq", vec![envelope.clone()]).await.unwrap();
        assert_eq!(world.store.cancel(envelope.id).await.unwrap(), State::Cancelled);
        assert_eq!(ask(world, "w", delivery(&envelope)).await, Claimed::Over(State::Cancelled));
    }

    async fn a_recorded_effect_absorbs_one_redelivery_of_a_nameless_message(world) {
        let start = started(ask(world, "w", nameless(false)).await);
        finish(world, &start).await;
        let second = started(ask(world, "w", nameless(false)).await);
        finish(world, &second).await;
        assert_ne!(start.lease.job, second.lease.job, "two equal messages are two jobs");
        let mut left = vec![start.lease.job, second.lease.job];
        while !left.is_empty() {
            let Claimed::Known(job, answer) = ask(world, "w", nameless(true)).await else {
                panic!("{left:?} are left to answer");
            };
            assert_eq!(*answer, Claimed::Over(State::Completed));
            left.retain(|one| *one != job);
            world.store.gone(vec![job]).await.unwrap();
        }
        assert!(matches!(ask(world, "w", nameless(true)).await, Claimed::Run(_)), "each settles one message");
    }

    async fn a_nameless_message_whose_worker_died_is_found_again_and_again(world) {
        let done = started(ask(world, "w1", nameless(false)).await);
        finish(world, &done).await;
        let first = started(ask(world, "w1", nameless(false)).await);
        let second = started(ask(world, "w2", nameless(true)).await);
        assert_eq!((second.lease.job, second.crashes), (first.lease.job, 1), "the unfinished one comes first");
        let held = ClaimRequest { except: vec![first.lease.job], ..nameless(true) };
        let over = Claimed::Known(done.lease.job, Box::new(Claimed::Over(State::Completed)));
        assert_eq!(ask(world, "w2", held).await, over, "w2 runs that one, so it is the finished one");
        let third = started(ask(world, "w3", nameless(true)).await);
        assert_eq!((third.lease.job, third.crashes), (first.lease.job, 2));
    }

    async fn the_ledger_keeps_no_secret_and_no_large_body(world) {
        let mut secret = job("mail");
        secret.headers.insert(SENSITIVE.into(), "1".into());
        let large = Envelope { payload: vec![7; 70_000].into(), ..job("mail") };
        let batch = vec![delivery(&secret), delivery(&large)];
        world.store.claim(&holder("w"), batch).await.unwrap();
        for (id, size) in [(secret.id, secret.payload.len()), (large.id, 70_000)] {
            let record = world.store.find(id).await.unwrap().unwrap();
            assert_eq!((record.payload, record.payload_size), (None, size as u64));
        }
        let kept = world.db().sql("SELECT COUNT(*) FROM background_jobs WHERE payload IS NOT NULL");
        assert_eq!(kept.one::<i64>().await.unwrap(), 0);
    }

    async fn a_row_without_a_hash_vouches_for_no_body(world) {
        let envelope = job("mail");
        let start = started(ask(world, "w1", delivery(&envelope)).await);
        set(world, "payload_hash = NULL", envelope.id).await;
        assert_eq!(ask(world, "w2", delivery(&envelope)).await, Claimed::Conflict);
        assert_eq!(ask(world, "w2", redelivery(&envelope)).await, Claimed::Conflict);
        let record = world.store.find(envelope.id).await.unwrap().unwrap();
        assert_eq!((record.state, record.token), (State::Running, start.lease.token));
    }
}

/// Every row, locked.
async fn hold(world: &World) -> Tx {
    let held = world.db().begin().await.unwrap();
    held.sql("SELECT id FROM background_jobs FOR UPDATE").all::<JobId>().await.unwrap();
    held
}

/// Gives them back once so many wait for something.
async fn release(world: &World, held: Tx, waiters: i64) {
    const WAITING: &str = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() \
                           AND wait_event_type = 'Lock'";
    let wait = async || world.db().sql(WAITING).one::<i64>().await.unwrap() >= waiters;
    wait_until("they wait for the row", wait).await;
    held.rollback().await.unwrap();
}

/// Both would wait for the row that stands first, and both would get it.
#[tokio::test(flavor = "multi_thread")]
async fn two_equal_nameless_messages_that_come_again_at_once_are_two_jobs() {
    let Some(world) = World::postgres().await else { return };
    let mut jobs = Vec::new();
    for _ in 0..2 {
        jobs.push(started(ask(&world, "w", nameless(false)).await).lease.job);
    }
    let held = hold(&world).await;
    let both = async { tokio::join!(ask(&world, "w1", nameless(true)), ask(&world, "w2", nameless(true))) };
    let ((one, two), ()) = tokio::join!(both, release(&world, held, 2));
    let mut found = vec![started(one).lease.job, started(two).lease.job];
    found.sort_unstable();
    jobs.sort_unstable();
    assert_eq!(found, jobs, "one message was taken for the other one's job");
}

/// Whoever holds the row for a moment, as a heartbeat does, makes no second job of its message.
#[tokio::test(flavor = "multi_thread")]
async fn a_nameless_message_whose_row_somebody_holds_is_still_that_job() {
    let Some(world) = World::postgres().await else { return };
    let job = started(ask(&world, "w", nameless(false)).await).lease.job;
    let held = hold(&world).await;
    let (again, ()) = tokio::join!(ask(&world, "w1", nameless(true)), release(&world, held, 1));
    assert_eq!(started(again).lease.job, job);
}
