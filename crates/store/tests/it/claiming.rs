//! Taking jobs: order, exclusivity, pauses, due times.

use std::{collections::HashSet, time::Duration};

use backshift_core::{
    Envelope, JobId, State, Timestamp,
    store::{Jobs, Maintenance, Queues},
};
use backshift_store::ledger;

use crate::{
    on_both_databases, pages,
    world::{World, holder, job, queue},
};

on_both_databases! {
    async fn urgent_jobs_come_first_and_then_the_order_of_arrival(world) {
        let jobs: Vec<_> = [0, 5, 0, -5, 5].iter().map(|priority| {
            let mut envelope = job("ready");
            envelope.priority = *priority;
            envelope
        }).collect();
        let ids: Vec<_> = jobs.iter().map(|envelope| envelope.id).collect();
        world.enqueue_all(jobs).await;
        let claimed: Vec<_> = world.claim_many("w", 10).await.into_iter().map(|(e, _)| e.id).collect();
        assert_eq!(claimed, [ids[1], ids[4], ids[0], ids[2], ids[3]]);
    }

    async fn no_job_is_given_to_two_claimers(world) {
        world.enqueue_all((0..400).map(|_| job("ready")).collect()).await;
        let workers = (0..6).map(|n| async move {
            let mut taken = Vec::new();
            loop {
                let batch = world.claim_many(&format!("w{n}"), 7).await;
                // Rows that another claimer has locked are skipped, so an empty answer is not the end.
                if batch.is_empty() && ledger::depth(world.db(), &queue("ready")).await.unwrap() == 0 {
                    return taken;
                }
                taken.extend(batch.into_iter().map(|(envelope, _)| envelope.id));
            }
        });
        let taken: Vec<_> = futures::future::join_all(workers).await.concat();
        assert_eq!(taken.len(), 400);
        assert_eq!(taken.iter().collect::<HashSet<_>>().len(), 400);
    }

    async fn a_paused_queue_gives_nothing(world) {
        world.enqueue(job("ready")).await;
        assert!(world.store.pause(&queue("ready"), true).await.unwrap());
        assert!(!world.store.pause(&queue("ready"), true).await.unwrap(), "nothing changed");
        assert_eq!(world.store.paused().await.unwrap(), [queue("ready")]);
        assert!(world.claim("w").await.is_none());
        assert!(world.store.counts().await.unwrap()[0].paused);
        assert!(world.store.pause(&queue("ready"), false).await.unwrap());
        assert!(!world.store.pause(&queue("other"), false).await.unwrap());
        assert!(world.claim("w").await.is_some());
    }

    async fn a_job_for_later_runs_when_it_is_due(world) {
        let mut later = job("ready");
        later.run_at = Some(Timestamp::now() + Duration::from_secs(3600));
        world.enqueue(later.clone()).await;
        assert_eq!(world.state(later.id).await, State::Scheduled);
        let (moved, next) = world.store.promote(100).await.unwrap();
        let exact = later.run_at.unwrap().as_microsecond();
        assert_eq!((moved, next.map(|due| due.at.as_microsecond())), (0, Some(exact)));
        assert!(world.claim("w").await.is_none());
        world.set_time(later.id, "run_at", -1).await;
        assert_eq!(world.store.promote(100).await.unwrap(), (1, None));
        assert_eq!(world.claim("w").await.unwrap().0.id, later.id);
    }

    async fn every_start_is_a_row_and_raises_the_token(world) {
        let (envelope, start) = world.running("w1").await;
        world.finish(start.lease, crate::world::snoozed(&envelope, Duration::ZERO)).await;
        let (again, start) = world.claim("w2").await.unwrap();
        assert_eq!((again.attempt, start.attempt, start.starts, start.lease.token.0), (1, 1, 2, 2));
        let starts = world.store.attempts(envelope.id).await.unwrap();
        let seen: Vec<_> = starts.iter().map(|a| (a.attempt, a.token.0, a.worker.as_str())).collect();
        assert_eq!(seen, [(1, 1, "w1"), (1, 2, "w2")]);
        assert_eq!(starts[0].outcome.as_deref(), Some("released"));
        assert_eq!((starts[1].ended_at, &starts[1].outcome), (None, &None));
    }

    async fn other_queues_stay_untouched(world) {
        world.enqueue(job("other")).await;
        assert!(world.claim("w").await.is_none());
        let none = ledger::claim_available(world.db(), &queue("other"), 0, &holder("w")).await.unwrap();
        assert!(none.is_empty());
        assert_eq!(ledger::depth(world.db(), &queue("other")).await.unwrap(), 1);
    }
}

/// Without statistics the planner would sort the whole queue for each claim.
#[tokio::test]
async fn a_claim_walks_the_index_on_a_table_without_statistics() {
    let Some(world) = crate::world::World::postgres().await else { return };
    let fill = "INSERT INTO background_jobs (id, job_type, status, queue, broker, run_at) \
                SELECT gen_random_uuid(), 'k', 'available', 'ready', 'postgres', now() FROM generate_series(1, 10000)";
    // In steps: one statement of so many rows takes longer on a busy machine than a statement may.
    for _ in 0..3 {
        world.db().sql(fill).run().await.unwrap();
    }
    // The first call warms the session's catalogue up.
    let tx = world.db().begin().await.unwrap();
    tx.sql("SELECT id FROM backshift_start('ready', 8, 'w', 30000000, gen_random_uuid(), NULL, NULL, NULL)")
        .all::<()>()
        .await
        .unwrap();
    let text = "EXPLAIN (ANALYZE, BUFFERS, FORMAT TEXT) SELECT id FROM backshift_start('ready', 8, 'w', 30000000, gen_random_uuid(), NULL, NULL, NULL)";
    let (touched, plan) = pages(&tx.sql(text).all::<String>().await.unwrap());
    assert!(touched < 200, "{touched} pages for 8 jobs\n{plan}");
}

#[tokio::test]
async fn a_waiting_job_that_somebody_is_about_to_change_is_passed_over() {
    let Some(world) = World::postgres().await else { return };
    world.enqueue_all((0..3).map(|_| job("ready")).collect()).await;
    let other = world.db().begin().await.unwrap();
    let first = "SELECT id FROM job_line ORDER BY run_at LIMIT 1 FOR UPDATE";
    other.sql(first).all::<JobId>().await.unwrap();
    assert_eq!(world.claim_many("w", 3).await.len(), 2, "those behind it are claimed");
    other.rollback().await.unwrap();
    assert_eq!(world.claim_many("w", 3).await.len(), 1);
}

/// A claim reads the row and does not write it: a lock on the row holds nobody up.
#[tokio::test]
async fn a_waiting_job_whose_row_somebody_only_holds_is_claimed() {
    let Some(world) = World::postgres().await else { return };
    world.enqueue(job("ready")).await;
    let other = world.db().begin().await.unwrap();
    other.sql("SELECT id FROM background_jobs FOR UPDATE").all::<JobId>().await.unwrap();
    assert!(world.claim("w").await.is_some());
    other.rollback().await.unwrap();
}

/// The row is locked before its place in the line, by everybody: else promoting and a wish wait for each other in a circle.
#[tokio::test]
async fn a_due_job_whose_row_somebody_holds_is_passed_over() {
    let Some(world) = World::postgres().await else { return };
    let later = || Envelope { run_at: Some(Timestamp::now() + Duration::from_secs(3600)), ..job("ready") };
    let ids = [world.enqueue(later()).await.id(), world.enqueue(later()).await.id()];
    for id in ids {
        world.set_time(id, "run_at", -1).await;
    }
    let other = world.db().begin().await.unwrap();
    let first = "SELECT id FROM background_jobs WHERE id = $1 FOR UPDATE";
    other.sql(first).bind(ids[0]).all::<JobId>().await.unwrap();
    assert_eq!(world.store.promote(10).await.unwrap().0, 1, "the other one does not wait");
    let cancel = "UPDATE background_jobs SET status = 'cancelled', seat = NULL, kept = false WHERE id = $1";
    assert_eq!(other.sql(cancel).bind(ids[0]).run().await.unwrap(), 1);
    other.commit().await.unwrap();
    assert_eq!(world.store.promote(10).await.unwrap().0, 0);
    assert_eq!((world.state(ids[0]).await, world.state(ids[1]).await), (State::Cancelled, State::Available));
}

#[tokio::test]
async fn promoting_reads_little_more_than_it_promotes() {
    for many in [0_i64, 30_000] {
        let Some(world) = World::postgres().await else { return };
        let fill = "INSERT INTO background_jobs (id, job_type, status, queue, broker, run_at) \
                    SELECT gen_random_uuid(), 'k', 'scheduled', 'ready', 'postgres', now() - interval '1 minute' \
                    FROM generate_series(1, $1)";
        for _ in 0..3 {
            world.db().sql(fill).bind(many / 3).run().await.unwrap();
        }
        let tx = world.db().begin().await.unwrap();
        let due = tx.sql("SELECT backshift_due(8)").all::<JobId>().await.unwrap();
        assert_eq!(due.len(), if many == 0 { 0 } else { 8 });
        let text = "EXPLAIN (ANALYZE, BUFFERS, FORMAT TEXT) SELECT backshift_due(8)";
        let (touched, plan) = pages(&tx.sql(text).all::<String>().await.unwrap());
        assert!(touched < 200, "{touched} pages for 8 of {many} jobs\n{plan}");
    }
}
