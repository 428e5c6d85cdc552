//! Many jobs at once: nothing twice, whoever is killed and whoever acts beside; and no statement reads the whole table.

use std::time::Duration;

use backshift_core::{
    Deed, EffectState, Hand, JobFilter, JobId, State, StoreError, Sweep, Sweeps as _, UniqueKey,
    UniquePolicy,
    store::{Jobs as _, Retention as _},
    sweep::{BATCH, Matching, Swept},
};
use backshift_store::{Database, Dialect, Executor, HandsRetention, Options, Sql, SqlStore, ledger};
use tokio_postgres::{Client, NoTls};

use crate::{
    liveness::wait_until,
    on_both_databases,
    world::{World, completed, dead, job, snoozed},
};

/// Dead jobs by one statement; every seventh of another kind.
const DEAD: Sql = Sql {
    pg: "INSERT INTO background_jobs (id, job_type, status, queue, broker, token, attempts, failures, created_at, finished_at, \
         payload, payload_size, reason, error_message, error_fingerprint, kept) \
         SELECT gen_random_uuid(), CASE WHEN n % 7 = 0 THEN 'other' ELSE 'usual' END, 'dead', 'q', 'postgres', 1, 3, 3, \
         now() - (200000 - n) * interval '1 second', now(), '\\x7b7d', 2, 'permanent', '550 no', \
         'error: 550 no', true FROM generate_series(1, $1) n",
    sqlite: "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < $1) \
             INSERT INTO background_jobs (id, job_type, status, queue, broker, token, attempts, failures, created_at, updated_at, \
             run_at, finished_at, payload, payload_size, reason, error_message, error_fingerprint) \
             SELECT printf('019aa3c1-7f2e-7c40-9d1b-%012x', n), CASE WHEN n % 7 = 0 THEN 'other' ELSE 'usual' END, 'dead', \
             'q', 'embedded', 1, 3, 3, (1695000000 + n) * 1000000, 1, 1, 1, CAST('{}' AS BLOB), 2, 'permanent', '550 no', \
             'error: 550 no' FROM s",
};

fn retry(words: &str) -> Sweep {
    let filter = JobFilter { state: Some(State::Dead), ..JobFilter::default() };
    let hand = Hand { who: "ann@here".into(), why: Some("the server is back".into()) };
    Sweep { deed: Deed::Retry, filter, words: words.into(), hand, expected: Matching::default() }
}

async fn to_the_end(store: &SqlStore, sweep: &Sweep) -> Swept {
    let mut swept = store.begin_sweep(sweep).await.unwrap();
    while !swept.done {
        swept = store.sweep(swept.id, &sweep.hand).await.unwrap();
    }
    swept
}

async fn count(world: &World, what: &str) -> i64 {
    world.db().text(format!("SELECT COUNT(*) FROM {what}")).one().await.unwrap()
}

on_both_databases! {
    async fn a_sweep_that_was_killed_goes_on_and_touches_no_job_twice(world) {
        world.db().sql(DEAD).bind(2000_i64).run().await.unwrap();
        let sweep = retry("state dead");
        assert_eq!(world.store.matching(&sweep.filter).await.unwrap().jobs, 2000);
        let begun = world.store.begin_sweep(&sweep).await.unwrap();
        let first = world.store.sweep(begun.id, &sweep.hand).await.unwrap();
        assert_eq!((first.found, first.changed, first.done), (u64::from(BATCH), u64::from(BATCH), false));
        // What was retried dies again meanwhile, and a job is added: neither is part of it.
        let dies = "UPDATE background_jobs SET status = 'dead' WHERE status = 'available'";
        let marks = if world.is_postgres() { ", seat = NULL, kept = true" } else { "" };
        let dies = dies.replacen(" WHERE", &format!("{marks} WHERE"), 1);
        world.db().text(dies).run().await.unwrap();
        // The process that began it is gone; another one wishes the same.
        let again = SqlStore::new(world.db().clone());
        let found = again.begin_sweep(&sweep).await.unwrap();
        assert_eq!((found.id, found.found), (begun.id, u64::from(BATCH)), "it goes on with what was begun");
        let end = to_the_end(&again, &sweep).await;
        assert_eq!((end.id, end.found, end.changed), (begun.id, 2000, 2000));
        assert_eq!(count(world, "job_deeds").await, 2000);
        assert_eq!(count(world, "(SELECT DISTINCT job_id FROM job_deeds) d").await, 2000, "a job was touched twice");
        assert_eq!(count(world, "background_jobs WHERE status = 'available'").await, 1500);
        // What is at its end is no longer found: the next wish is a new one.
        assert_ne!(world.store.begin_sweep(&sweep).await.unwrap().id, begun.id);
    }

    async fn a_sweep_that_lay_is_another_matter_and_not_done(world) {
        world.db().sql(DEAD).bind(1200_i64).run().await.unwrap();
        let sweep = retry("lay");
        let begun = world.store.begin_sweep(&sweep).await.unwrap();
        world.store.sweep(begun.id, &sweep.hand).await.unwrap();
        let age = if world.is_postgres() { "interval '2 hours'" } else { "7200000000" };
        world.db().text(format!("UPDATE job_sweeps SET touched_at = touched_at - {age}")).run().await.unwrap();
        let anew = world.store.begin_sweep(&sweep).await.unwrap();
        assert_ne!(anew.id, begun.id);
        let left = world.store.find_sweep(begun.id).await.unwrap().unwrap().swept;
        assert_eq!((left.done, left.found), (false, u64::from(BATCH)), "nobody is told that it came to its end");
        let again = world.store.begin_sweep(&sweep).await.unwrap();
        assert_eq!(again.id, anew.id, "equal words go on with the newer one");
        let mut swept = left;
        while !swept.done {
            swept = world.store.sweep(begun.id, &sweep.hand).await.unwrap();
        }
        assert_eq!(swept.found, 1200, "who names it goes on with it");
        assert!(world.store.find_sweep(begun.id).await.unwrap().unwrap().swept.done);
    }

    async fn two_people_at_once_do_the_batches_of_one_sweep(world) {
        world.db().sql(DEAD).bind(3000_i64).run().await.unwrap();
        let (ann, bob) = (retry("same"), Sweep { hand: Hand { who: "bob@there".into(), why: None }, ..retry("same") });
        let (one, two) = tokio::join!(to_the_end(&world.store, &ann), to_the_end(&world.store, &bob));
        assert_eq!(one.id, two.id);
        assert_eq!(count(world, "job_deeds").await, 3000, "every job once, whoever did it");
        assert_eq!(count(world, "background_jobs WHERE status = 'available'").await, 3000);
    }

    async fn two_wishes_that_mean_the_same_jobs_do_each_once(world) {
        world.db().sql(DEAD).bind(3000_i64).run().await.unwrap();
        let (ann, bob) = (retry("one"), retry("two"));
        let (one, two) = tokio::join!(to_the_end(&world.store, &ann), to_the_end(&world.store, &bob));
        assert_ne!(one.id, two.id);
        assert_eq!(one.changed + two.changed, 3000, "{one:?} {two:?}");
        assert_eq!(count(world, "job_deeds").await, 3000);
        assert_eq!(count(world, "(SELECT DISTINCT job_id FROM job_deeds) d").await, 3000, "a job was touched twice");
    }

    async fn a_sweep_passes_through_a_fleet_that_works(world) {
        for _ in 0..3 {
            world.enqueue_all((0..400).map(|_| job("ready")).collect()).await;
        }
        let claimed: Vec<_> = world.claim_many("w", 600).await;
        for (_, start) in &claimed {
            world.finish(start.lease, dead(backshift_core::Reason::Permanent)).await;
        }
        let buried: Vec<JobId> = claimed.iter().map(|(job, _)| job.id).collect();
        let works = async {
            let mut done = 0;
            while done < 1200 {
                for (_, start) in world.claim_many("v", 40).await {
                    world.finish(start.lease, completed()).await;
                    done += 1;
                }
            }
        };
        let sweep = retry("while they work");
        let (swept, ()) = tokio::join!(to_the_end(&world.store, &sweep), works);
        assert_eq!((swept.found, swept.changed), (600, 600));
        assert_eq!(count(world, "background_jobs WHERE status = 'completed'").await, 1200, "each of them runs to its end");
        let starts = world.store.find(buried[0]).await.unwrap().unwrap().token;
        assert_eq!(starts.0, 2, "what was retried ran once more");
    }

    async fn of_two_with_one_key_one_runs_again(world) {
        let unique = || {
            let mut envelope = job("ready");
            envelope.unique = Some(UniqueKey { key: "k".into(), policy: UniquePolicy::Reject });
            envelope
        };
        for _ in 0..2 {
            world.enqueue(unique()).await;
            let (_, start) = world.claim("w").await.unwrap();
            world.finish(start.lease, dead(backshift_core::Reason::Permanent)).await;
        }
        let swept = to_the_end(&world.store, &retry("keys")).await;
        assert_eq!((swept.found, swept.changed), (2, 1), "the other stays dead");
        assert_eq!(count(world, "background_jobs WHERE status = 'dead'").await, 1);
        // What waits has its key itself, and need not wait any longer.
        let (job, start) = world.claim("w").await.unwrap();
        world.finish(start.lease, snoozed(&job, Duration::from_secs(3600))).await;
        let mut now = retry("now");
        now.filter.state = Some(State::Scheduled);
        assert_eq!(to_the_end(&world.store, &now).await.changed, 1);
        assert_eq!(world.state(job.id).await, State::Available);
    }

    async fn a_single_deed_and_its_note_are_one(world) {
        let id = world.enqueue(job("ready")).await.id();
        let ann = Hand { who: "ann@here".into(), why: None };
        assert!(matches!(world.store.act(Deed::Delete, id, &ann).await, Err(StoreError::Rejected(text)) if text.contains("cancel it first")));
        assert_eq!(world.store.act(Deed::Cancel, id, &ann).await.unwrap(), State::Cancelled);
        assert_eq!(world.store.act(Deed::Cancel, id, &ann).await.unwrap(), State::Cancelled, "again, and nothing happens");
        assert_eq!(world.store.act(Deed::Delete, id, &ann).await.unwrap(), State::Cancelled);
        assert!(world.store.find(id).await.unwrap().is_none());
        assert!(matches!(world.store.act(Deed::Retry, id, &ann).await, Err(StoreError::NotFound(_))));
        let hands = world.store.hands(id).await.unwrap();
        let told: Vec<_> = hands.iter().map(|hand| hand.deed.as_str()).collect();
        assert_eq!(told, ["cancel", "delete"], "who deleted a job is known when it is gone");
        // What cannot be written down does not happen.
        let other = world.enqueue(job("ready")).await.id();
        let gone = if world.is_postgres() { "ALTER TABLE job_deeds RENAME TO elsewhere" } else { "DROP TABLE job_deeds" };
        world.db().sql(gone).run().await.unwrap();
        assert!(world.store.act(Deed::Cancel, other, &ann).await.is_err());
        assert_eq!(world.state(other).await, State::Available);
    }

    async fn what_people_did_is_forgotten_in_bites(world) {
        let ann = Hand { who: "ann@here".into(), why: None };
        for _ in 0..5 {
            let id = world.enqueue(job("ready")).await.id();
            world.store.act(Deed::Cancel, id, &ann).await.unwrap();
        }
        to_the_end(&world.store, &retry("none")).await;
        let age = if world.is_postgres() { "interval '100 days'" } else { "8640000000000" };
        let mut old = Vec::new();
        for (table, column) in [("job_deeds", "at"), ("job_sweeps", "begun_at")] {
            old.push(format!("UPDATE {table} SET {column} = {column} - {age}"));
        }
        for text in old {
            world.db().text(text).run().await.unwrap();
        }
        let id = world.enqueue(job("ready")).await.id();
        world.store.act(Deed::Cancel, id, &ann).await.unwrap();
        let days = |days: u64| HandsRetention::new(world.db().clone(), Duration::from_secs(days * 86_400));
        assert_eq!(days(0).prune(2).await.unwrap(), 0, "no time is for ever");
        assert_eq!(days(200).prune(2).await.unwrap(), 0);
        for deleted in [2, 2, 1, 0] {
            assert_eq!(days(90).prune(2).await.unwrap(), deleted);
        }
        assert_eq!((count(world, "job_deeds").await, count(world, "job_sweeps").await), (1, 0));
    }
}

pub async fn connected(world: &World) -> Client {
    let (client, connection) = tokio_postgres::connect(&world.place.url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Whether a statement of this database waits for a row that somebody holds.
async fn somebody_waits(client: &Client) -> bool {
    let waits = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    client.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) > 0
}

/// A thousand jobs whose rows lie in the opposite order of their ids.
async fn upside_down(client: &Client) {
    let fill = DEAD.pg.replace(
        "gen_random_uuid()",
        "('00000000-0000-7000-8000-' || lpad(to_hex(5000 - n), 12, '0'))::uuid",
    );
    client.batch_execute(&fill.replace("$1", "400")).await.unwrap();
}

/// As the settler's batches do: two that change the same rows cannot wait for each other.
#[tokio::test]
async fn rows_are_locked_in_the_order_of_their_ids() {
    let Some(world) = World::postgres().await else { return };
    let (mut holder, looker) = (connected(&world).await, connected(&world).await);
    upside_down(&looker).await;
    let held = holder.transaction().await.unwrap();
    let first = "SELECT id FROM background_jobs ORDER BY id LIMIT 1 FOR UPDATE";
    held.query_one(first, &[]).await.unwrap();
    let (store, sweep) = (world.store.clone(), retry("order"));
    let swept = tokio::spawn(async move { to_the_end(&store, &sweep).await });
    wait_until("it stands at the first row", async || somebody_waits(&looker).await).await;
    let free = "SELECT COUNT(*) FROM (SELECT id FROM background_jobs FOR UPDATE SKIP LOCKED) free";
    let free: i64 = looker.query_one(free, &[]).await.unwrap().get(0);
    assert_eq!(free, 399, "and holds none behind it");
    held.rollback().await.unwrap();
    assert_eq!(swept.await.unwrap().changed, 400);
}

/// Between looking and touching a job ran again and died of something else.
#[tokio::test]
async fn a_job_that_died_of_another_cause_meanwhile_is_left_alone() {
    let Some(world) = World::postgres().await else { return };
    let (mut holder, looker) = (connected(&world).await, connected(&world).await);
    upside_down(&looker).await;
    let held = holder.transaction().await.unwrap();
    let other = "UPDATE background_jobs SET error_fingerprint = 'error: disk full', token = token + 1 \
        WHERE id = (SELECT id FROM background_jobs ORDER BY id LIMIT 1)";
    held.execute(other, &[]).await.unwrap();
    let mut sweep = retry("one cause");
    sweep.filter.cause = Some("error: 550 no".into());
    let store = world.store.clone();
    let swept = tokio::spawn(async move { to_the_end(&store, &sweep).await });
    wait_until("it waits for that row", async || somebody_waits(&looker).await).await;
    held.commit().await.unwrap();
    let swept = swept.await.unwrap();
    assert_eq!((swept.found, swept.changed), (400, 399));
    let left = "SELECT error_fingerprint FROM background_jobs WHERE status = 'dead'";
    assert_eq!(looker.query_one(left, &[]).await.unwrap().get::<_, String>(0), "error: disk full");
}

/// A user's transaction and a batch that want two keys in opposite orders: the batch gives way, and both come to their end.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_gives_way_to_a_transaction_that_takes_keys() {
    let Some(world) = World::postgres().await else { return };
    let unique = |key: &str| {
        let mut envelope = job("ready");
        envelope.unique = Some(UniqueKey { key: key.into(), policy: UniquePolicy::Reject });
        envelope
    };
    // The batch goes in the order of the ids: a, then b.
    for key in ["a", "b"] {
        world.enqueue(unique(key)).await;
        let (_, start) = world.claim("w").await.unwrap();
        world.finish(start.lease, dead(backshift_core::Reason::Permanent)).await;
    }
    let (mut holder, looker) = (connected(&world).await, connected(&world).await);
    // Were it not that the batch gives way, the user's transaction would be the one that finds the deadlock, and fails.
    let name = world.place.url.rsplit_once('/').unwrap().1;
    holder.batch_execute("SET deadlock_timeout = '5s'").await.unwrap();
    holder.batch_execute(&format!("ALTER DATABASE \"{name}\" SET deadlock_timeout = '600s'")).await.unwrap();
    let db = Database::open(&world.place.url, &Options::default()).unwrap();
    let take = |key: &str| {
        format!(
            "INSERT INTO background_jobs (id, job_type, status, queue, broker, payload, payload_size, unique_key, seat, \
             unique_policy) VALUES (gen_random_uuid(), 'test.job', 'available', 'ready', 'postgres', '\\x7b7d', 2, \
             '{key}', '{key}', 'reject')"
        )
    };
    let held = holder.transaction().await.unwrap();
    held.batch_execute(&take("b")).await.unwrap();
    let (store, sweep) = (SqlStore::new(db), retry("gives way"));
    let swept = tokio::spawn(async move {
        loop {
            // As whoever wished it: again, when its tries were used up before the transaction ended.
            let begun = store.begin_sweep(&sweep).await.unwrap();
            match store.sweep(begun.id, &sweep.hand).await {
                Err(StoreError::Unavailable(_)) => {}
                swept => return swept.unwrap(),
            }
        }
    });
    wait_until("it stands before the key", async || somebody_waits(&looker).await).await;
    held.batch_execute(&take("a")).await.unwrap();
    held.commit().await.unwrap();
    let swept = swept.await.unwrap();
    assert_eq!((swept.found, swept.changed), (2, 0), "both keys are the user's");
}

/// Everything that people do by hand, once.
async fn everything(store: &SqlStore) {
    let hand = retry("").hand;
    for state in State::ALL {
        let error = vec!["no such words".to_owned()];
        let plain = JobFilter { state: Some(state), ..JobFilter::default() };
        let cause = JobFilter { cause: Some("error: none".into()), ..plain.clone() };
        let texts = JobFilter { error: error.clone(), ..plain.clone() };
        let effect = JobFilter { effect: Some(EffectState::Ambiguous), ..plain.clone() };
        let user = JobFilter { user: Some(uuid::Uuid::now_v7()), ..plain.clone() };
        for filter in [plain, cause, texts, effect, user] {
            store.matching(&filter).await.unwrap();
            store.causes(&filter).await.unwrap();
        }
        for deed in
            [Deed::Retry, Deed::Cancel, Deed::Delete].into_iter().filter(|deed| deed.applies_to(state))
        {
            let wish = retry(&format!("{state:?} {deed:?}"));
            let filter = JobFilter { state: Some(state), ..JobFilter::default() };
            to_the_end(store, &Sweep { deed, filter, ..wish }).await;
        }
    }
    for deed in [Deed::Retry, Deed::Cancel, Deed::Delete] {
        let _ = store.act(deed, JobId::generate(), &hand).await;
    }
    store.hands(JobId::generate()).await.unwrap();
    store.all_hands(None, 100).await.unwrap();
}

/// How often the ledger was read from end to end, as the server counts it.
pub async fn whole_scans(client: &Client) -> i64 {
    let text = "SELECT COALESCE(SUM(seq_scan), 0)::bigint FROM pg_stat_user_tables WHERE relname = 'background_jobs'";
    client.query_one(text, &[]).await.unwrap().get(0)
}

/// A session tells its counters when it ends: one of its own does everything, and ends.
async fn scans_of_everything(world: &World, client: &Client) -> i64 {
    let before = whole_scans(client).await;
    let db = Database::open(&world.place.url, &Options::default()).unwrap();
    everything(&SqlStore::new(db.clone())).await;
    db.close().await;
    alone(client).await;
    whole_scans(client).await - before
}

/// Every other session has ended.
pub async fn alone(client: &Client) {
    let others = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let ended = async || client.query_one(others, &[]).await.unwrap().get::<_, i64>(0) == 0;
    wait_until("the other sessions end", ended).await;
}

/// A million completed jobs would be read whole, under the locks of a batch, for the few that are meant.
#[tokio::test]
async fn nothing_by_hand_reads_the_whole_ledger_on_postgresql() {
    let Some(world) = World::postgres().await else { return };
    let client = connected(&world).await;
    client.batch_execute("ALTER TABLE background_jobs SET (autovacuum_enabled = false)").await.unwrap();
    world.db().close().await;
    alone(&client).await;
    assert_eq!(scans_of_everything(&world, &client).await, 0, "while it is empty");
    let completed = DEAD
        .pg
        .replace("'dead'", "'completed'")
        .replace("'permanent'", "NULL")
        .replace(", true FROM", ", NULL FROM");
    client.batch_execute(&completed.replace("$1", "70000")).await.unwrap();
    client.batch_execute(&DEAD.pg.replace("$1", "700")).await.unwrap();
    assert_eq!(scans_of_everything(&world, &client).await, 0, "never analysed");
    client.batch_execute(&DEAD.pg.replace("$1", "700")).await.unwrap();
    client.batch_execute("ANALYZE background_jobs").await.unwrap();
    assert_eq!(scans_of_everything(&world, &client).await, 0, "analysed");
}

#[tokio::test]
async fn nothing_by_hand_reads_the_whole_ledger_on_sqlite() {
    let world = World::sqlite().await;
    let marks = [
        "AS one FROM background_jobs",
        "IS NOT NULL FROM background_jobs",
        "SELECT id, created_at FROM background_jobs WHERE true",
        "SELECT id, COALESCE(error_message, reason)",
        "RETURNING id, queue, status",
        "GROUP BY error_fingerprint",
    ];
    let by_hand = |text: &String| marks.iter().any(|mark| text.contains(mark));
    let texts: Vec<String> = ledger::statements(Dialect::Sqlite).into_iter().filter(by_hand).collect();
    assert!(texts.len() > 20, "{texts:?}");
    for text in texts {
        let explain = world.db().text(format!("EXPLAIN QUERY PLAN {text}"));
        let explain = if text.contains("$1") { explain.bind("[]") } else { explain };
        let plan = explain.all::<(i64, i64, i64, String)>().await.unwrap();
        assert!(plan.iter().all(|(.., step)| step != "SCAN background_jobs"), "{plan:?}\n{text}");
    }
}
