//! Counts over more jobs than are counted: they say that there are more, hide nobody's few, and read no table from end to end.

use backshift_core::{
    EffectState, JobFilter, Kind, Page, QueueCounts, QueueName, Standing, State,
    store::{Jobs as _, Ledger as _, OVER_COUNTED, Queues as _},
    sweep::{Matching, Sweeps as _},
};
use backshift_store::{Database, Executor, Options, Sql, SqlStore};
use std::time::Duration;

use crate::{
    on_both_databases,
    sweeping::{alone, connected, whole_scans},
    world::{World, completed, dead, job, queue, snoozed},
};

/// Dead jobs from one number to another in `crowd`, a millisecond apart, all of them newer than what this test enqueues itself.
const CROWD: Sql = Sql {
    pg: "INSERT INTO background_jobs (id, job_type, status, queue, broker, token, attempts, failures, created_at, finished_at, \
         payload, payload_size, reason, error_message, error_fingerprint, kept) \
         SELECT gen_random_uuid(), 'usual', 'dead', 'crowd', 'postgres', 1, 3, 3, now() + n * interval '1 millisecond', now(), \
         '\\x7b7d', 2, 'permanent', '550 no', 'error: 550 no', true FROM generate_series($1::bigint, $2::bigint) n",
    sqlite: "WITH RECURSIVE s(n) AS (SELECT $1 UNION ALL SELECT n + 1 FROM s WHERE n < $2) \
             INSERT INTO background_jobs (id, job_type, status, queue, broker, token, attempts, failures, created_at, updated_at, \
             run_at, finished_at, payload, payload_size, reason, error_message, error_fingerprint) \
             SELECT printf('019aa3c1-7f2e-7c40-9d1b-%012x', n), 'usual', 'dead', 'crowd', 'embedded', 1, 3, 3, \
             clock_timestamp() + n * 1000, 1, 1, 1, CAST('{}' AS BLOB), 2, 'permanent', '550 no', 'error: 550 no' FROM s",
};

async fn crowd(world: &World, jobs: i64) {
    // In steps: one statement of so many rows takes longer on a busy machine than a statement may.
    for first in (1..=jobs).step_by(10_000) {
        world.db().sql(CROWD).bind(first).bind(jobs.min(first + 9_999)).run().await.unwrap();
    }
}

/// The same, spread over that many queues.
async fn crowds(world: &World, queues: i64, jobs: i64) {
    let text = CROWD.text(world.db().dialect());
    let text = text.replace("'crowd',", &format!("'crowd-' || (n % {queues}),"));
    for first in (1..=jobs).step_by(10_000) {
        world.db().text(text.clone()).bind(first).bind(jobs.min(first + 9_999)).run().await.unwrap();
    }
}

fn of(counts: &[QueueCounts], name: &str, state: State) -> (u64, bool) {
    let queue = counts.iter().find(|one| one.queue.as_str() == name).unwrap();
    (queue.count(state), queue.more.contains(&state))
}

on_both_databases! {
    async fn what_is_over_is_told_as_more_where_counting_ends_and_hides_nobody_s_few(world) {
        let (few, start) = world.running("ann").await;
        world.finish(start.lease, dead(backshift_core::Reason::Permanent)).await;
        let (later, start) = world.running("ann").await;
        world.finish(start.lease, snoozed(&later, Duration::from_secs(3600))).await;
        assert_ne!(few.id, later.id);
        // More than a person waits for.
        crowd(world, 130_000).await;

        let counts = world.store.counts().await.unwrap();
        assert_eq!(of(&counts, "crowd", State::Dead), (u64::from(OVER_COUNTED), true));
        assert_eq!(of(&counts, "ready", State::Dead), (1, false), "behind a crowd of others");
        assert_eq!(of(&counts, "ready", State::Completed), (0, true), "they would be among older jobs");

        let matching = async |filter: &JobFilter| world.store.matching(filter).await.unwrap();
        let all = JobFilter { state: Some(State::Dead), ..JobFilter::default() };
        assert_eq!(matching(&all).await, Matching { jobs: u64::from(OVER_COUNTED), more: true });
        // A person is not kept waiting for the one that is behind all others, and hears that there may be some.
        let rare = JobFilter { queue: Some(queue("ready")), ..all.clone() };
        assert_eq!(matching(&rare).await, Matching { jobs: 0, more: true });
        // What waits is found by its line, whatever is newer.
        let waits = JobFilter { state: Some(State::Scheduled), ..JobFilter::default() };
        assert_eq!(matching(&waits).await, Matching { jobs: 1, more: false });
        let word = JobFilter { payload: vec!["\"n\":1".into()], ..waits.clone() };
        assert_eq!(matching(&word).await, Matching { jobs: 1, more: false });
        let other = JobFilter { queue: Some(queue("crowd")), ..waits };
        assert_eq!(matching(&other).await, Matching { jobs: 0, more: false });

        let causes = world.store.causes(&all).await.unwrap();
        let (back_to, counted) = (causes.back_to.unwrap(), causes.causes[0].jobs);
        assert!(causes.causes.len() == 1 && (50_000..130_000).contains(&counted), "{causes:?}");
        let all = JobFilter { until: Some(back_to), ..all };
        let earlier = world.store.causes(&all).await.unwrap();
        let (back_to, counted) = (earlier.back_to.unwrap(), counted + earlier.causes[0].jobs);
        let before = world.store.causes(&JobFilter { until: Some(back_to), ..all }).await.unwrap();
        assert_eq!(before.back_to, None);
        let left: u64 = before.causes.iter().map(|cause| cause.jobs).sum();
        assert_eq!(left, 130_001 - counted, "the others: {before:?}");
    }

    async fn many_queues_share_what_is_counted_and_those_with_few_are_told_exactly(world) {
        let (_, start) = world.running("ann").await;
        world.finish(start.lease, dead(backshift_core::Reason::Permanent)).await;
        crowds(world, 200, 110_000).await;
        let counts = world.store.counts().await.unwrap();
        assert_eq!(of(&counts, "ready", State::Dead), (1, false));
        // 201 queues with two states each share the first hundred thousand, 200 the second.
        for crowd in 0..200 {
            assert_eq!(of(&counts, &format!("crowd-{crowd}"), State::Dead), (500, true));
        }
    }
}

/// A claim leaves the row as it is. An index that names what a completion changes would have it written into every index of the table.
#[tokio::test]
async fn a_completion_writes_the_row_once_and_where_it_stands() {
    let Some(world) = World::postgres().await else { return };
    let client = connected(&world).await;
    for _ in 0..20 {
        let (_, start) = world.running("ann").await;
        world.finish(start.lease, completed()).await;
    }
    world.db().close().await;
    alone(&client).await;
    let text = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'background_jobs'";
    let row = client.query_one(text, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (20, 20));
}

/// Every question that a page or a command asks.
async fn asked(store: &SqlStore) {
    store.counts().await.unwrap();
    store.workers().await.unwrap();
    store.parked().await.unwrap();
    let queues = [queue("ready"), queue("crowd")];
    store.next_kinds(&queues).await.unwrap();
    let kind = Kind::new("usual").unwrap();
    let [ready, _]: [QueueName; 2] = queues;
    let of = |state| JobFilter { state, ..JobFilter::default() };
    let states = State::ALL.iter().map(|state| of(Some(*state))).chain([of(None)]);
    let standings = Standing::ALL.map(|standing| JobFilter { standing: Some(standing), ..of(None) });
    let ambiguous = JobFilter { effect: Some(EffectState::Ambiguous), ..of(None) };
    for plain in states.chain(standings).chain([ambiguous]) {
        let words = vec!["nowhere".to_owned()];
        for filter in [
            plain.clone(),
            JobFilter { queue: Some(ready.clone()), ..plain.clone() },
            JobFilter { kind: Some(kind.clone()), ..plain.clone() },
            JobFilter { cause: Some("error: none".into()), ..plain.clone() },
            JobFilter { user: Some(backshift_store::Uuid::now_v7()), ..plain.clone() },
            JobFilter { words: words.clone(), ..plain.clone() },
            JobFilter { error: words.clone(), ..plain.clone() },
            JobFilter { payload: words, ..plain.clone() },
        ] {
            store.search(&filter, &Page::default()).await.unwrap();
        }
    }
}

/// Asked each second for the pages, and for the metrics of every process.
#[tokio::test]
async fn no_count_and_no_search_reads_the_whole_ledger_on_postgresql() {
    let Some(world) = World::postgres().await else { return };
    let client = connected(&world).await;
    client.batch_execute("ALTER TABLE background_jobs SET (autovacuum_enabled = false)").await.unwrap();
    world.enqueue(job("ready")).await;
    world.db().close().await;
    alone(&client).await;
    let mut scans = 0;
    for (rows, how, analyse) in
        [(0, "empty", false), (70_000, "never analysed", false), (700, "analysed", true)]
    {
        let dead = CROWD.pg.replace("$1", "1").replace("$2", &rows.to_string());
        client.batch_execute(&dead).await.unwrap();
        let completed = dead.replace("'dead'", "'completed'").replace("true FROM", "NULL FROM");
        client.batch_execute(&completed).await.unwrap();
        if analyse {
            client.batch_execute("ANALYZE background_jobs").await.unwrap();
        }
        let before = whole_scans(&client).await;
        // A session tells its counters when it ends.
        let db = Database::open(&world.place.url, &Options::default()).unwrap();
        asked(&SqlStore::new(db.clone())).await;
        db.close().await;
        alone(&client).await;
        scans += whole_scans(&client).await - before;
        assert_eq!(scans, 0, "{how}");
    }
}

#[tokio::test]
async fn no_count_reads_the_whole_ledger_on_sqlite() {
    let world = World::sqlite().await;
    for text in backshift_store::ledger::statements(backshift_store::Dialect::Sqlite) {
        if !(text.contains("some_jobs") || text.contains(") newest GROUP BY")) {
            continue;
        }
        let explain = world.db().text(format!("EXPLAIN QUERY PLAN {text}"));
        let explain = if text.contains("$1") { explain.bind(1_i64) } else { explain };
        let explain = if text.contains("$2") { explain.bind(1_i64) } else { explain };
        let plan = explain.all::<(i64, i64, i64, String)>().await.unwrap();
        let whole = |step: &String| step.starts_with("SCAN background_jobs") && !step.contains("INDEX");
        assert!(plan.iter().all(|(.., step)| !whole(step)), "{plan:?}\n{text}");
    }
}
