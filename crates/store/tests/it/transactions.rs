//! Transactions: commit, rollback by drop, failed statements, and the bound of a SQLite transaction.

use std::time::{Duration, Instant};

use backshift_core::StoreError;
use backshift_store::{Database, Durability, Executor, Options, Tx};
use backshift_testkit::pace;

use crate::place::{self, Place, unique};

async fn table(place: &Place) -> String {
    let name = unique("t");
    place.db.text(format!("CREATE TABLE {name} (k bigint PRIMARY KEY)")).run().await.unwrap();
    name
}

async fn insert(on: &impl Executor, table: &str, key: i64) -> Result<u64, StoreError> {
    on.text(format!("INSERT INTO {table} VALUES ($1)")).bind(key).run().await
}

async fn keys(db: &Database, table: &str) -> Vec<i64> {
    db.text(format!("SELECT k FROM {table} ORDER BY k")).all().await.unwrap()
}

#[tokio::test]
async fn a_commit_keeps_a_drop_undoes() {
    for place in place::all().await {
        let t = table(&place).await;
        for (key, durability) in [(1, Durability::Strict), (2, Durability::Relaxed)] {
            let tx = place.db.begin_with(durability).await.unwrap();
            insert(&tx, &t, key).await.unwrap();
            tx.commit().await.unwrap();
        }
        let tx = place.db.begin().await.unwrap();
        insert(&tx, &t, 3).await.unwrap();
        drop(tx);
        let tx = place.db.begin().await.unwrap();
        insert(&tx, &t, 4).await.unwrap();
        tx.rollback().await.unwrap();
        // A connection that comes back from a dropped transaction is clean.
        for _ in 0..12 {
            assert_eq!(keys(&place.db, &t).await, [1, 2]);
        }
        insert(&place.db, &t, 3).await.unwrap();
    }
}

#[tokio::test]
async fn a_transaction_with_a_failed_statement_is_not_committed() {
    for place in place::all().await {
        let t = table(&place).await;
        let tx: Tx = place.db.begin().await.unwrap();
        insert(&tx, &t, 1).await.unwrap();
        assert!(insert(&tx, &t, 1).await.is_err());
        let refused = tx.commit().await.unwrap_err();
        assert!(refused.to_string().contains("had failed"), "{refused}");
        assert_eq!(keys(&place.db, &t).await, [] as [i64; 0]);
    }
}

#[tokio::test]
async fn relaxed_statements_are_kept_and_undone_when_they_fail() {
    for place in place::all().await {
        let t = table(&place).await;
        let statement = format!("INSERT INTO {t} VALUES ($1) RETURNING k");
        let made: Vec<i64> = place.db.text(statement.clone()).bind(1_i64).relaxed().all().await.unwrap();
        assert_eq!(made, [1]);
        assert!(place.db.text(statement).bind(1_i64).relaxed().run().await.is_err());
        assert_eq!(insert(&place.db, &t, 2).await.unwrap(), 1);
        assert_eq!(keys(&place.db, &t).await, [1, 2]);
    }
}

#[tokio::test]
async fn a_write_beside_an_own_sqlite_transaction_ends_with_the_cause() {
    let place = place::sqlite();
    // A busy machine comes to the transaction's own statement before its time is over.
    let limit = pace::stretched(Duration::from_millis(600));
    let options = Options { transaction_limit: limit, ..Options::default() };
    let db = Database::open(&place.url, &options).unwrap();
    let t = table(&place).await;
    let began = Instant::now();
    let tx = db.begin().await.unwrap();
    insert(&tx, &t, 1).await.unwrap();
    // The same task writes beside its transaction: it waits until the transaction's time is over.
    insert(&db, &t, 2).await.unwrap();
    assert!(began.elapsed() >= limit);
    let refused = tx.commit().await.unwrap_err();
    assert!(refused.to_string().contains("write through the transaction"), "{refused}");
    assert_eq!(keys(&db, &t).await, [2]);
}

#[tokio::test]
async fn conflicting_postgres_transactions_are_sent_again() {
    let Some(place) = place::postgres().await else { return };
    let t = table(&place).await;
    for key in [1, 2] {
        insert(&place.db, &t, key).await.unwrap();
    }
    place.db.text(format!("ALTER TABLE {t} ADD n bigint NOT NULL DEFAULT 0")).run().await.unwrap();
    // Two statements that lock the same rows in opposite orders: a deadlock, sooner or later.
    let text = |order: &str| {
        format!(
            "UPDATE {t} SET n = n + 1 FROM (SELECT k AS held, pg_sleep(0.05) FROM {t} ORDER BY k {order} FOR UPDATE) \
             AS f WHERE k = f.held"
        )
    };
    for _ in 0..5 {
        let (up, down) = tokio::join!(place.db.text(text("ASC")).run(), place.db.text(text("DESC")).run());
        assert_eq!((up.unwrap(), down.unwrap()), (2, 2));
    }
    let n: Vec<i64> = place.db.text(format!("SELECT n FROM {t}")).all().await.unwrap();
    assert_eq!(n, [10, 10]);
}
