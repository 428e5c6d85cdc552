//! Signs of life: held, unique, and gone when the process is.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use backshift_core::{Timestamp, WorkerName, store::Liveness};
use backshift_store::{
    Database, Options,
    liveness::{dead_workers, sign},
};
use backshift_testkit::{pace, wait::PATIENCE};

use crate::place;

fn worker(name: &str) -> WorkerName {
    WorkerName::new(place::unique(name)).unwrap()
}

pub(crate) async fn wait_until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !done().await {
        assert!(begun.elapsed() < pace::stretched(PATIENCE), "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn live_and_die(db: &Database) {
    let (one, two, ghost) = (worker("one:1"), worker("two:2"), worker("ghost"));
    let first: Arc<dyn Liveness> = sign(db, &one).await.unwrap().unwrap();
    let second = sign(db, &two).await.unwrap().unwrap();
    assert!(first.stands() && second.stands());
    let all = [one.clone(), two.clone(), ghost.clone()];
    // A session that has no lock is over; a file that is missing may have been removed.
    let without = if matches!(db, Database::Pg(_)) { vec![ghost.clone()] } else { Vec::new() };
    assert_eq!(dead_workers(db, &all).await.unwrap(), without);
    drop(first);
    wait_until("the dropped sign is free", async || dead_workers(db, &all).await.unwrap().contains(&one))
        .await;
    assert!(!dead_workers(db, &all).await.unwrap().contains(&two));
    assert!(dead_workers(db, &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_sign_stands_while_its_guard_lives() {
    live_and_die(&place::sqlite().db).await;
    if let Some(place) = place::postgres().await {
        live_and_die(&place.db).await;
    }
}

#[tokio::test]
async fn a_second_worker_of_one_name_is_refused() {
    let mut places = vec![place::sqlite()];
    places.extend(place::postgres().await);
    for place in places {
        let name = worker("same");
        let first = sign(&place.db, &name).await.unwrap();
        let other = Database::open(&place.url, &Options::default()).unwrap();
        let refused = sign(&other, &name).await.err().unwrap();
        assert!(refused.to_string().contains("BACKSHIFT_WORKER_NAME"), "{refused}");
        drop(first);
        assert!(sign(&other, &name).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn behind_a_transaction_pooler_there_is_no_sign() {
    let Some(place) = place::pgbouncer() else { return };
    assert!(sign(&place.db, &worker("pooled")).await.unwrap().is_none());
}

#[tokio::test]
async fn a_lost_session_lock_is_taken_again() {
    let Some(place) = place::postgres().await else { return };
    let name = worker("cut");
    let standing = sign(&place.db, &name).await.unwrap().unwrap();
    const HOLDER: &str = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let holder = async || place.db.sql(HOLDER).optional::<i32>().await.unwrap();
    let cut = holder().await.unwrap();
    place.db.sql("SELECT pg_terminate_backend($1::int)").bind(cut).run().await.unwrap();
    // Until it is noticed the sign stands still, so only another session's lock tells that it was taken again.
    wait_until("another session has the lock", async || holder().await.is_some_and(|pid| pid != cut)).await;
    wait_until("the sign stands", async || standing.stands()).await;
    assert!(dead_workers(&place.db, std::slice::from_ref(&name)).await.unwrap().is_empty());
}

/// Its tries are made on one connection, and end: a name that somebody else has is not a reason to connect for ever.
#[tokio::test]
async fn a_lost_name_that_somebody_else_has_is_asked_for_on_one_connection_and_given_up() {
    let Some(place) = place::postgres().await else { return };
    const OURS: &str = "SELECT ((l.classid::bigint << 32) | l.objid::bigint)::text FROM pg_locks l \
         WHERE l.locktype = 'advisory' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    const CUT: &str = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    /// Who asks for the name now, and when it last did.
    const ASKING: &str = "SELECT pid::bigint, query_start FROM pg_stat_activity WHERE datname = current_database() \
         AND query LIKE 'SELECT pg_try_advisory_lock%'";
    let lost = sign(&place.db, &worker("lost")).await.unwrap().unwrap();
    let key: String = place.db.sql(OURS).one().await.unwrap();
    let (other, driver) = tokio_postgres::connect(&place.url, tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(driver);
    // It waits in the server's own queue, so it has the lock the moment it is free.
    let text = format!("SELECT pg_advisory_lock({key})");
    let won = tokio::spawn(async move { other.batch_execute(&text).await.map(|()| other) });
    wait_until("the other one waits", async || place.db.sql(OURS).all::<String>().await.unwrap().len() == 2)
        .await;
    place.db.sql(CUT).run().await.unwrap();
    let other = won.await.unwrap().unwrap();
    let (mut connections, mut times) = (BTreeSet::new(), BTreeSet::new());
    wait_until("the name is asked for a few times", async || {
        for (pid, at) in place.db.sql(ASKING).all::<(i64, Timestamp)>().await.unwrap() {
            connections.insert(pid);
            times.insert(at);
        }
        times.len() > 3
    })
    .await;
    assert_eq!(connections.len(), 1, "each try was a connection of its own");
    wait_until("it is given up", async || {
        place.db.sql(ASKING).all::<(i64, Timestamp)>().await.unwrap().is_empty()
    })
    .await;
    assert!(!lost.stands());
    drop(other);
    driver.abort();
}
