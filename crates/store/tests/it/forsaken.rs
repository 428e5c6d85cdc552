//! Looking for jobs of a foreign broker of which nobody gives a sign, in a queue where very many others wait rightly.

use std::time::Duration;

use backshift_core::{
    JobId,
    store::{Forsaken, Maintenance},
};
use backshift_store::{Dialect, Executor, ledger::statements};

use crate::{
    on_both_databases, pages,
    world::{World, queue},
};

const AFTER: Duration = Duration::from_secs(60);
/// More than one look looks at.
const MANY: u32 = 21_000;

/// `count` jobs of RabbitMQ's queue *mail*: state, the kind if parked, whether the broker has it, seconds from now of its
/// time and last sign. The first one's id.
async fn fill(world: &World, count: u32, state: &str, aside: bool, published: bool, at: i64) -> JobId {
    let aside = if aside { "'k'" } else { "NULL" };
    let text = match world.db().dialect() {
        Dialect::Postgres => format!(
            "WITH t AS (SELECT clock_timestamp() + {at} * interval '1 second' AS at), made AS (INSERT INTO background_jobs \
             (id, job_type, status, queue, broker, run_at, updated_at, lease_until, aside, published_at, abroad, unpublished) \
             SELECT gen_random_uuid(), 'k', '{state}', 'mail', 'rabbitmq', t.at, t.at, t.at, {aside}, \
             CASE WHEN {published} THEN t.at END, 'mail', CASE WHEN NOT {published} THEN 'rabbitmq' END \
             FROM t, generate_series(1, {count}) RETURNING id) SELECT id FROM made"
        ),
        Dialect::Sqlite => format!(
            "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count}), \
             t AS (SELECT clock_timestamp() + {at} * 1000000 AS at) \
             INSERT INTO background_jobs (id, job_type, status, queue, broker, created_at, run_at, updated_at, \
             lease_until, aside, published_at) \
             SELECT lower(format('%s-%s-4%s-8%s-%s', hex(randomblob(4)), hex(randomblob(2)), substr(hex(randomblob(2)), 2), \
             substr(hex(randomblob(2)), 2), hex(randomblob(6)))), 'k', '{state}', 'mail', 'rabbitmq', t.at, t.at, t.at, \
             t.at, {aside}, CASE WHEN {published} THEN t.at END FROM t, n RETURNING id"
        ),
    };
    world.db().text(text).all::<JobId>().await.unwrap()[0]
}

/// What the look is not about: parked jobs, such as the relay has, and retries that the broker delivers later.
async fn others(world: &World) {
    fill(world, MANY, "available", true, true, -7200).await;
    fill(world, MANY, "available", false, false, -7200).await;
    fill(world, MANY, "retrying", false, true, 3600).await;
}

on_both_databases! {
    async fn very_many_jobs_that_wait_rightly_hide_no_forsaken_one(world) {
        others(world).await;
        fill(world, 1, "running", false, true, 30).await;
        fill(world, 1, "available", false, true, -120).await;
        let lost = [fill(world, 1, "running", false, true, -120).await, fill(world, 1, "available", false, true, -3600).await];
        let [begun, waiting] = lost;
        let mut found = world.store.forsaken("rabbitmq", &queue("mail"), AFTER).await.unwrap();
        found.sort_by_key(|job| !job.begun);
        assert_eq!(found, [Forsaken { id: begun, begun: true }, Forsaken { id: waiting, begun: false }]);
    }
}

#[tokio::test]
async fn the_look_reads_little_more_than_it_lists() {
    let Some(world) = World::postgres().await else { return };
    others(&world).await;
    fill(&world, 20, "running", false, true, -120).await;
    assert_eq!(world.store.forsaken("rabbitmq", &queue("mail"), AFTER).await.unwrap().len(), 20);
    let text = statements(Dialect::Postgres).into_iter().find(|text| text.contains("AS since")).unwrap();
    let values =
        [("$1", "'mail'"), ("$2", "'rabbitmq'"), ("$3", "60000000"), ("$4", "20000"), ("$5", "1000")];
    let text = values.iter().fold(text, |text, (name, value)| text.replace(name, value));
    for statistics in ["SELECT 1", "ANALYZE background_jobs"] {
        world.db().text(statistics.to_owned()).run().await.unwrap();
        let explain = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT TEXT) {text}");
        let (touched, plan) = pages(&world.db().text(explain).all::<String>().await.unwrap());
        assert!(touched < 300, "{touched} pages for 20 jobs, after {statistics}: {plan}");
    }
}
