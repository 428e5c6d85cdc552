//! Jobs that were just claimed: PostgreSQL's row says so after the first heartbeat only, and nobody may notice the difference.

use std::{collections::HashSet, sync::Arc, time::Duration};

use backshift_core::{
    EffectState, Envelope, JobFilter, JobId, Page, Settled, State, UniqueKey, UniquePolicy, WorkerName,
    store::{Beat, Effects, Jobs, Ledger, Limits, Maintenance, Outbox, Pulse, Queues, Start},
};
use backshift_store::{
    Executor,
    ledger::{self, Round},
};
use tokio::task::JoinSet;

use crate::{
    liveness::wait_until,
    on_both_databases,
    world::{World, completed, failed, holder, job, queue, worker},
};

async fn listed(world: &World, state: State) -> Vec<JobId> {
    let filter = JobFilter { state: Some(state), ..JobFilter::default() };
    let searched = world.store.search(&filter, &Page::default()).await.unwrap().jobs;
    let listed = world.store.list(&filter, &Page::default()).await.unwrap();
    let ids = |jobs: Vec<backshift_core::JobRecord>| jobs.into_iter().map(|job| job.id).collect::<Vec<_>>();
    let (searched, listed) = (ids(searched), ids(listed));
    assert_eq!(searched, listed);
    listed
}

async fn beat(world: &World, start: &Start) -> Pulse {
    let beats = vec![Beat { lease: start.lease, progress: None }];
    world.store.beat(&holder("w"), beats).await.unwrap()[0]
}

/// What the row says to whoever reads the table, and how many places its job has.
async fn row(world: &World, id: JobId) -> (String, i64, i64) {
    let text = "SELECT status, token, (SELECT COUNT(*) FROM job_line l WHERE l.id = j.id) FROM background_jobs j WHERE id = $1";
    world.db().sql(text).bind(id).one().await.unwrap()
}

fn keyed(policy: UniquePolicy) -> Envelope {
    Envelope { unique: Some(UniqueKey { key: "k".into(), policy }), ..job("ready") }
}

on_both_databases! {
    async fn a_job_is_shown_to_run_from_its_claim_on(world) {
        let guard = world.store.announce(&worker("w")).await.unwrap();
        let (envelope, start) = world.running("w").await;
        for heartbeat in [false, true] {
            if heartbeat {
                assert!(matches!(beat(world, &start).await, Pulse::Until(_)));
            }
            let found = world.store.find(envelope.id).await.unwrap().unwrap();
            assert_eq!((found.state, found.token, found.attempt), (State::Running, start.lease.token, 1));
            assert_eq!(found.worker.as_deref(), Some("w"));
            assert!(found.started_at.is_some() && found.lease_until.is_some(), "{found:?}");
            assert_eq!((listed(world, State::Running).await, listed(world, State::Available).await), (vec![envelope.id], vec![]));
            let attempts = world.store.attempts(envelope.id).await.unwrap();
            assert_eq!(attempts.len(), 1);
            assert_eq!((attempts[0].worker.as_str(), attempts[0].token), ("w", start.lease.token));
            let counts = world.store.counts().await.unwrap();
            assert_eq!(counts[0].by_state, [(State::Running, 1)]);
            assert_eq!(world.store.workers().await.unwrap()[0].running, 1);
        }
        assert_eq!(world.finish(start.lease, completed()).await, Settled::Applied);
        let over = world.store.attempts(envelope.id).await.unwrap();
        assert_eq!((over.len(), over[0].worker.as_str(), over[0].outcome.as_deref()), (1, "w", Some("completed")));
        assert!(over[0].ended_at >= Some(over[0].started_at), "{over:?}");
        drop(guard);
    }

    async fn a_second_start_is_shown_beside_the_first(world) {
        let (envelope, start) = world.running("w1").await;
        world.finish(start.lease, failed(&envelope, Duration::ZERO)).await;
        let (_, start) = world.claim("w2").await.unwrap();
        let seen = world.store.attempts(envelope.id).await.unwrap();
        let seen: Vec<_> = seen.iter().map(|one| (one.worker.as_str(), one.attempt, one.token.0)).collect();
        assert_eq!(seen, [("w1", 1, 1), ("w2", 2, 2)]);
        assert_eq!(world.finish(start.lease, failed(&envelope, Duration::ZERO)).await, Settled::Applied);
        assert_eq!(world.store.attempts(envelope.id).await.unwrap().len(), 2);
    }

    async fn who_cancels_a_job_that_was_just_claimed_asks_its_worker(world) {
        let (envelope, start) = world.running("w").await;
        assert_eq!(world.store.cancel(envelope.id).await.unwrap(), State::Running);
        let wished = world.store.unwanted(&WorkerName::new("w").unwrap(), &[start.lease]).await.unwrap();
        assert_eq!(wished, [start.lease]);
        assert_eq!(beat(world, &start).await, Pulse::CancelRequested);
        assert_eq!(world.finish(start.lease, failed(&envelope, Duration::ZERO)).await, Settled::Applied);
        assert_eq!(world.state(envelope.id).await, State::Cancelled);
        assert!(world.claim("w").await.is_none());
    }

    async fn retrying_a_job_that_was_just_claimed_leaves_it_running(world) {
        let (envelope, start) = world.running("w").await;
        assert_eq!(world.store.retry(envelope.id).await.unwrap(), State::Running);
        assert!(world.claim("w2").await.is_none());
        assert_eq!(world.finish(start.lease, completed()).await, Settled::Applied);
    }

    async fn a_key_whose_job_was_just_claimed_is_held_by_a_running_job(world) {
        let first = world.enqueue(keyed(UniquePolicy::Replace)).await.id();
        let (_, start) = world.claim("w").await.unwrap();
        let late = Envelope { payload: "{\"n\":2}".into(), ..keyed(UniquePolicy::Replace) };
        assert_eq!(world.enqueue(late).await.id(), first);
        assert!(world.claim("w2").await.is_none(), "a payload was replaced that somebody reads");
        let second = world.enqueue(keyed(UniquePolicy::KeepLast)).await.id();
        assert_eq!(world.state(first).await, State::Running, "it was superseded and runs to its end");
        assert!(world.claim("w2").await.is_none(), "the second one waits for the first");
        assert_eq!(world.finish(start.lease, completed()).await, Settled::Applied);
        assert_eq!(world.claim("w2").await.unwrap().0.id, second);
    }

    async fn an_effect_of_a_job_that_was_just_claimed_puts_it_into_no_line(world) {
        let (envelope, start) = world.running("w").await;
        world.store.intend(&start.lease, "mail").await.unwrap();
        world.store.conclude(&start.lease, "mail", EffectState::Done, None).await.unwrap();
        assert!(world.claim("w2").await.is_none(), "it would run twice side by side");
        assert_eq!(world.finish(start.lease, completed()).await, Settled::Applied);
        assert_eq!(world.state(envelope.id).await, State::Completed);
    }

    async fn a_place_of_a_job_that_was_just_claimed_counts(world) {
        world.enqueue_all(vec![job("ready"), job("ready")]).await;
        let claimed = world.claim_many("w", 2).await;
        assert!(world.store.occupy("k", 1, &claimed[0].1.lease).await.unwrap());
        assert!(!world.store.occupy("k", 1, &claimed[1].1.lease).await.unwrap());
        Maintenance::prune(&world.store, Duration::from_secs(86_400), 100).await.unwrap();
        assert!(!world.store.occupy("k", 1, &claimed[1].1.lease).await.unwrap(), "upkeep took its place away");
        world.finish(claimed[0].1.lease, completed()).await;
        assert!(world.store.occupy("k", 1, &claimed[1].1.lease).await.unwrap());
    }

    async fn a_transaction_completes_a_job_that_was_just_claimed(world) {
        let (envelope, start) = world.running("w").await;
        let mut tx = world.db().begin().await.unwrap();
        backshift_store::foreign::finish_lease_in(&mut tx, &start.lease).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(world.finish(start.lease, crate::world::completed_in_transaction()).await, Settled::Applied);
        let attempts = world.store.attempts(envelope.id).await.unwrap();
        assert_eq!((attempts.len(), attempts[0].worker.as_str()), (1, "w"));
        let (_, start) = world.running("w").await;
        assert_eq!(world.finish(start.lease, crate::world::completed_in_transaction()).await, Settled::Stale, "it was not committed");
        assert!(world.claim("w").await.is_none(), "a counted failure waits a moment");
    }
}

#[tokio::test]
async fn the_first_heartbeat_writes_the_start_and_a_completion_needs_none() {
    let Some(world) = World::postgres().await else { return };
    let (long, start) = world.running("w").await;
    assert_eq!(row(&world, long.id).await, ("available".into(), 0, 0));
    assert!(matches!(beat(&world, &start).await, Pulse::Until(_)));
    assert_eq!(row(&world, long.id).await, ("running".into(), 1, 0));
    world.finish(start.lease, completed()).await;
    assert_eq!(row(&world, long.id).await, ("completed".into(), 1, 0));
    let (short, start) = world.running("w").await;
    world.finish(start.lease, completed()).await;
    assert_eq!(row(&world, short.id).await, ("completed".into(), 1, 0));
    assert_eq!(
        world.finish(start.lease, completed()).await,
        Settled::Applied,
        "its answer may have been lost"
    );
}

#[tokio::test]
async fn a_start_that_no_row_says_is_rescued_when_its_lease_is_over_or_its_worker_dead() {
    for dead in [false, true] {
        let Some(world) = World::postgres().await else { return };
        let name = crate::place::unique("w");
        let sign = world.store.announce(&worker(&name)).await.unwrap();
        let (envelope, start) = world.running(&name).await;
        world.store.rescue().await.unwrap();
        assert!(world.claim("w2").await.is_none(), "it was taken from a living worker");
        if dead {
            // Its row stays, because something of it runs.
            drop(sign);
        } else {
            let over = "UPDATE job_claims SET lease_until = clock_timestamp() - interval '1 second'";
            world.db().sql(over).run().await.unwrap();
            std::mem::forget(sign);
        }
        wait_until("it is rescued", async || world.store.rescue().await.unwrap().returned == 1).await;
        let found = world.store.find(envelope.id).await.unwrap().unwrap();
        assert_eq!((found.state, found.crashes), (State::Available, 1), "dead: {dead}");
        assert_eq!(world.finish(start.lease, completed()).await, Settled::Stale, "before the next start");
        let (_, next) = world.claim("w2").await.unwrap();
        assert!(next.lease.token > start.lease.token);
        assert_eq!(world.finish(start.lease, completed()).await, Settled::Stale, "and beside it");
        assert_eq!(beat(&world, &start).await, Pulse::Lost);
        assert_eq!(world.finish(next.lease, completed()).await, Settled::Applied);
        world.claims_are_doubtful().await;
        assert_eq!(world.store.rescue().await.unwrap(), backshift_core::store::Rescued::default());
        let claims: i64 = world.db().sql("SELECT COUNT(*) FROM job_claims").one().await.unwrap();
        assert_eq!(claims, 0, "claims of which nothing runs go");
    }
}

/// A row says nothing of its start: whoever writes another state takes the job away from its worker, and whoever writes anything
/// else leaves it there.
#[tokio::test]
async fn a_row_that_is_written_by_hand_under_a_job_that_was_just_claimed_is_never_run_twice() {
    for (by_hand, settled, places) in [
        ("priority = 3", Settled::Applied, 0),
        ("payload = '{}'", Settled::Applied, 0),
        ("status = 'available'", Settled::Applied, 0),
        ("status = 'scheduled', run_at = now() + interval '1 hour'", Settled::Stale, 1),
        ("status = 'cancelled'", Settled::Stale, 0),
        ("status = 'dead'", Settled::Stale, 0),
        ("status = 'completed'", Settled::Applied, 0),
    ] {
        let Some(world) = World::postgres().await else { return };
        world.db().sql("ALTER TABLE background_jobs DROP CONSTRAINT marks_agree").run().await.unwrap();
        let (envelope, start) = world.running("w").await;
        let text = format!("UPDATE background_jobs SET {by_hand} WHERE id = $1");
        assert_eq!(world.db().text(text).bind(envelope.id).run().await.unwrap(), 1);
        assert_eq!(row(&world, envelope.id).await.2, places, "{by_hand}");
        assert!(world.claim("w2").await.is_none(), "{by_hand}");
        assert_eq!(world.finish(start.lease, completed()).await, settled, "{by_hand}");
    }
}

/// Cancelled in the line or asked while it runs, never both, and none is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cancelling_beside_claims_runs_no_cancelled_job() {
    let Some(world) = World::postgres().await else { return };
    let jobs: Vec<Envelope> = (0..600).map(|_| job("ready")).collect();
    let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
    world.enqueue_all(jobs).await;
    let world = Arc::new(world);
    let mut claimers = JoinSet::new();
    for _ in 0..2 {
        let world = Arc::clone(&world);
        claimers.spawn(async move {
            let mut taken = Vec::new();
            loop {
                let some =
                    ledger::claim_round(world.db(), &queue("ready"), 5, &holder("w"), &Round::default())
                        .await;
                let some = some.unwrap();
                if some.is_empty() && ledger::depth(world.db(), &queue("ready")).await.unwrap() == 0 {
                    return taken;
                }
                taken.extend(some.into_iter().map(|(_, start)| start));
            }
        });
    }
    let mut cancellers = JoinSet::new();
    for half in ids.chunks(300) {
        let (world, half) = (Arc::clone(&world), half.to_vec());
        cancellers.spawn(async move {
            let mut waited = Vec::new();
            for id in half.into_iter().rev() {
                if world.store.cancel(id).await.unwrap() == State::Cancelled {
                    waited.push(id);
                }
            }
            waited
        });
    }
    let taken: Vec<Start> = claimers.join_all().await.concat();
    let waited: Vec<JobId> = cancellers.join_all().await.concat();
    let mut ends: HashSet<JobId> = waited.iter().copied().collect();
    for start in &taken {
        assert!(
            ends.insert(start.lease.job),
            "a job was started twice, or cancelled in the line and started"
        );
        assert_eq!(world.finish(start.lease, completed()).await, Settled::Applied);
    }
    assert_eq!(ends.len(), 600, "{} taken, {} cancelled in the line", taken.len(), waited.len());
    assert!(!taken.is_empty() && !waited.is_empty(), "they met nowhere");
}

/// What is replaced was not begun, and what was begun has the payload that its worker read.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn replacing_beside_claims_changes_no_payload_that_is_run() {
    let Some(world) = World::postgres().await else { return };
    let world = Arc::new(world);
    for round in 0..60 {
        let first = Envelope { payload: "{\"n\":1}".into(), ..keyed(UniquePolicy::Replace) };
        let id = world.enqueue(first).await.id();
        let (there, late) =
            (Arc::clone(&world), Envelope { payload: "{\"n\":2}".into(), ..keyed(UniquePolicy::Replace) });
        let replacing = tokio::spawn(async move { there.enqueue(late).await.id() });
        let mut claimed = world.claim("w").await;
        assert_eq!(replacing.await.unwrap(), id);
        while claimed.is_none() {
            claimed = world.claim("w").await;
        }
        let (envelope, start) = claimed.unwrap();
        let text = "SELECT payload FROM background_jobs WHERE id = $1";
        let kept: backshift_core::Bytes = world.db().sql(text).bind(id).one().await.unwrap();
        assert_eq!(kept, envelope.payload, "round {round}: the row is not what its worker runs");
        assert!(world.claim("w2").await.is_none(), "round {round}");
        assert_eq!(world.finish(start.lease, completed()).await, Settled::Applied);
    }
}

/// What runs for long is not read again by every rescuer of the fleet twice a second.
#[tokio::test]
async fn the_rescuer_looks_into_a_claim_once_in_a_lease() {
    let Some(world) = World::postgres().await else { return };
    world.enqueue_all((0..20).map(|_| job("ready")).collect()).await;
    let claimed = world.claim_many("w", 20).await;
    for (_, start) in &claimed {
        beat(&world, start).await;
    }
    const AHEAD: &str = "SELECT lease_until > clock_timestamp() + interval '20 seconds' FROM job_claims";
    const READ: &str = "SELECT (seq_tup_read + idx_tup_fetch)::bigint FROM pg_stat_xact_user_tables WHERE relname = 'background_jobs'";
    world.claims_are_doubtful().await;
    world.store.rescue().await.unwrap();
    assert!(world.db().sql(AHEAD).one::<bool>().await.unwrap(), "it says when to look again");
    let tx = world.db().begin().await.unwrap();
    let before = tx.sql(READ).one::<i64>().await.unwrap();
    tx.sql("SELECT backshift_show_lost('{}')::text").all::<Option<String>>().await.unwrap();
    assert_eq!(tx.sql(READ).one::<i64>().await.unwrap(), before, "and until then nobody reads its jobs");
    tx.rollback().await.unwrap();
    // One of them lost its worker's signs of life: it alone comes back, and the others are looked at when theirs may be over.
    world.end_lease(claimed[3].0.id).await;
    assert_eq!(world.store.rescue().await.unwrap().returned, 1);
    world.store.rescue().await.unwrap();
    assert!(world.db().sql(AHEAD).one::<bool>().await.unwrap());
}

/// A state that was written by hand and taken back by a retry: the next start has a token of its own.
#[tokio::test]
async fn a_job_that_was_taken_from_its_worker_by_hand_starts_again_under_a_new_token() {
    let Some(world) = World::postgres().await else { return };
    world.db().sql("ALTER TABLE background_jobs DROP CONSTRAINT marks_agree").run().await.unwrap();
    let (envelope, start) = world.running("w1").await;
    let by_hand = "UPDATE background_jobs SET status = 'dead' WHERE id = $1";
    world.db().sql(by_hand).bind(envelope.id).run().await.unwrap();
    assert_eq!(world.store.retry(envelope.id).await.unwrap(), State::Available);
    let (_, next) = world.claim("w2").await.unwrap();
    assert!(next.lease.token > start.lease.token, "two workers under one token");
    assert_eq!(beat(&world, &start).await, Pulse::Lost);
    assert_eq!(world.finish(start.lease, completed()).await, Settled::Stale);
    assert_eq!(world.finish(next.lease, completed()).await, Settled::Applied);
}

#[tokio::test]
async fn a_waiting_job_that_is_moved_to_this_broker_by_hand_gets_a_place() {
    let Some(world) = World::postgres().await else { return };
    world.db().sql("ALTER TABLE background_jobs DROP CONSTRAINT marks_agree").run().await.unwrap();
    world.store.accept("rabbitmq", vec![job("ready")]).await.unwrap();
    assert!(world.claim("w").await.is_none());
    world.db().sql("UPDATE background_jobs SET broker = 'postgres'").run().await.unwrap();
    assert!(world.claim("w").await.is_some(), "nobody would ever run it");
}

/// A crash of the server may undo a claim that its worker was answered: then the job waits again, and the worker has nothing.
#[tokio::test]
async fn a_worker_whose_claim_was_undone_by_a_crash_gives_no_sign_of_life_and_no_result() {
    let Some(world) = World::postgres().await else { return };
    let (envelope, start) = world.running("w1").await;
    world.db().sql("DELETE FROM job_claims").run().await.unwrap();
    let place = "INSERT INTO job_line (id, queue, priority, run_at, ready, alone, again) \
                 SELECT id, queue, priority, run_at, true, false, false FROM background_jobs";
    world.db().sql(place).run().await.unwrap();
    assert_eq!(beat(&world, &start).await, Pulse::Lost);
    assert_eq!(world.finish(start.lease, completed()).await, Settled::Stale);
    let (again, next) = world.claim("w2").await.unwrap();
    assert_eq!(again.id, envelope.id);
    assert_eq!(world.finish(next.lease, completed()).await, Settled::Applied);
}

/// One row that says nothing of its lease keeps nobody else's job from coming back.
#[tokio::test]
async fn a_row_that_was_set_to_run_by_hand_stops_no_rescue() {
    let Some(world) = World::postgres().await else { return };
    let (odd, _) = world.running("w1").await;
    let by_hand = "UPDATE background_jobs SET status = 'running', token = 1 WHERE id = $1";
    world.db().sql(by_hand).bind(odd.id).run().await.unwrap();
    let (lost, _) = world.running("w2").await;
    world.claims_are_doubtful().await;
    assert_eq!(world.store.rescue().await.unwrap().returned, 1);
    assert_eq!(world.state(lost.id).await, State::Available);
}

/// A key that a waiting job holds is asked about by every producer.
#[tokio::test]
async fn who_asks_for_the_start_of_a_job_that_waits_reads_no_claim() {
    let Some(world) = World::postgres().await else { return };
    world.enqueue_all((0..50).map(|_| job("ready")).collect()).await;
    assert_eq!(world.claim_many("w", 50).await.len(), 50);
    let waiting = world.enqueue(job("ready")).await.id();
    let tx = world.db().begin().await.unwrap();
    const READ: &str = "SELECT (seq_tup_read + idx_tup_fetch)::bigint FROM pg_stat_xact_user_tables WHERE relname = 'job_claims'";
    let before = tx.sql(READ).one::<i64>().await.unwrap();
    let show = "SELECT backshift_show_starts(ARRAY[$1])::text";
    tx.sql(show).bind(waiting).all::<Option<String>>().await.unwrap();
    assert_eq!(tx.sql(READ).one::<i64>().await.unwrap(), before);
    tx.rollback().await.unwrap();
}
