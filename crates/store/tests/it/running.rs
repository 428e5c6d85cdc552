//! What runs in whose name, and which queues are known, found without reading the ledger: PostgreSQL has no index of what
//! runs, for a claim writes no index.

use std::{fmt::Write as _, time::Duration};

use backshift_core::store::Ledger;
use backshift_store::{Dialect, Executor, ledger, ledger::statements};
use backshift_testkit::wait;

use crate::{
    on_both_databases, pages,
    world::{World, completed, job, queue, snoozed, worker},
};

/// Names of the live workers with what runs there.
async fn shown(world: &World) -> Vec<(String, u32)> {
    let workers = world.store.workers().await.unwrap();
    workers.iter().map(|worker| (worker.name.to_string(), worker.running)).collect()
}

/// Jobs of RabbitMQ's queue *mail* that run at this worker, or wait there if nobody is named.
async fn abroad(world: &World, count: u32, worker: Option<&str>) {
    let (state, worker) =
        worker.map_or(("available", "NULL".into()), |name| ("running", format!("'{name}'")));
    let text = match world.db().dialect() {
        Dialect::Postgres => format!(
            "INSERT INTO background_jobs (id, job_type, status, queue, broker, abroad, worker, published_at, lease_until) \
             SELECT gen_random_uuid(), 'k', '{state}', 'mail', 'rabbitmq', 'mail', {worker}, now(), now() \
             FROM generate_series(1, {count})"
        ),
        Dialect::Sqlite => format!(
            "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count}) \
             INSERT INTO background_jobs (id, job_type, status, queue, broker, created_at, run_at, updated_at, worker, \
             published_at, lease_until) SELECT printf('019aa3c1-7f2e-7c40-9d1b-%012d', n), 'k', '{state}', 'mail', \
             'rabbitmq', 1, 1, 1, {worker}, 1, 1 FROM n"
        ),
    };
    world.db().text(text).run().await.unwrap();
}

on_both_databases! {
    async fn what_runs_is_counted_once_and_where_it_runs(world) {
        let [first, second] = [world.store.announce(&worker("w1")).await, world.store.announce(&worker("w2")).await];
        let idle = world.store.announce(&worker("w3")).await.unwrap();
        world.enqueue_all((0..4).map(|_| job("ready")).collect()).await;
        let claimed = world.claim_many("w1", 4).await;
        world.finish(claimed[0].1.lease, completed()).await;
        let w = |name: &str, running| (name.to_owned(), running);
        assert_eq!(shown(world).await, [w("w1", 3), w("w2", 0), w("w3", 0)], "the settled one runs no more");
        // Taken again by the same worker and by another one, while others of the first claim still run.
        for (name, (envelope, start)) in ["w1", "w2"].into_iter().zip(&claimed[1..]) {
            world.finish(start.lease, snoozed(envelope, Duration::ZERO)).await;
            assert_eq!(world.claim(name).await.unwrap().0.id, envelope.id);
        }
        assert_eq!(shown(world).await, [w("w1", 2), w("w2", 1), w("w3", 0)]);
        abroad(world, 2, Some("w2")).await;
        if world.is_postgres() {
            // The message of one was handed over: it has a hand, and is a foreign broker's all the same.
            let handed = "INSERT INTO job_claims (id, worker, started_at, lease_until, jobs, tokens) \
                          SELECT gen_random_uuid(), 'w2', now(), now() + interval '1 hour', ARRAY[id], ARRAY[token] \
                          FROM background_jobs WHERE broker = 'rabbitmq' LIMIT 1";
            world.db().sql(handed).run().await.unwrap();
        }
        assert_eq!(shown(world).await, [w("w1", 2), w("w2", 3), w("w3", 0)]);
        // Who stops in order goes, and who leaves something behind stays for the rescuer.
        drop((first, idle));
        let gone = wait::until(wait::PATIENCE, || async { shown(world).await.len() == 2 });
        assert!(gone.await, "{:?}", shown(world).await);
        assert_eq!(shown(world).await, [w("w1", 2), w("w2", 3)]);
        drop(second);
    }

    async fn a_queue_is_met_by_each_kind_of_job_that_waits_in_it(world) {
        let met = |name: &'static str| async move { ledger::has_met(world.db(), &queue(name)).await.unwrap() };
        for (name, change) in [("plain", ""), ("alone", "crashes = 3")] {
            assert!(!met(name).await);
            world.enqueue(job(name)).await;
            if !change.is_empty() {
                let text = format!("UPDATE background_jobs SET {change} WHERE queue = '{name}'");
                world.db().text(text).run().await.unwrap();
            }
            assert!(met(name).await, "{name}");
        }
        world.enqueue(job("beside")).await;
        let table = if world.is_postgres() { "job_line" } else { "background_jobs" };
        let aside = format!("UPDATE {table} SET aside = 'k' WHERE queue = 'beside'");
        assert_eq!(world.db().text(aside).run().await.unwrap(), 1);
        assert!(met("beside").await && !met("mail").await && !met("nobodys").await);
        abroad(world, 1, None).await;
        ledger::declare(world.db(), &queue("declared")).await.unwrap();
        assert!(met("mail").await && met("declared").await);
    }
}

/// Much of everything that is not looked for.
async fn much(world: &World) {
    for state in ["available", "completed"] {
        for _ in 0..2 {
            let text = format!(
                "INSERT INTO background_jobs (id, job_type, status, queue, broker, run_at) \
                 SELECT gen_random_uuid(), 'k', '{state}', 'busy', 'postgres', now() FROM generate_series(1, 10000)"
            );
            world.db().text(text).run().await.unwrap();
        }
    }
    let relay = "INSERT INTO background_jobs (id, job_type, status, queue, broker, abroad, unpublished) \
                 SELECT gen_random_uuid(), 'k', 'available', 'mail', 'rabbitmq', 'mail', 'rabbitmq' \
                 FROM generate_series(1, 10000)";
    world.db().sql(relay).run().await.unwrap();
}

#[tokio::test]
async fn workers_and_queues_are_looked_for_without_reading_the_ledger() {
    let text =
        |word: &str| statements(Dialect::Postgres).into_iter().find(|text| text.contains(word)).unwrap();
    let asked = [
        text("held.worker"),
        text("DELETE FROM job_workers WHERE name").replace("$1", "'w'").replace("$2", "now()"),
        text("name = $1) IS NOT NULL").replace("$1", "'nobodys'"),
    ];
    for statistics in [None, Some("SELECT 1"), Some("ANALYZE")] {
        let Some(world) = World::postgres().await else { return };
        let _shown = world.store.announce(&worker("w")).await.unwrap();
        if let Some(statistics) = statistics {
            much(&world).await;
            world.enqueue_all((0..10).map(|_| job("ready")).collect()).await;
            assert_eq!(world.claim_many("w", 10).await.len(), 10);
            abroad(&world, 10, Some("w")).await;
            world.db().sql(statistics).run().await.unwrap();
            assert_eq!(shown(&world).await, [("w".to_owned(), 20)]);
        }
        let mut failed = String::new();
        for text in &asked {
            let tx = world.db().begin().await.unwrap();
            // The first call warms the session's catalogue up.
            for last in [false, true] {
                let explain = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT TEXT) {text}");
                let (touched, plan) = pages(&tx.text(explain).all::<String>().await.unwrap());
                if last && touched >= 300 {
                    let _ = writeln!(failed, "{touched} pages, {statistics:?}: {plan}");
                }
            }
            tx.rollback().await.unwrap();
        }
        assert!(failed.is_empty(), "{failed}");
    }
}
