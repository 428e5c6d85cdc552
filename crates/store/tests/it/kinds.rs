//! What a worker does not know is put aside once, and nobody walks past it again.

use std::{sync::Arc, time::Instant};

use backshift_core::{
    Envelope, JobId, Kind, Kinds, State, UniqueKey, UniquePolicy,
    store::{Jobs, Queues},
};
use backshift_store::{Database, Dialect, Executor, Options, ledger, ledger::Round, notify::Bell};

use crate::{
    on_both_databases, pages,
    world::{World, completed, holder, job, queue},
};

fn kinds(names: &[&str]) -> Kinds {
    Arc::new(names.iter().map(|name| Kind::new(name).unwrap()).collect())
}

fn of(kind: &str) -> Envelope {
    Envelope { kind: Kind::new(kind).unwrap(), ..job("ready") }
}

async fn claim(world: &World, limit: u32, names: Option<&[&str]>) -> Vec<JobId> {
    claim_on(world.db(), limit, names).await
}

async fn claim_on(db: &Database, limit: u32, names: Option<&[&str]>) -> Vec<JobId> {
    let round = Round { kinds: names.map(kinds), ..Round::default() };
    let claimed = ledger::claim_round(db, &queue("ready"), limit, &holder("w"), &round).await.unwrap();
    claimed.into_iter().map(|(envelope, _)| envelope.id).collect()
}

async fn claim_alone(db: &Database, names: &[&str]) -> Option<JobId> {
    let claimed = ledger::claim_alone(db, &queue("ready"), &holder("w"), Some(&kinds(names))).await.unwrap();
    claimed.map(|(envelope, _)| envelope.id)
}

/// Which of the waiting jobs stand aside.
async fn aside(world: &World) -> Vec<JobId> {
    let table = if world.is_postgres() { "job_line" } else { "background_jobs" };
    let text = format!("SELECT id FROM {table} WHERE aside IS NOT NULL ORDER BY id");
    world.db().text(text).all().await.unwrap()
}

async fn depth(world: &World) -> u64 {
    ledger::depth(world.db(), &queue("ready")).await.unwrap()
}

/// A job of this kind that ended its worker three times.
async fn suspect(world: &World, kind: &str) -> JobId {
    let id = world.enqueue(of(kind)).await.id();
    let text = "UPDATE background_jobs SET crashes = 3 WHERE id = $1";
    world.db().sql(text).bind(id).run().await.unwrap();
    id
}

/// Many jobs of one kind, made by the database itself.
async fn fill(world: &World, kind: &str, count: u32) {
    fill_from(world, kind, 0, count).await;
}

/// The same, with ids after so many others.
async fn fill_from(world: &World, kind: &str, others: u32, count: u32) {
    let text = match world.db().dialect() {
        Dialect::Postgres => format!(
            "INSERT INTO background_jobs (id, job_type, status, queue, broker, payload, payload_size) \
             SELECT gen_random_uuid(), '{kind}', 'available', 'ready', 'postgres', '{{}}', 2 \
             FROM generate_series(1, {count})"
        ),
        Dialect::Sqlite => format!(
            "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count}) \
             INSERT INTO background_jobs (id, job_type, status, queue, broker, payload, payload_size, created_at, \
             updated_at, run_at) SELECT printf('019aa3c1-7f2e-7c40-9d1b-%012d', n + {others}), '{kind}', 'available', 'ready', \
             'embedded', X'7B7D', 2, 1, 1, 1 FROM n"
        ),
    };
    world.db().text(text).run().await.unwrap();
}

on_both_databases! {
    async fn a_claim_takes_what_is_known_and_puts_the_rest_aside(world) {
        let mut ids = Vec::new();
        for kind in ["a", "b", "a", "c", "b", "a"] {
            ids.push(world.enqueue(of(kind)).await.id());
        }
        assert_eq!(claim(world, 2, Some(&["a"])).await, [ids[0], ids[2]]);
        assert_eq!(claim(world, 9, Some(&["a"])).await, [ids[5]]);
        assert_eq!(ledger::depth(world.db(), &queue("ready")).await.unwrap(), 0, "what is aside is in nobody's way");
        let row = world.store.find(ids[1]).await.unwrap().unwrap();
        assert_eq!((row.state, row.token.0), (State::Available, 0), "no start was burnt");
        assert!(row.error.unwrap().starts_with("parked: "));
        assert!(claim(world, 9, None).await.is_empty());
        assert_eq!(claim(world, 1, Some(&["b", "c"])).await, [ids[1]]);
        assert_eq!(claim(world, 9, Some(&["b", "c"])).await, [ids[3], ids[4]]);
        let (_, start) = world.running("w").await;
        world.finish(start.lease, completed()).await;
    }

    async fn what_stands_aside_can_be_cancelled_and_run_again(world) {
        let id = world.enqueue(of("b")).await.id();
        assert!(claim(world, 5, Some(&["a"])).await.is_empty());
        assert_eq!(world.store.cancel(id).await.unwrap(), State::Cancelled);
        assert!(claim(world, 5, Some(&["b"])).await.is_empty());
        assert_eq!(world.store.retry(id).await.unwrap(), State::Available);
        assert_eq!(claim(world, 5, Some(&["b"])).await, [id]);
    }

    async fn a_suspect_that_stands_aside_is_listed_with_its_kind(world) {
        suspect(world, "b").await;
        world.enqueue(of("b")).await;
        assert!(claim(world, 5, Some(&["a"])).await.is_empty() && claim_alone(world.db(), &["a"]).await.is_none());
        let listed = world.store.parked().await.unwrap();
        let listed: Vec<_> = listed.iter().map(|parked| (parked.kind.as_str(), parked.jobs)).collect();
        assert_eq!(listed, [("b", 2)]);
    }

    async fn a_job_that_is_replaced_stands_aside_no_longer(world) {
        let keyed = || {
            let unique = UniqueKey { key: "key".into(), policy: UniquePolicy::Replace };
            Envelope { unique: Some(unique), ..of("b") }
        };
        let id = world.enqueue(keyed()).await.id();
        assert!(claim(world, 5, Some(&["a"])).await.is_empty());
        assert_eq!(aside(world).await, [id]);
        assert_eq!(world.enqueue(keyed()).await.id(), id);
        assert!(aside(world).await.is_empty(), "nobody has looked at what it is now");
        assert_eq!(claim(world, 5, Some(&["b"])).await, [id]);
    }

    async fn a_parked_job_that_ends_is_in_no_list_of_what_is_parked(world) {
        // Of a foreign broker: its place is the row itself, and an index of every row that has one.
        let unique = UniqueKey { key: "key".into(), policy: UniquePolicy::Reject };
        let ids = [world.enqueue(of("b")).await.id(), world.enqueue(Envelope { unique: Some(unique), ..of("b") }).await.id()];
        let marks = if world.is_postgres() { ", abroad = queue, unpublished = 'rabbitmq'" } else { "" };
        let text = format!("UPDATE background_jobs SET broker = 'rabbitmq', aside = job_type{marks}");
        world.db().text(text).run().await.unwrap();
        let left = "SELECT COUNT(*) FROM background_jobs WHERE aside IS NOT NULL";
        assert_eq!(world.db().sql(left).one::<i64>().await.unwrap(), 2);
        world.store.cancel(ids[0]).await.unwrap();
        assert_eq!(world.db().sql(left).one::<i64>().await.unwrap(), 1, "it was cancelled");
        let unique = UniqueKey { key: "key".into(), policy: UniquePolicy::KeepLast };
        world.enqueue(Envelope { unique: Some(unique), ..of("c") }).await;
        assert_eq!(world.store.find(ids[1]).await.unwrap().unwrap().state, State::Cancelled);
        assert_eq!(world.db().sql(left).one::<i64>().await.unwrap(), 0, "it made room");
    }

    async fn a_hundred_thousand_strangers_are_passed_once(world) {
        // In steps: one statement of so many rows takes longer on a busy machine than a statement may.
        for step in 0..5 {
            fill_from(world, "strange", 20_000 * step, 20_000).await;
        }
        let mine = world.enqueue(of("known")).await.id();
        let mut claims = 0;
        while claim(world, 4, Some(&["known"])).await != [mine] {
            claims += 1;
            assert!(claims < 100, "the job behind the strangers was not found");
        }
        let began = Instant::now();
        claim(world, 4, Some(&["known"])).await;
        println!("after {claims} claims that put strangers aside one takes {:?}", began.elapsed());
        if world.db().dialect() == Dialect::Sqlite {
            let left = "SELECT COUNT(*) FROM background_jobs WHERE aside IS NULL AND status = 'available'";
            assert_eq!(world.db().sql(left).one::<i64>().await.unwrap(), 0);
            return;
        }
        // The entries of the line that were left behind go with the next vacuum.
        world.db().sql("VACUUM job_line").run().await.unwrap();
        let text = "EXPLAIN (ANALYZE, BUFFERS, FORMAT TEXT) SELECT id FROM \
                    backshift_start_known('ready', 4, 'w', 30000000, gen_random_uuid(), '{known}')";
        let (hits, plan) = pages(&world.db().sql(text).all::<String>().await.unwrap());
        assert!(hits < 200, "{hits} pages for a claim behind strangers: {plan}");
    }

    async fn what_stood_aside_goes_in_the_order_of_all_that_waits(world) {
        let low = |kind: &str| Envelope { priority: -5, ..of(kind) };
        let aside_low = [world.enqueue(low("a")).await.id(), world.enqueue(low("z")).await.id()];
        let old = [world.enqueue(of("z")).await.id(), world.enqueue(of("a")).await.id(), world.enqueue(of("z")).await.id()];
        assert!(claim(world, 9, Some(&["other"])).await.is_empty());
        assert_eq!(aside(world).await.len(), 5);
        let urgent = world.enqueue(Envelope { priority: 5, ..of("m") }).await.id();
        let new = [world.enqueue(of("m")).await.id(), world.enqueue(of("a")).await.id()];
        let known = Some(["a", "m", "z"].as_slice());
        assert_eq!(claim(world, 2, known).await, [urgent, old[0]], "the most urgent first, wherever it stands");
        assert_eq!(claim(world, 1, known).await, [old[1]], "no kind comes before another");
        assert_eq!(claim(world, 3, known).await, [old[2], new[0], new[1]], "by time across line and kinds");
        assert_eq!(claim(world, 9, known).await, aside_low);
    }

    async fn a_stranger_behind_a_job_that_waits_for_its_key_is_put_aside(world) {
        let keyed = || Envelope {
            unique: Some(UniqueKey { key: "k".into(), policy: UniquePolicy::KeepLast }), ..of("known")
        };
        let first = world.enqueue(keyed()).await.id();
        assert_eq!(claim(world, 1, Some(&["known"])).await, [first]);
        let waits = world.enqueue(keyed()).await.id();
        let strange = world.enqueue(of("strange")).await.id();
        let known = world.enqueue(of("known")).await.id();
        assert_eq!(claim(world, 1, Some(&["known"])).await, [known], "never what it does not know");
        assert_eq!(aside(world).await, [strange]);
        assert!(claim(world, 9, Some(&["known"])).await.is_empty(), "{waits} waits for {first}");
    }

    async fn a_suspect_of_an_unknown_kind_is_put_aside_and_calls_nobody_stuck(world) {
        let id = suspect(world, "strange").await;
        assert_eq!(depth(world).await, 1, "it may run now");
        assert_eq!(claim_alone(world.db(), &["known"]).await, None);
        assert_eq!(depth(world).await, 0, "nobody who looked can run it");
        assert_eq!(aside(world).await, [id]);
        let row = world.store.find(id).await.unwrap().unwrap();
        assert_eq!((row.state, row.token.0), (State::Available, 0), "no start was burnt");
        assert!(row.error.is_some_and(|text| text.starts_with("parked: ")));
        let mine = suspect(world, "known").await;
        assert_eq!(depth(world).await, 1, "one that is known counts");
        assert_eq!(claim_alone(world.db(), &["known"]).await, Some(mine), "it does not wait behind the other");
    }

    async fn another_process_that_knows_the_kind_takes_what_this_one_put_aside(world) {
        let there = Database::open(&world.place.url, &Options::default()).unwrap();
        let mut ear = Bell::new(&there).listen(&queue("ready"));
        while ear.rung(std::time::Duration::from_millis(300)).await {}
        let (strange, lonely) = (world.enqueue(of("strange")).await.id(), suspect(world, "strange").await);
        assert!(claim(world, 9, Some(&["known"])).await.is_empty());
        assert_eq!(claim_alone(world.db(), &["known"]).await, None);
        assert!(ear.rung(std::time::Duration::from_secs(10)).await, "the other process was not told");
        assert_eq!(claim_on(&there, 9, Some(&["strange"])).await, [strange]);
        assert_eq!(claim_alone(&there, &["strange"]).await, Some(lonely));
        assert!(aside(world).await.is_empty());
    }
}

/// Three kinds stand aside: `many` jobs of each.
async fn three_kinds_aside(many: u32) -> Option<World> {
    let world = World::postgres().await?;
    for kind in ["a", "b", "c"] {
        fill(&world, kind, many).await;
        let put_aside = "UPDATE job_line SET aside = j.job_type FROM background_jobs j WHERE j.id = job_line.id \
                         AND job_line.aside IS NULL";
        world.db().sql(put_aside).run().await.unwrap();
    }
    // The entries of the line that were left behind go with the next vacuum.
    world.db().sql("VACUUM job_line").run().await.unwrap();
    Some(world)
}

const STARTS: &str =
    "SELECT id FROM backshift_start_known('ready', 4, 'w', 30000000, gen_random_uuid(), '{a,b,c}')";

#[tokio::test]
async fn a_claim_of_what_stands_aside_locks_what_it_takes_and_passes_over_what_is_locked() {
    let Some(world) = three_kinds_aside(20).await else { return };
    const FREE: &str = "SELECT id FROM job_line ORDER BY run_at, id FOR UPDATE SKIP LOCKED";
    let first = world.db().begin().await.unwrap();
    let taken: Vec<JobId> = first.sql(STARTS).all().await.unwrap();
    let second = world.db().begin().await.unwrap();
    assert_eq!((taken.len(), second.sql(FREE).all::<JobId>().await.unwrap().len()), (4, 56));
    second.rollback().await.unwrap();
    first.rollback().await.unwrap();
    // More than one look reaches are held by somebody; those behind them are claimed all the same.
    let held = world.db().begin().await.unwrap();
    let text = "SELECT id FROM job_line ORDER BY run_at, id LIMIT 50 FOR UPDATE";
    let held_ids: Vec<JobId> = held.sql(text).all().await.unwrap();
    let others = claim(&world, 4, Some(&["a", "b", "c"])).await;
    assert_eq!(others.len(), 4);
    assert!(others.iter().all(|id| !held_ids.contains(id)));
    held.rollback().await.unwrap();
}

#[tokio::test]
async fn a_claim_of_what_stands_aside_reads_little_more_than_it_takes() {
    for many in [0, 20_000] {
        let Some(world) = three_kinds_aside(many).await else { return };
        fill(&world, "a", many).await;
        let tx = world.db().begin().await.unwrap();
        // The first call warms the session's catalogue up.
        tx.sql(STARTS).all::<()>().await.unwrap();
        let text = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT TEXT) {STARTS}");
        let (hits, plan) = pages(&tx.text(text).all::<String>().await.unwrap());
        assert!(hits < 300, "{hits} pages for 4 of {many} jobs of each kind: {plan}");
    }
}

#[tokio::test]
async fn the_list_of_parked_kinds_counts_no_further_than_it_says() {
    let Some(world) = World::postgres().await else { return };
    fill(&world, "strange", 20_000).await;
    for text in [
        "UPDATE job_line SET aside = 'strange'",
        "INSERT INTO background_jobs (id, job_type, status, queue, broker, aside, published_at, abroad) \
         SELECT gen_random_uuid(), 'strange', 'available', 'ready', 'rabbitmq', 'strange', clock_timestamp(), 'ready' \
         FROM generate_series(1, 20000)",
    ] {
        world.db().text(text.to_owned()).run().await.unwrap();
    }
    let listed = world.store.parked().await.unwrap();
    assert_eq!((listed.len(), listed[0].jobs), (1, 1000));
    let of_parked = |text: &String| text.contains("some_jobs) c WHERE");
    let text = ledger::statements(Dialect::Postgres).into_iter().find(of_parked).unwrap();
    let text = text.replace("$1", "50").replace("$2", "1000");
    for statistics in ["SELECT 1", "ANALYZE background_jobs, job_line"] {
        world.db().text(statistics.to_owned()).run().await.unwrap();
        let explain = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT TEXT) {text}");
        let (touched, plan) = pages(&world.db().text(explain).all::<String>().await.unwrap());
        assert!(touched < 4000, "{touched} pages for 2,000 of 40,000 jobs, after {statistics}: {plan}");
    }
}
