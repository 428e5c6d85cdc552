//! SQLite's group commit, full disks, locked and foreign files, two handles and two processes on one file.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use backshift_core::StoreError;
use backshift_store::{Database, Durability, Executor, Options};

use crate::place;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS t (k INTEGER PRIMARY KEY, v BLOB)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_share_few_commits() {
    let place = place::sqlite();
    place.db.sql(TABLE).run().await.unwrap();
    let file = place.db.as_sqlite().unwrap();
    let before = file.stats();
    // The writer is held while the callers queue up, so that the groups do not depend on the machine's speed.
    let tx = place.db.begin().await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    let waiting = Arc::new(AtomicUsize::new(0));
    for key in 0..200_i64 {
        let (db, waiting) = (place.db.clone(), Arc::clone(&waiting));
        writers.spawn(async move {
            waiting.fetch_add(1, Ordering::Relaxed);
            db.sql("INSERT INTO t (k) VALUES ($1)").bind(key).run().await
        });
    }
    while waiting.load(Ordering::Relaxed) < 200 {
        tokio::task::yield_now().await;
    }
    tx.rollback().await.unwrap();
    while let Some(done) = writers.join_next().await {
        assert_eq!(done.unwrap().unwrap(), 1);
    }
    let after = file.stats();
    assert_eq!(after.commands - before.commands, 200);
    assert!(after.commits - before.commits <= 20, "{} commits", after.commits - before.commits);
}

#[tokio::test]
async fn one_failing_command_does_not_hurt_its_group() {
    let place = place::sqlite();
    place.db.sql(TABLE).run().await.unwrap();
    let tx = place.db.begin().await.unwrap();
    let insert = |key: i64| place.db.sql("INSERT INTO t (k) VALUES ($1)").bind(key).run();
    // Looked at last: the others have handed their commands over by then.
    let release = async {
        tokio::task::yield_now().await;
        tx.rollback().await
    };
    let (one, again, two, panicked, _) = tokio::join!(
        insert(1),
        insert(1),
        insert(2),
        place.db.as_sqlite().unwrap().write::<(), _>(Durability::Strict, |_| panic!("planted")),
        release
    );
    assert!(two.is_ok());
    assert!(one.is_ok() != again.is_ok(), "{one:?} {again:?}");
    assert!(matches!(one.and(again), Err(StoreError::Taken { .. })));
    assert!(matches!(panicked, Err(StoreError::Rejected(_))), "{panicked:?}");
    let kept: Vec<i64> = place.db.sql("SELECT k FROM t ORDER BY k").all().await.unwrap();
    assert_eq!(kept, [1, 2]);
}

#[tokio::test]
async fn a_full_disk_is_said_and_keeps_what_was_accepted() {
    let place = place::sqlite();
    place.db.sql(TABLE).run().await.unwrap();
    let file = place.db.as_sqlite().unwrap();
    let limit = |pages: u32| {
        file.write(Durability::Strict, move |connection| {
            connection
                .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
                .map_err(backshift_store::sqlite::fault)
        })
    };
    limit(40).await.unwrap();
    let mut accepted = Vec::new();
    let refused = loop {
        let key = accepted.len() as i64;
        let blob = backshift_core::Bytes::from(vec![7; 4000]);
        match place.db.sql("INSERT INTO t VALUES ($1, $2)").bind(key).bind(blob).run().await {
            Ok(_) => accepted.push(key),
            Err(error) => break error,
        }
        assert!(accepted.len() < 1000, "the limit was not met");
    };
    assert!(refused.to_string().contains("full"), "{refused}");
    assert!(refused.is_transient());
    let kept: Vec<i64> = place.db.sql("SELECT k FROM t ORDER BY k").all().await.unwrap();
    assert_eq!(kept, accepted);
    // A group in which one is too big: the small ones are accepted all the same.
    let tx = place.db.begin().await.unwrap();
    // Looked at last: the others have handed their commands over by then.
    let release = async {
        tokio::task::yield_now().await;
        tx.rollback().await
    };
    let big = backshift_core::Bytes::from(vec![7; 400_000]);
    let (small, big, _) = tokio::join!(
        place.db.sql("UPDATE t SET v = NULL WHERE k = 0").run(),
        place.db.sql("INSERT INTO t VALUES (9999, $1)").bind(big).run(),
        release
    );
    assert_eq!(small.unwrap(), 1);
    assert!(big.unwrap_err().to_string().contains("full"));
    limit(1_000_000).await.unwrap();
    place.db.sql("INSERT INTO t (k) VALUES (9999)").run().await.unwrap();
}

#[tokio::test]
async fn files_that_are_no_database_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    fs::write(&path, "these are notes, and surely longer than a header of a hundred bytes ".repeat(9))
        .unwrap();
    let text = format!("sqlite:{}", path.display());
    let refused = Database::open(&text, &Options::default()).unwrap_err().to_string();
    assert!(refused.contains("notes.txt") && refused.contains("not a SQLite database"), "{refused}");
    let healthy = place::sqlite();
    let found = backshift_store::check::damage(healthy.db.as_sqlite().unwrap()).await.unwrap();
    assert_eq!(found, None);
    let nowhere = format!("embedded:{}", directory.path().join("no/such/dir/a.db").display());
    let refused = Database::open(&nowhere, &Options::default()).unwrap_err().to_string();
    assert!(refused.contains("directory must exist"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_handles_write_to_one_file() {
    let place = place::sqlite();
    let other = Database::open(&place.url, &Options::default()).unwrap();
    place.db.sql(TABLE).run().await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for key in 0..100_i64 {
        let db = if key % 2 == 0 { place.db.clone() } else { other.clone() };
        writers.spawn(async move { db.sql("INSERT INTO t (k) VALUES ($1)").bind(key).run().await });
    }
    while let Some(done) = writers.join_next().await {
        assert_eq!(done.unwrap().unwrap(), 1);
    }
    let count: i64 = other.sql("SELECT count(*) FROM t").one().await.unwrap();
    assert_eq!(count, 100);
}

#[tokio::test]
async fn another_process_may_hold_the_file_for_a_while() {
    let place = place::sqlite();
    place.db.sql(TABLE).run().await.unwrap();
    let path = place.db.as_sqlite().unwrap().path().to_owned();
    let holder = rusqlite::Connection::open(&path).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE; INSERT INTO t (k) VALUES (1)").unwrap();
    let release = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_millis(700));
        holder.execute_batch("COMMIT").unwrap();
    });
    place.db.sql("INSERT INTO t (k) VALUES (2)").run().await.unwrap();
    release.await.unwrap();
    let kept: Vec<i64> = place.db.sql("SELECT k FROM t ORDER BY k").all().await.unwrap();
    assert_eq!(kept, [1, 2]);
}

#[tokio::test]
async fn a_closed_handle_refuses_and_the_file_can_be_opened_again() {
    let place = place::sqlite();
    place.db.sql(TABLE).run().await.unwrap();
    place.db.close().await;
    assert!(place.db.sql(TABLE).run().await.unwrap_err().to_string().contains("closed"));
    assert!(place.db.ping().await.is_err());
    let again = Database::open(&place.url, &Options::default()).unwrap();
    let none: Vec<i64> = again.sql("SELECT k FROM t").all().await.unwrap();
    assert!(none.is_empty());
    assert_eq!(again.dialect(), backshift_store::Dialect::Sqlite);
}

#[tokio::test]
async fn a_strict_database_relaxes_no_commit() {
    let place = place::sqlite();
    place.db.close().await;
    for (durability, normal_or_full) in [(Durability::Relaxed, 1), (Durability::Strict, 2)] {
        let db = Database::open(&place.url, &Options { durability, ..Options::default() }).unwrap();
        db.sql(TABLE).run().await.unwrap();
        let level = |connection: &rusqlite::Connection| {
            let level = connection.pragma_query_value(None, "synchronous", |row| row.get::<_, i64>(0));
            level.map_err(backshift_store::sqlite::fault)
        };
        assert_eq!(db.as_sqlite().unwrap().write(Durability::Relaxed, level).await.unwrap(), normal_or_full);
        let tx = db.begin_with(Durability::Relaxed).await.unwrap();
        let backshift_store::Tx::Sqlite(inner) = &tx else { panic!("a transaction of a file") };
        assert_eq!(inner.with(level).await.unwrap(), normal_or_full);
        tx.rollback().await.unwrap();
        db.close().await;
    }
}

#[tokio::test]
async fn a_strict_server_relaxes_no_commit() {
    let Some(place) = place::postgres().await else { return };
    for (durability, on_or_off) in [(Durability::Relaxed, "off"), (Durability::Strict, "on")] {
        let db = Database::open(&place.url, &Options { durability, ..Options::default() }).unwrap();
        let ask = "SELECT current_setting('synchronous_commit')";
        assert_eq!(db.sql(ask).relaxed().one::<String>().await.unwrap(), on_or_off);
        let tx = db.begin_with(Durability::Relaxed).await.unwrap();
        assert_eq!(tx.sql(ask).one::<String>().await.unwrap(), on_or_off);
        tx.rollback().await.unwrap();
        db.close().await;
    }
}
