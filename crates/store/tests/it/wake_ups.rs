//! Wake-ups: in process, between processes (two handles), rings gathered, a lost connection, a pooler.

use std::time::{Duration, Instant};

use backshift_core::{
    Envelope, QueueName, Timestamp,
    store::{Finish, Hints, Holder, Ledger, Maintenance},
};
use backshift_store::{Database, Executor, Options, SqlStore, ledger, notify::Bell};

use crate::{
    liveness::wait_until,
    place,
    world::{World, failed, holder, job},
};

const SHORT: Duration = Duration::from_millis(300);
/// For what comes in any case: it ends with it.
const LONG: Duration = Duration::from_secs(60);

fn queue(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

/// Whether a listener of this place rings once when its connection is made, because something may have been missed.
async fn rings_at_first(place: &place::Place) -> bool {
    matches!(place.db, Database::Pg(_)) && place.db.access().await.unwrap().direct
}

#[tokio::test]
async fn a_ring_is_heard_in_process_at_once_and_only_by_its_queue() {
    for place in place::all().await {
        let bell = Bell::new(&place.db);
        let (mut mails, mut others) = (bell.listen(&queue("mails")), bell.listen(&queue("others")));
        if rings_at_first(&place).await {
            assert!(others.rung(LONG).await && mails.rung(LONG).await, "listening has begun");
        }
        // The quickest of ten: a busy machine may make any single one late.
        let mut quickest = LONG;
        for _ in 0..10 {
            let began = Instant::now();
            bell.ring(&queue("mails"));
            assert!(mails.rung(LONG).await);
            quickest = quickest.min(began.elapsed());
        }
        assert!(quickest < Duration::from_millis(100), "{quickest:?}");
        assert!(!others.rung(SHORT).await);
        assert!(!mails.rung(Duration::from_millis(1)).await, "an own ring came back");
    }
}

#[tokio::test]
async fn another_process_hears_a_postgres_ring() {
    let Some(place) = place::postgres().await else { return };
    let other = Database::open(&place.url, &Options::default()).unwrap();
    let (here, there) = (Bell::new(&place.db), Bell::new(&other));
    let mut ear = there.listen(&queue("mails"));
    assert!(ear.rung(LONG).await, "listening has begun");
    for _ in 0..50 {
        here.ring(&queue("mails"));
    }
    assert!(ear.rung(LONG).await);
    let mut more = 0;
    while ear.rung(SHORT).await {
        more += 1;
    }
    assert!(more <= 5, "50 rings became {} notifications", more + 1);
    // The connection is cut: it listens again, and rings once for what it may have missed.
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()";
    assert_eq!(place.db.sql(cut).run().await.unwrap(), 1);
    assert!(ear.rung(LONG).await, "listening again");
    here.ring(&queue("mails"));
    assert!(ear.rung(LONG).await);
}

#[tokio::test]
async fn another_process_notices_a_write_to_the_file() {
    let place = place::sqlite();
    place.db.sql("CREATE TABLE t (k INTEGER)").run().await.unwrap();
    let other = Database::open(&place.url, &Options::default()).unwrap();
    let bell = Bell::new(&other);
    let mut ear = bell.listen(&queue("mails"));
    assert!(!ear.rung(SHORT).await);
    // A write before the first look at the file is none that the other process could notice.
    wait_until("a write is noticed", async || {
        place.db.sql("INSERT INTO t VALUES (1)").run().await.unwrap();
        ear.rung(SHORT).await
    })
    .await;
    while ear.rung(SHORT).await {}
    // Our own writes ring by themselves, when there is something to fetch.
    other.text("INSERT INTO t VALUES (2)".into()).run().await.unwrap();
    assert!(!ear.rung(SHORT).await);
}

#[tokio::test]
async fn a_due_time_told_to_somebody_awake_counts_when_it_is_sooner_and_only_then() {
    for place in place::all().await {
        let bell = Bell::new(&place.db);
        let mut dues = bell.dues();
        if rings_at_first(&place).await {
            assert!(dues.wait(None, LONG).await, "listening has begun");
        }
        let from_now = |seconds: i64| Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
        let (soon, late) = (from_now(60), from_now(3600));
        bell.due_in(Duration::from_secs(60));
        assert!(dues.wait(Some(late), LONG).await, "a sooner time was told while nobody waited");
        assert!(!dues.wait(Some(late), SHORT).await, "it was heard already");
        // Retries that stream must not keep the one up who waits for something sooner.
        for _ in 0..1000 {
            bell.due_in(Duration::from_secs(3600));
        }
        assert!(!dues.wait(Some(soon), SHORT).await, "a later time woke it");
        let (late_ones, mut waits) = (bell.clone(), bell.dues());
        while waits.wait(None, SHORT).await {}
        let told = async {
            for _ in 0..100 {
                late_ones.due_in(Duration::from_secs(3600));
                tokio::task::yield_now().await;
            }
            late_ones.due_in(Duration::from_secs(1));
        };
        let (heard, ()) = tokio::join!(waits.wait(Some(soon), LONG), told);
        assert!(heard, "a sooner time among later ones was lost");
    }
}

#[tokio::test]
async fn rings_are_sent_before_a_short_life_ends() {
    let Some(place) = place::postgres().await else { return };
    let other = Database::open(&place.url, &Options::default()).unwrap();
    let there = Bell::new(&other);
    let mut ear = there.listen(&queue("mails"));
    assert!(ear.rung(LONG).await, "listening has begun");
    for _ in 0..20 {
        let bell = Bell::new(&place.db);
        bell.ring(&queue("mails"));
        bell.flush().await;
        assert!(ear.rung(LONG).await, "flushed");
        // Nobody waits for this one; it is sent all the same while the runtime lasts.
        let bell = Bell::new(&place.db);
        bell.ring(&queue("mails"));
        drop(bell);
        assert!(ear.rung(LONG).await, "dropped");
    }
}

/// A store whose server's clock is so many seconds off this machine's.
async fn beside(seconds: i64) -> Option<(World, SqlStore)> {
    let world = World::postgres().await?;
    let clock = format!(
        "CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE \
         AS $$ SELECT pg_catalog.clock_timestamp() + {seconds} * interval '1 second' $$"
    );
    world.db().text(clock).run().await.unwrap();
    let name: String = world.db().sql("SELECT current_database()::text").one().await.unwrap();
    let path = format!("ALTER DATABASE {name} SET search_path = public, pg_catalog");
    world.db().text(path).run().await.unwrap();
    let off = SqlStore::new(Database::open(&world.place.url, &Options::default()).unwrap());
    let asked = Timestamp::now();
    let now: Timestamp = off.database().sql("SELECT clock_timestamp()").one().await.unwrap();
    let (early, late) = (now.duration_since(Timestamp::now()).as_secs(), now.duration_since(asked).as_secs());
    assert!((early - 2..=late + 2).contains(&seconds), "the server's clock is {early} to {late} s off");
    Some((world, off))
}

/// How long is waited for what wakes, and for what does not.
fn patience(wakes: bool) -> Duration {
    if wakes { LONG } else { 3 * SHORT }
}

/// Sleeps until the job that is due in a minute, by the server's clock, while `tell` says something that `wakes` or does not.
async fn woken(store: &SqlStore, dues: &mut dyn Hints, wakes: bool, tell: impl Future<Output = ()>) -> bool {
    let (_, next) = store.promote(10).await.unwrap();
    let next = next.unwrap();
    assert!(next.wait > Duration::from_secs(40) && next.wait < Duration::from_secs(70), "{:?}", next.wait);
    while dues.wait(Some(next.at), SHORT).await {}
    tokio::join!(dues.wait(Some(next.at), patience(wakes)), tell).0
}

/// A worker whose clock is wrong would take a sooner job for a later one, and sleep; or a later one for a sooner, and ask.
#[tokio::test(flavor = "multi_thread")]
async fn due_times_are_compared_by_the_databases_clock() {
    for seconds in [-100, 0, 100] {
        let Some((_world, store)) = beside(seconds).await else { return };
        let holder: Holder = holder("w");
        let by_server = async |wait: u64| -> Timestamp {
            let now: Timestamp = store.database().sql("SELECT clock_timestamp()").one().await.unwrap();
            now + Duration::from_secs(wait)
        };
        let scheduled = Envelope { run_at: Some(by_server(60).await), ..job("ready") };
        ledger::enqueue(store.database(), "postgres", vec![scheduled]).await.remove(0).unwrap();
        ledger::enqueue(store.database(), "postgres", vec![job("ready"), job("ready")]).await;
        let taken = ledger::claim_available(store.database(), &queue("ready"), 2, &holder).await.unwrap();
        let again = async |n: usize, wait: u64| {
            let (envelope, start) = &taken[n];
            let settlement = failed(envelope, Duration::from_secs(wait));
            store.finish(vec![Finish { lease: start.lease, settlement, durable: true }]).await.unwrap();
        };
        let mut dues = store.dues();
        let dues = dues.as_mut();
        assert!(dues.wait(None, LONG).await, "listening has begun");
        assert!(!woken(&store, dues, false, again(0, 90)).await, "{seconds} s off: a later retry woke");
        assert!(
            woken(&store, dues, true, again(1, 30)).await,
            "{seconds} s off: a sooner retry was not heard"
        );
        // The same for jobs that are accepted, by a process that has promoted nothing.
        let publisher = Bell::new(store.database());
        let mut dues = publisher.dues();
        assert!(dues.wait(None, LONG).await, "listening has begun");
        for (wait, wakes) in [(90, false), (30, true)] {
            let (next, at) = (by_server(60).await, [by_server(wait).await]);
            while dues.wait(Some(next), SHORT).await {}
            let heard = tokio::join!(dues.wait(Some(next), patience(wakes)), publisher.due(&at)).0;
            assert_eq!(heard, wakes, "{seconds} s off: accepted for {wait} s from now");
        }
    }
}
